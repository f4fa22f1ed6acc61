//! All policies of a subscription together, as one value.

use proptest::{option, prelude::*, strategy::Strategy};

use super::policy::{lanes, rates, retry_budgets, unbounded_backoffs};
use crate::{
    bus::SubscriptionBuilder,
    policy::{Backoff, CircuitBreaker, Lanes, Rate, RetryBudget},
    runtime::Priority,
};

/// The policies of a subscription, as one value. None of them decides what becomes of an event in the
/// end, but for the number of attempts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SubscriptionPolicy {
    /// How many lanes.
    pub lanes: Lanes,
    /// When failed events are tried again, without an end.
    pub retry: Backoff,
    /// After how many attempts there is an end.
    pub max_attempts: u32,
    /// How many events a lane may park.
    pub max_parked: usize,
    /// How many events a lane may have under way.
    pub max_in_flight: usize,
    /// How many handlers may be at work at once.
    pub max_concurrency: Option<usize>,
    /// How often handlers are called.
    pub rate_limit: Option<Rate>,
    /// How often they are called for one key.
    pub rate_limit_per_key: Option<Rate>,
    /// When they are not called for a while.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How many retries the traffic pays for.
    pub retry_budget: Option<RetryBudget>,
    /// Which subscriptions of a pool come first.
    pub priority: Priority,
}

impl SubscriptionPolicy {
    /// Gives a subscription these policies.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use proptest::prelude::*;
    /// use tidings::{Bus, testing::strategies};
    ///
    /// proptest!(|(policy in strategies::subscription_policies())| {
    ///     let bus = Bus::volatile();
    ///     let started = policy.apply(bus.subscribe("pings")).on(|_: &Ping| ()).start();
    ///     prop_assert!(started.is_ok());
    /// });
    /// ```
    pub fn apply(&self, builder: SubscriptionBuilder) -> SubscriptionBuilder {
        let mut builder = builder
            .lanes(self.lanes)
            .retry(self.retry.clone().max_attempts(self.max_attempts))
            .max_parked(self.max_parked)
            .max_in_flight(self.max_in_flight)
            .priority(self.priority);
        if let Some(handlers) = self.max_concurrency {
            builder = builder.max_concurrency(handlers);
        }
        if let Some(rate) = self.rate_limit {
            builder = builder.rate_limit(rate);
        }
        if let Some(rate) = self.rate_limit_per_key {
            builder = builder.rate_limit_per_key(rate);
        }
        if let Some(breaker) = &self.circuit_breaker {
            builder = builder.circuit_breaker(breaker.clone());
        }
        if let Some(budget) = self.retry_budget {
            builder = builder.retry_budget(budget);
        }
        builder
    }
}

/// All policies of a subscription together. There is no circuit breaker among them: when the last event
/// that is left fails for ever, it is probed for ever, and the bus does not come to rest. Where that cannot
/// be, set one of [`circuit_breakers`](super::circuit_breakers).
pub fn subscription_policies() -> impl Strategy<Value = SubscriptionPolicy> + Clone {
    let bounds = (1..=50_usize, 1..=8_usize, option::weighted(0.2, 1..=4_usize));
    let protection = (
        option::weighted(0.2, rates()),
        option::weighted(0.2, rates()),
        option::weighted(0.2, retry_budgets()),
    );
    let priorities = prop_oneof![Just(Priority::Normal), Just(Priority::High), Just(Priority::Low)];
    (lanes(), unbounded_backoffs(), 1..=5_u32, bounds, protection, priorities).prop_map(
        |(lanes, retry, max_attempts, bounds, protection, priority)| {
            let (max_parked, max_in_flight, max_concurrency) = bounds;
            let (rate_limit, rate_limit_per_key, retry_budget) = protection;
            SubscriptionPolicy {
                lanes,
                retry,
                max_attempts,
                max_parked,
                max_in_flight,
                max_concurrency,
                rate_limit,
                rate_limit_per_key,
                circuit_breaker: None,
                retry_budget,
                priority,
            }
        },
    )
}
