//! Attempts that are started in a lane and go on elsewhere: which one it is, and when it is too late.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{delivery::HandlerError, runtime::Tick};

/// A handler took longer than the subscription's `timeout` allows. Such an attempt is retried by the
/// policy; it can be told from others by its type:
///
/// ```
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{Bus, Event, TimedOut};
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(name = "orders.placed")]
/// # struct OrderPlaced;
/// # let bus = Bus::volatile();
/// let orders = bus
///     .subscribe("desk")
///     .timeout(Duration::from_secs(60))
///     .reject_if::<TimedOut>(|_| true) // nobody was at the desk
///     .stream::<OrderPlaced>()?;
/// # Ok::<(), tidings::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the handler took longer than {after:?}")]
#[non_exhaustive]
pub struct TimedOut {
    /// The time that it had.
    pub after: Duration,
}

/// An attempt that goes on elsewhere.
#[derive(Debug)]
pub(in crate::delivery) struct Start {
    /// Tells it from others with the same event: what is said of an attempt that was given up is
    /// too late.
    pub(in crate::delivery) serial: u64,
    pub(in crate::delivery) deadline: Option<Deadline>,
}

/// When an attempt is too late.
#[derive(Debug)]
pub(in crate::delivery) struct Deadline {
    pub(in crate::delivery) began: Tick,
    /// Unknown as long as nobody has begun, where the event is to be pulled.
    pub(in crate::delivery) at: Option<Tick>,
    pub(in crate::delivery) cancel: Arc<Cancel>,
}

impl Deadline {
    pub(super) fn new(now: Tick, timeout: Duration, is_pulled: bool) -> Self {
        let cancel = Arc::new(Cancel { timeout, state: Mutex::default() });
        let at = (!is_pulled).then(|| now.saturating_add(timeout));
        Self { began: now, at, cancel }
    }

    /// The event was pulled.
    pub(in crate::delivery) fn begin(&mut self, now: Tick) {
        self.began = now;
        self.at = Some(now.saturating_add(self.cancel.timeout));
    }
}

/// Between a lane and an attempt that it gives up.
#[derive(Debug)]
pub(in crate::delivery) struct Cancel {
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    /// Somebody will stop what is going on, and say so.
    heeded: bool,
    #[cfg(feature = "tokio")]
    waker: Option<std::task::Waker>,
}

impl Cancel {
    /// Asks for an end. False where nobody listens: then nothing is ended but the waiting for it.
    pub(in crate::delivery) fn cancel(&self) -> bool {
        let mut state = self.state.lock();
        state.cancelled = true;
        let heeded = state.heeded;
        #[cfg(feature = "tokio")]
        {
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        heeded
    }

    /// From now on somebody asks with `is_cancelled`.
    #[cfg(feature = "tokio")]
    pub(in crate::delivery) fn heed(&self) {
        self.state.lock().heeded = true;
    }

    /// Whether an end was asked for. The waker is woken when it is.
    #[cfg(feature = "tokio")]
    pub(in crate::delivery) fn is_cancelled(&self, waker: &std::task::Waker) -> bool {
        let mut state = self.state.lock();
        if !state.cancelled && !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.cancelled
    }

    pub(in crate::delivery) fn error(&self) -> HandlerError {
        HandlerError::retry(TimedOut { after: self.timeout })
    }
}
