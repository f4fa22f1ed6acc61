//! What a pool of threads is, and how one is doing.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

/// A named set of threads. Handlers of one pool cannot starve those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolId(pub(super) usize);

/// How many threads a pool has: a fixed number, or what the load asks for within bounds.
///
/// A number converts into a fixed size.
///
/// ```
/// use tidings::{Bus, PoolSize};
///
/// let bus = Bus::builder()
///     .pool("quick", 2)
///     .pool("slow", PoolSize::adaptive(1..=16)) // calls other services, and waits for them
///     .build()?;
/// # Ok::<(), tidings::OpenError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    least: usize,
    most: usize,
}

impl PoolSize {
    /// So many threads, from 1.
    #[must_use]
    pub const fn fixed(threads: usize) -> Self {
        Self { least: threads, most: threads }
    }

    /// As many threads as are of use, within these bounds, from 1. For handlers that block.
    ///
    /// The pool grows while tasks wait longer than about 2 ms for a thread: by half every few
    /// milliseconds where handlers block. Where another thread gets hardly more done, since they
    /// compute rather than wait, it steps back, tries again a second later, and then less and less
    /// often. Threads that nobody needed during a whole second end.
    #[must_use]
    pub const fn adaptive(threads: RangeInclusive<usize>) -> Self {
        Self { least: *threads.start(), most: *threads.end() }
    }

    /// The number of threads below which it does not shrink.
    #[must_use]
    pub const fn least(self) -> usize {
        self.least
    }

    /// The number of threads above which it does not grow.
    #[must_use]
    pub const fn most(self) -> usize {
        self.most
    }
}

/// A fixed size.
impl From<usize> for PoolSize {
    fn from(threads: usize) -> Self {
        Self::fixed(threads)
    }
}

/// Which subscriptions of a pool come first, where several wait for a thread.
///
/// The threads of a pool take what is of higher priority first. What is lower does not starve: when it
/// was passed over 16 times in a row, it has its turn. A handler that runs is not interrupted. Under the
/// simulator, which tries all orders, it has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Priority {
    /// Before others.
    High,
    /// Unless set.
    #[default]
    Normal,
    /// After others.
    Low,
}

/// What a task is among those of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Precedence {
    pub(crate) priority: Priority,
    /// It can wait until the pool is no longer overloaded.
    pub(crate) is_sheddable: bool,
}

/// How a pool is doing, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Threads that it has now. None before the first task, and never any under the simulator.
    pub threads: usize,
    /// The fewest threads that it may have, once it has begun.
    pub least: usize,
    /// The most threads that it may have.
    pub most: usize,
    /// Tasks that wait for a thread. A lane of a subscription is one task, however many events it
    /// has to handle.
    pub queued: usize,
    /// How long the oldest of these has waited, at most. Under load it is counted from when the task
    /// before it came.
    pub oldest: Option<Duration>,
}
