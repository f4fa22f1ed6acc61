//! How much is remembered, to see that something comes again.

use std::time::Duration;

/// How much is remembered, to see that something comes again: so many of the last ones, and those no
/// older than so long. Whatever is forgotten first is forgotten.
///
/// Age is counted from publish to publish, so that a subscription that is behind, or was down,
/// forgets nothing by that. Each one that is remembered takes about 100 bytes of memory, and on a
/// durable bus as much in storage.
///
/// ```
/// use std::time::Duration;
/// use tidings::Window;
///
/// let window = Window::last(10_000).max_age(Duration::from_secs(3600));
/// # assert_ne!(window, Window::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it does nothing until something is given it"]
pub struct Window {
    count: usize,
    age: Duration,
}

impl Window {
    /// The last so many, from 1, however old.
    pub const fn last(count: usize) -> Self {
        Self { count: if count == 0 { 1 } else { count }, age: Duration::MAX }
    }

    /// None that is older than this.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn age(&self) -> Duration {
        self.age
    }
}

/// The last 100,000, and none older than a day.
impl Default for Window {
    fn default() -> Self {
        Self::last(100_000).max_age(Duration::from_hours(24))
    }
}
