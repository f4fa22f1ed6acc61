//! Policies, each as a value.

use std::{ops::RangeInclusive, time::Duration};

use proptest::{option, prelude::*, strategy::Strategy};

use crate::policy::{Backoff, CircuitBreaker, Lanes, Rate, Retention, RetryBudget, Window};

pub(super) fn millis(range: RangeInclusive<u64>) -> impl Strategy<Value = Duration> + Clone {
    range.prop_map(Duration::from_millis)
}

/// Backoffs of every curve and jitter, with up to 6 attempts.
///
/// ```
/// use std::time::Duration;
///
/// use proptest::prelude::*;
/// use tidings::{Attempt, Backoff, testing::strategies};
///
/// proptest!(|(backoff in strategies::backoffs(), random in any::<u64>())| {
///     let attempt = Attempt { failed: 6, elapsed: Duration::ZERO, previous: Duration::ZERO };
///     prop_assert_eq!(backoff.next_delay(attempt, random), None);
/// });
/// ```
pub fn backoffs() -> impl Strategy<Value = Backoff> + Clone {
    let elapsed = option::weighted(0.2, millis(0..=600_000));
    (unbounded_backoffs(), 1..=6_u32, elapsed).prop_map(|(backoff, attempts, elapsed)| {
        let backoff = backoff.max_attempts(attempts);
        match elapsed {
            Some(elapsed) => backoff.max_elapsed(elapsed),
            None => backoff,
        }
    })
}

/// The same without an end to attempts.
pub(super) fn unbounded_backoffs() -> impl Strategy<Value = Backoff> + Clone {
    let curves = prop_oneof![
        millis(0..=10_000).prop_map(Backoff::constant),
        millis(0..=10_000).prop_map(Backoff::linear),
        (millis(0..=10_000), 1.0..4.0)
            .prop_map(|(initial, factor)| Backoff::exponential(initial).factor(factor)),
    ];
    let jitters = prop_oneof![
        Just(None),
        Just(Some(Backoff::full_jitter as fn(Backoff) -> Backoff)),
        Just(Some(Backoff::equal_jitter as fn(Backoff) -> Backoff)),
        Just(Some(Backoff::decorrelated_jitter as fn(Backoff) -> Backoff)),
    ];
    (curves, jitters, 0..3_u32, millis(0..=600_000)).prop_map(
        |(curve, jitter, immediate, longest)| {
            let backoff = jitter.map_or(curve.clone(), |jitter| jitter(curve));
            backoff.immediate(immediate).max_delay(longest)
        },
    )
}

/// Retry budgets that let one retry a second through at the least.
pub fn retry_budgets() -> impl Strategy<Value = RetryBudget> + Clone {
    (0.0..2.0, 1..=100_u32).prop_map(|(share, least)| RetryBudget::new(share).min_per_second(least))
}

/// Circuit breakers that are open for up to 10 s.
pub fn circuit_breakers() -> impl Strategy<Value = CircuitBreaker> + Clone {
    let slow = option::weighted(0.3, (millis(1..=5000), 0.05..=1.0));
    let calls = (1..=50_u32, 1..=50_u32, 1..=5_u32);
    (0.05..=1.0, calls, slow, millis(1..=10_000)).prop_map(
        |(rate, (window, least, probes), slow, open)| {
            let breaker = CircuitBreaker::new()
                .failure_rate(rate)
                .window(window)
                .min_calls(least)
                .probes(probes)
                .open_for(open);
            match slow {
                Some((longer_than, share)) => breaker.slow_calls(longer_than, share),
                None => breaker,
            }
        },
    )
}

/// Rates from 1 a minute to 1,000 a second, with and without bursts.
pub fn rates() -> impl Strategy<Value = Rate> + Clone {
    let rates = prop_oneof![
        3 => (1..=1000_u32).prop_map(Rate::per_second),
        1 => (1..=600_u32).prop_map(Rate::per_minute),
    ];
    (rates, option::of(1..=50_u32))
        .prop_map(|(rate, burst)| burst.map_or(rate, |burst| rate.burst(burst)))
}

/// Up to 8 lanes, fixed or adaptive.
pub fn lanes() -> impl Strategy<Value = Lanes> + Clone {
    let fixed = (1..=8_u32).prop_map(Lanes::fixed);
    let adaptive = (1..=3_u32, 0..=5_u32).prop_map(|(low, more)| Lanes::adaptive(low..=low + more));
    prop_oneof![3 => fixed, 1 => adaptive]
}

/// Windows from one thing to 10,000, with and without a bound of age.
pub fn windows() -> impl Strategy<Value = Window> + Clone {
    (1..=10_000_usize, option::of(millis(0..=86_400_000))).prop_map(|(count, age)| {
        let window = Window::last(count);
        age.map_or(window, |age| window.max_age(age))
    })
}

/// Retentions by age and size. Some drop what was not handled; most keep it.
pub fn retentions() -> impl Strategy<Value = Retention> + Clone {
    let age = option::of(millis(0..=86_400_000));
    let bytes = option::of(0..=1_u64 << 24);
    (age, bytes, prop::bool::weighted(0.2)).prop_map(|(age, bytes, drops)| {
        let retention = Retention::forever();
        let retention = age.map_or(retention, |age| retention.max_age(age));
        let retention = bytes.map_or(retention, |bytes| retention.max_bytes(bytes));
        if drops { retention.drop_unread() } else { retention }
    })
}
