//! How a subscription is to be protected.

use std::{sync::Arc, time::Duration};

use super::{Budget, Classes};
use crate::policy::{CircuitBreaker, Rate, RetryBudget};

/// How a subscription is to be protected, as its builder says.
#[derive(Clone, Default)]
pub(crate) struct Protection {
    pub(crate) rate: Option<Rate>,
    pub(crate) rate_per_key: Option<Rate>,
    pub(crate) breaker: Option<CircuitBreaker>,
    pub(crate) retry_budget: Option<RetryBudget>,
    /// Those that are shared with other subscriptions.
    pub(crate) shared_budget: Option<Arc<Budget>>,
    pub(crate) classes: Classes,
    pub(crate) max_concurrency: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    /// So many times as fast as events were published.
    pub(crate) pace: Option<f64>,
}

impl Protection {
    /// In words, in the order in which an event comes by.
    pub(in crate::delivery) fn describe(&self) -> Vec<String> {
        let rate = |rate: Rate| format!("once in {:?}", rate.interval());
        let breaker = |breaker: &CircuitBreaker| {
            format!("circuit breaker at {}% of {}", percent(breaker.failure_rate), breaker.window)
        };
        let budget = |budget: RetryBudget| format!("retry budget of {}%", percent(budget.share));
        let each = [
            self.max_concurrency.map(|most| format!("{most} at work")),
            self.retry_budget.map(budget),
            self.shared_budget.as_ref().map(|_| "retry budget of its pool".into()),
            self.rate_per_key.map(|one| format!("each key {}", rate(one))),
            self.rate.map(rate),
            self.breaker.as_ref().map(breaker),
            self.timeout.map(|time| format!("timeout of {time:?}")),
            self.pace.map(|times| format!("{times} times as fast as it was")),
        ];
        each.into_iter().flatten().collect()
    }
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}
