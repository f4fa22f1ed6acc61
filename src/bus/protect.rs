//! Describing a subscription: what protects whatever its handlers call.

use std::time::Duration;

use super::SubscriptionBuilder;
use crate::{
    policy::{CircuitBreaker, LagObjective, Rate, RetryBudget},
    runtime::Priority,
};

/// Protection of what handlers call. It is for the attempts that lanes make: an inline handler's
/// first one, on the publishing thread, is not held up.
impl SubscriptionBuilder {
    /// How often handlers are called at most, all lanes and retries together. At the bound the
    /// subscription rests until the next call is due, without taking a thread. Unlimited unless set.
    ///
    /// A copy that an idempotent handler passes over counts for nothing. An event that a
    /// [filter](Self::filter) keeps out counts, unless handlers get batches, and so does one for which
    /// a [layer](Self::layer) does not call the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, Rate};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed", key = "customer")]
    /// # struct OrderPlaced { customer: u64 }
    /// # let bus = Bus::volatile();
    /// bus.subscribe("mails")
    ///     .rate_limit(Rate::per_second(1000).burst(100)) // what the mail service allows
    ///     .rate_limit_per_key(Rate::per_minute(600)) // and no customer gets all of it
    ///     .on(|order: &OrderPlaced| println!("to {}", order.customer))
    ///     .start()?;
    /// # bus.publish(OrderPlaced { customer: 1 })?;
    /// # assert!(bus.wait_idle(Duration::from_secs(10)));
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn rate_limit(mut self, rate: Rate) -> Self {
        self.protection.rate = Some(rate);
        self
    }

    /// How often handlers are called at most with events of one key. An event that comes too early
    /// waits, and later ones of its key behind it; other keys go on. Events without a key are not
    /// limited by this.
    ///
    /// Up to 100,000 keys are told apart at one time; where more are busy, the others wait. What waits
    /// counts towards [`max_parked`](Self::max_parked).
    pub fn rate_limit_per_key(mut self, rate: Rate) -> Self {
        self.protection.rate_per_key = Some(rate);
        self
    }

    /// When handlers are no longer called for a while, because what they depend on fails or is slow.
    /// All lanes share the breaker; [`Status::breaker`](crate::Status::breaker) shows it.
    ///
    /// While it is open the subscription rests as if it were paused, except that
    /// [`Bus::wait_idle`](crate::Bus::wait_idle) waits for it. No event becomes a dead letter because
    /// of it. A plain handler costs a few nanoseconds more for each batch of events.
    pub fn circuit_breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.protection.breaker = Some(breaker);
        self
    }

    /// Errors of this type for which `rejects` says so are not worth another attempt: the event goes to
    /// the dead letters. May be given for several types, and several times for one. What a handler
    /// itself decides, by a [`HandlerError`](crate::HandlerError) that rejects or names a delay, stays.
    /// Where `rejects` panics, the event is tried again.
    ///
    /// ```
    /// # use std::num::ParseIntError;
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "amounts")]
    /// # struct Amount(String);
    /// # let bus = Bus::volatile();
    /// bus.subscribe("sums")
    ///     .reject_if::<ParseIntError>(|_| true) // it will not become a number
    ///     .retry_if::<std::io::Error>(|error| error.kind() != std::io::ErrorKind::InvalidInput)
    ///     .on(|amount: &Amount| amount.0.parse::<u64>().map(drop))
    ///     .start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn reject_if<E: std::error::Error + 'static>(
        mut self,
        rejects: impl Fn(&E) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.protection.classes.reject_if(rejects);
        self
    }

    /// Errors of this type are worth another attempt only where `retries` says so; otherwise as for
    /// [`reject_if`](Self::reject_if).
    pub fn retry_if<E: std::error::Error + 'static>(
        self,
        retries: impl Fn(&E) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.reject_if(move |error| !retries(error))
    }

    /// How many handlers are at work at once, over all lanes, from 1: those that run, async ones that are
    /// under way, and events that are pulled or ready to be. Where a handler ends, the lane that has
    /// waited longest goes on. Unlimited but for lanes and [`max_in_flight`](Self::max_in_flight) unless
    /// set.
    pub fn max_concurrency(mut self, handlers: usize) -> Self {
        self.protection.max_concurrency = Some(handlers);
        self
    }

    /// How long a handler may take.
    ///
    /// An async handler is cancelled then: its future is dropped where it stands. An event that was
    /// pulled so long ago is taken back, and settling it later changes nothing. Both attempts have
    /// failed, with [`TimedOut`](crate::TimedOut). A handler that is no future cannot be cancelled: it
    /// goes on, its lane with it, and shows in [`Status::stuck`](crate::Status::stuck); so does an async
    /// one that does not come to an `.await`. A plain handler costs a few nanoseconds more for each batch
    /// of events.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.protection.timeout = Some(time);
        self
    }

    /// How long events may wait for their turn, and whom to tell where they wait longer:
    /// [`Status::late`](crate::Status::late) shows it. None unless set.
    /// [`Subscription::forecast`](crate::Subscription::forecast) says when it will be up to date.
    pub fn lag_objective(mut self, objective: LagObjective) -> Self {
        self.objective = Some(objective);
        self
    }

    /// Which subscriptions of its pool come first where several wait for a thread.
    /// [`Priority::Normal`] unless set.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.policy.precedence.priority = priority;
        self
    }

    /// Has the subscription rest while its pool is overloaded: from when a task of the pool that is not
    /// sheddable has waited longer than 100 ms for a thread, until none has for a second. Nothing is
    /// lost; [`Status::shed`](crate::Status::shed) shows it. For work that can wait, such as statistics.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, Priority};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced;
    /// # let bus = Bus::volatile();
    /// bus.subscribe("payments").priority(Priority::High).on(|_: &OrderPlaced| ()).start()?;
    /// bus.subscribe("trends").priority(Priority::Low).sheddable().on(|_: &OrderPlaced| ()).start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn sheddable(mut self) -> Self {
        self.policy.precedence.is_sheddable = true;
        self
    }

    /// How many retries there may be, as a share of the traffic; those over it are put off. Without
    /// one, only the [`Backoff`](crate::Backoff) bounds them. See also
    /// [`BusBuilder::pool_retry_budget`](crate::BusBuilder::pool_retry_budget).
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.protection.retry_budget = Some(budget);
        self
    }
}
