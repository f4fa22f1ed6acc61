//! Values for property tests with [`proptest`](https://docs.rs/proptest/1): messages, policies, and whole
//! flows of steps that are driven against a [`TestBus`](super::TestBus).
//!
//! Strategies shrink towards what is simple: few steps, short keys, one lane. All policies are such that
//! a bus comes to rest with them.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! use proptest::prelude::*;
//! use tidings::{Bus, Error, Event, testing::{TestBus, strategies}};
//!
//! #[derive(Debug, Clone, Serialize, Deserialize, Event)]
//! #[event(name = "amounts", key = "account")]
//! struct Amount { account: u8, cents: u32 }
//!
//! fn amounts() -> impl Strategy<Value = Amount> {
//!     (0..3_u8, any::<u32>()).prop_map(|(account, cents)| Amount { account, cents })
//! }
//!
//! proptest! {
//!     # #![proptest_config(ProptestConfig::with_cases(16))]
//!     # /*
//!     #[test]
//!     # */
//!     fn every_amount_is_booked(
//!         flow in strategies::flows(amounts(), &["books"]),
//!         policy in strategies::subscription_policies(),
//!     ) {
//!         let mut bus = TestBus::start(move |bus| {
//!             let bus = bus.build()?;
//!             policy.apply(bus.subscribe("books")).on(|_: &Amount| ()).start()?;
//!             Ok::<_, Error>(bus)
//!         })
//!         .unwrap();
//!         flow.run(&mut bus);
//!         prop_assert_eq!(bus.subscription("books").ledger().acknowledged, bus.end().get() - 1);
//!     }
//! }
//! # every_amount_is_booked();
//! ```

mod flow;
mod metadata;
mod policy;
mod subscription;

pub use flow::{Flow, Step, flows, steps};
pub use metadata::{headers, keys, messages};
pub use policy::{backoffs, circuit_breakers, lanes, rates, retentions, retry_budgets, windows};
pub use subscription::{SubscriptionPolicy, subscription_policies};
