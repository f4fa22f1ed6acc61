//! How far behind a subscription may be.

use std::{fmt, sync::Arc, time::Duration};

/// How far a subscription is behind, and what comes of that if all goes on as it did of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Forecast {
    /// Positions from its first unsettled event to the end of the journal, events of others included.
    pub lag: u64,
    /// How long what is published now will have to wait for its turn. Where nothing was settled since
    /// the last look: for how long that has been so.
    pub wait: Duration,
    /// How long it takes until the subscription is up to date, while publishers go on. `None` where it
    /// does not gain on them.
    pub time_to_catch_up: Option<Duration>,
    /// How long it takes until events are dropped that it has not handled: by
    /// [`Unread::Drop`](crate::Unread), or by [`Overflow::Skip`](crate::Overflow) on a volatile bus.
    /// `None` where that will not be.
    pub time_to_loss: Option<Duration>,
}

/// How long an event may wait for its turn, and whom to tell where it waits longer. Looked at once a
/// second, while there is anything to handle and the subscription is not paused.
///
/// ```
/// use std::time::Duration;
/// use tidings::LagObjective;
///
/// let objective = LagObjective::within(Duration::from_secs(60))
///     .on_miss(|name, forecast| eprintln!("{name} is {:?} behind", forecast.wait))
///     .on_meet(|name, _| eprintln!("{name} keeps up again"));
/// # drop(objective);
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a subscription has it"]
pub struct LagObjective {
    pub(crate) within: Duration,
    pub(crate) on_miss: Option<LagHook>,
    pub(crate) on_meet: Option<LagHook>,
}

pub(crate) type LagHook = Arc<dyn Fn(&str, &Forecast) + Send + Sync>;

impl LagObjective {
    /// Events have their turn within this time.
    pub fn within(time: Duration) -> Self {
        Self { within: time, on_miss: None, on_meet: None }
    }

    /// Called with the name of the subscription when the objective is missed, on a thread that all
    /// objectives share. A panic in it is caught.
    pub fn on_miss(mut self, call: impl Fn(&str, &Forecast) + Send + Sync + 'static) -> Self {
        self.on_miss = Some(Arc::new(call));
        self
    }

    /// Called in the same way when it is met again.
    pub fn on_meet(mut self, call: impl Fn(&str, &Forecast) + Send + Sync + 'static) -> Self {
        self.on_meet = Some(Arc::new(call));
        self
    }
}

impl fmt::Debug for LagObjective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LagObjective").field("within", &self.within).finish_non_exhaustive()
    }
}
