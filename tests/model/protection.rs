//! What protects the subscriptions of a run, drawn anew at each start.

use std::time::Duration;

use tidings::{CircuitBreaker, Priority, Rate, RetryBudget, SubscriptionBuilder};

use crate::{breaker::Told, subscriptions::Scene};

/// Which kinds of protection a run uses.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // each is a switch of its own
pub(crate) struct Protections {
    pub(crate) breakers: bool,
    pub(crate) rates: bool,
    pub(crate) rates_per_key: bool,
    pub(crate) max_concurrency: bool,
    pub(crate) retry_budgets: bool,
    pub(crate) pool_budget: bool,
    pub(crate) timeouts: bool,
    pub(crate) sheds: bool,
}

impl Protections {
    /// Each is on in a quarter of the runs, and all of them together in few, so that some runs get far.
    pub(crate) fn new(half: &impl Fn() -> bool) -> Self {
        let quarter = || half() && half();
        Self {
            breakers: quarter(),
            rates: quarter(),
            rates_per_key: quarter(),
            max_concurrency: quarter(),
            retry_budgets: quarter(),
            pool_budget: quarter(),
            timeouts: quarter(),
            sheds: quarter(),
        }
    }
}

/// A rate, and how many at once it allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rate: Rate,
    pub(crate) burst: u32,
}

/// What protects one subscription from one start to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protection {
    breaker: Option<CircuitBreaker>,
    pub(crate) told: Told,
    pub(crate) pace: Option<Pace>,
    pub(crate) pace_per_key: Option<Pace>,
    pub(crate) max_concurrency: Option<usize>,
    budget: Option<RetryBudget>,
    pub(crate) timeout: Option<Duration>,
    is_sheddable: bool,
    priority: Priority,
}

impl Protection {
    pub(crate) fn draw(scene: &Scene) -> Self {
        let draw = |below| scene.draw(below);
        let on = |is_used: bool| is_used && draw(2) == 0;
        let used = &scene.draws.protections;
        let breaker = on(used.breakers).then(|| draw_breaker(scene));
        let (breaker, told) = breaker.unzip();
        Self {
            breaker,
            told: told.unwrap_or_default(),
            pace: on(used.rates).then(|| draw_pace(scene)),
            pace_per_key: on(used.rates_per_key).then(|| draw_pace(scene)),
            max_concurrency: on(used.max_concurrency).then(|| 1 + draw(3) as usize),
            budget: on(used.retry_budgets).then(|| draw_budget(scene)),
            timeout: on(used.timeouts).then(|| Duration::from_millis(1 + draw(4000))),
            is_sheddable: on(used.sheds),
            priority: [Priority::Low, Priority::Normal, Priority::High][draw(3) as usize],
        }
    }

    pub(crate) fn apply(&self, mut builder: SubscriptionBuilder) -> SubscriptionBuilder {
        builder = builder.priority(self.priority);
        if let Some(breaker) = &self.breaker {
            builder = builder.circuit_breaker(breaker.clone());
        }
        if let Some(pace) = self.pace {
            builder = builder.rate_limit(pace.rate);
        }
        if let Some(pace) = self.pace_per_key {
            builder = builder.rate_limit_per_key(pace.rate);
        }
        if let Some(handlers) = self.max_concurrency {
            builder = builder.max_concurrency(handlers);
        }
        if let Some(budget) = self.budget {
            builder = builder.retry_budget(budget);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if self.is_sheddable { builder.sheddable() } else { builder }
    }
}

fn draw_breaker(scene: &Scene) -> (CircuitBreaker, Told) {
    let draw = |below| scene.draw(below) as u32;
    let breaker = CircuitBreaker::new()
        .failure_rate(f64::from(1 + draw(4)) / 5.0)
        .window(2 + draw(10))
        .min_calls(1 + draw(4));
    let open_for = Duration::from_millis(1 + scene.draw(20_000));
    let breaker = breaker.open_for(open_for).probes(1 + draw(3));
    let breaker = match draw(3) {
        0 => breaker.slow_calls(Duration::from_millis(50), 0.5),
        _ => breaker,
    };
    Told::by(breaker, open_for, scene)
}

fn draw_pace(scene: &Scene) -> Pace {
    let (times, burst) = (1 + scene.draw(20) as u32, 1 + scene.draw(5) as u32);
    let rate = if scene.draw(4) == 0 { Rate::per_minute(times) } else { Rate::per_second(times) };
    Pace { rate: rate.burst(burst), burst }
}

/// Never one that pays for no retry at all, which would wait for ever.
pub(crate) fn draw_budget(scene: &Scene) -> RetryBudget {
    let share = f64::from(scene.draw(3) as u32) / 4.0;
    RetryBudget::new(share).min_per_second(1 + scene.draw(2) as u32)
}
