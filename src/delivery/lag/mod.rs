//! How far a subscription is behind, and telling where that is too far.

mod forecast;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use forecast::{Look, Room};
use parking_lot::Mutex;

use super::Subscriber;
use crate::{
    message::Position,
    policy::{Forecast, LagObjective, Overflow, Retention, Unread},
    runtime::{Armed, Step, Task},
};

/// The thread for it. Shared by all, and apart from handlers, which may be what is slow.
const POOL: &str = "tidings lag"; // no user can name it so

/// The least time between two looks that are compared.
const EVERY: Duration = Duration::from_secs(1);

/// How far a subscription is behind, as far as anybody has looked.
#[derive(Default)]
pub(super) struct Lag {
    objective: Option<LagObjective>,
    last: Mutex<Option<(Look, Option<Forecast>)>>,
    /// Looks once a second, where there is an objective.
    task: OnceLock<Arc<Task>>,
    armed: Armed,
    missed: AtomicBool,
}

impl Lag {
    pub(super) fn new(objective: Option<LagObjective>) -> Self {
        Self { objective, ..Self::default() }
    }

    pub(super) fn begin(&self, subscriber: &Arc<Subscriber>) {
        if self.objective.is_none() {
            return;
        }
        let runtime = subscriber.runtime();
        let pool = runtime.pool(POOL, 1);
        self.task.get_or_init(|| {
            let own = Arc::clone(subscriber);
            runtime.task(pool, move || {
                own.watch_lag();
                Step::Wait
            })
        });
    }

    /// There is something to handle.
    #[inline]
    pub(super) fn arm(&self) {
        if let Some(task) = self.task.get()
            && self.armed.arm()
        {
            task.wake();
        }
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.stop();
        }
    }

    /// Whether the objective is missed.
    pub(super) fn is_missed(&self) -> bool {
        self.missed.load(Ordering::Acquire)
    }

    /// What comes of a look, compared with the last one that is long enough ago. `None` for the first
    /// one, and for those too soon after it.
    fn compare(&self, look: Look) -> Option<Forecast> {
        let mut last = self.last.lock();
        let (look, forecast) = match *last {
            None => (look, None),
            Some((before, forecast)) if look.at.saturating_sub(before.at) < EVERY => {
                return forecast.map(|forecast| Forecast { lag: look.lag, ..forecast });
            }
            Some((before, _)) => {
                let look = look.after(&before);
                (look, Some(look.forecast(&before)))
            }
        };
        *last = Some((look, forecast));
        forecast
    }

    /// The subscription rests: what was seen so far says nothing of its pace when it goes on.
    fn rest(&self) {
        *self.last.lock() = None;
    }
}

impl Subscriber {
    /// Positions from the first one that is not settled to the end of the journal.
    pub(crate) fn lag(&self) -> u64 {
        let end = self.journal.end();
        end.since(self.low(end))
    }

    /// The first position that is not settled; where there is none, the end.
    pub(super) fn low(&self, end: Position) -> Position {
        // Locked, so that the lanes are not replaced in between.
        let formation = self.formation.read();
        let low = formation.numbers().zip(&formation.lanes).map(|(lane, handle)| {
            // A reader that has left stands where its last commit put it.
            let ring = self.journal.ring();
            let frontier = ring.frontier(formation.group, lane).and_then(Position::new);
            let frontier = frontier.or(handle.low()).unwrap_or(end);
            handle.low().map_or(frontier, |low| low.min(frontier))
        });
        low.min().unwrap_or(end)
    }

    pub(crate) fn forecast(&self) -> Forecast {
        let look = self.look();
        self.lag.compare(look).unwrap_or_else(|| look.first_forecast())
    }

    fn look(&self) -> Look {
        let (at, lag, end) = (self.runtime().now(), self.lag(), self.journal.end().get());
        Look { at, end, lag, settled_at: at, room: self.room(lag, end) }
    }

    /// How much is left until events are dropped that it has not handled.
    fn room(&self, lag: u64, end: u64) -> Room {
        let (journal, retention) = (&self.journal, &self.policy.retention);
        if !journal.is_durable() {
            let capacity = journal.ring().capacity() as u64;
            let skips = self.policy.overflow == Overflow::Skip;
            return Room {
                positions: skips.then(|| capacity.saturating_sub(lag)),
                ..Room::default()
            };
        }
        if self.is_stored && retention.unread() == Unread::Keep {
            return Room::default();
        }
        let bytes = retention.bytes().map(|most| most.saturating_sub(self.bytes_of(lag, end)));
        Room { bytes, nanos: self.nanos_left(retention, lag, end), ..Room::default() }
    }

    /// About how many bytes of the log it has not handled.
    fn bytes_of(&self, lag: u64, end: u64) -> u64 {
        let all = end.saturating_sub(self.journal.first().get()).max(1);
        let bytes = u128::from(self.journal.log_bytes()) * u128::from(lag) / u128::from(all);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn nanos_left(&self, retention: &Retention, lag: u64, end: u64) -> Option<u64> {
        let (age, low) = (retention.age()?, Position::new(end - lag)?);
        let published_at = if lag > 0 { self.journal.published_at(low)? } else { return None };
        let left = age.saturating_sub(self.runtime().wall().since(published_at));
        Some(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }

    fn watch_lag(&self) {
        self.lag.armed.begin();
        if !self.is_alive() || self.is_paused() {
            return self.lag.rest();
        }
        let look = self.look();
        let known = self.lag.compare(look);
        let up_to_date = (look.lag == 0).then(|| look.first_forecast());
        if let Some(forecast) = up_to_date.or(known) {
            self.judge_lag(&forecast);
        }
        if look.lag == 0 {
            self.lag.rest();
        } else if self.lag.armed.arm()
            && let Some(task) = self.lag.task.get()
        {
            self.runtime().wake_at(self.runtime().now().saturating_add(EVERY), task);
        }
    }

    fn judge_lag(&self, forecast: &Forecast) {
        let Some(objective) = &self.lag.objective else { return };
        let is_missed = forecast.wait > objective.within;
        if self.lag.missed.swap(is_missed, Ordering::AcqRel) == is_missed {
            return;
        }
        let (name, Forecast { lag, wait, .. }) = (&*self.name, forecast);
        let hook = if is_missed {
            tracing::warn!(subscription = name, lag, ?wait, objective = ?objective.within,
                "the subscription is too far behind");
            &objective.on_miss
        } else {
            tracing::info!(subscription = name, lag, ?wait, "the subscription keeps up again");
            &objective.on_meet
        };
        let Some(hook) = hook else { return };
        if catch_unwind(AssertUnwindSafe(|| hook(name, forecast))).is_err() {
            tracing::error!(subscription = name, "a hook of the lag objective panicked");
        }
    }
}
