//! A reference model of the bus, which steps of a test are compared with.
//!
//! A [`Model`] knows what a step does, and what has to hold after it and at rest. [`BusModel`] knows what
//! the bus itself promises. A model of your own has it inside, passes its steps on, and adds steps and
//! invariants:
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! use proptest::{collection::vec, prelude::*};
//! use tidings::{
//!     Bus, BusBuilder, Context, Error, Event, HandlerError, Message,
//!     testing::{Ending, TestBus, model::{self, BusModel, Model}, strategies::Step},
//! };
//!
//! #[derive(Debug, Clone, Serialize, Deserialize, Event)]
//! #[event(name = "amounts", key = "account")]
//! struct Amount { account: u8, cents: u32 }
//!
//! #[derive(Debug, Clone, Serialize, Deserialize, Event)]
//! #[event(name = "audits.asked")]
//! struct AuditAsked;
//!
//! #[derive(Debug, Clone)]
//! enum BankStep { Bus(Step<Amount>), Audit }
//!
//! struct Bank { bus: BusModel<Amount>, audits: u64 }
//!
//! impl Model for Bank {
//!     type Step = BankStep;
//!
//!     fn apply(&mut self, step: &BankStep, bus: &mut TestBus) {
//!         match step {
//!             BankStep::Bus(step) => self.bus.apply(step, bus),
//!             BankStep::Audit => {
//!                 bus.publish(AuditAsked).unwrap();
//!                 self.audits += 1;
//!             }
//!         }
//!     }
//!
//!     fn check(&self, bus: &TestBus) {
//!         self.bus.check(bus);
//!         assert_eq!(bus.published::<AuditAsked>().len() as u64, self.audits);
//!     }
//!
//!     fn check_at_rest(&mut self, bus: &TestBus) {
//!         self.bus.check_at_rest(bus);
//!         for account in 0..3_u8 {
//!             let amounts = bus.published::<Amount>();
//!             let booked = amounts.iter().filter(|amount| amount.account == account && amount.cents > 0);
//!             let sum: u64 = booked.map(|amount| u64::from(amount.cents)).sum();
//!             let stored: Option<u64> = bus.state("books", account, "sum");
//!             assert_eq!(stored.unwrap_or(0), sum); // each amount exactly once, whatever happened
//!         }
//!     }
//! }
//!
//! fn start(bus: BusBuilder) -> Result<Bus, Error> {
//!     let bus = bus.build()?;
//!     bus.subscribe("books")
//!         .on(|amount: &Amount, ctx: &mut Context| -> Result<(), HandlerError> {
//!             if amount.cents == 0 {
//!                 return Err(HandlerError::reject("nothing"));
//!             }
//!             let sum: u64 = ctx.state().get("sum")?.unwrap_or(0);
//!             ctx.state().put("sum", &(sum + u64::from(amount.cents)))?;
//!             Ok(())
//!         })
//!         .start()?;
//!     Ok(bus)
//! }
//!
//! let amounts = (0..3_u8, 0..5_u32).prop_map(|(account, cents)| Amount { account, cents });
//! // Without metadata, since another key would book an amount elsewhere.
//! let publish = amounts.prop_map(|amount| Step::Publish(Message::new(amount)));
//! let others = prop_oneof![Just(Step::Kill), Just(Step::Advance(std::time::Duration::from_secs(1)))];
//! let steps = prop_oneof![
//!     4 => publish.prop_map(BankStep::Bus),
//!     1 => others.prop_map(BankStep::Bus),
//!     1 => Just(BankStep::Audit),
//! ];
//! proptest!(ProptestConfig::with_cases(16), |(steps in vec(steps, 0..30))| {
//!     let books = BusModel::new().subscription("books", 10, |amount: &Amount, _attempt| {
//!         if amount.cents == 0 { Ending::Rejected } else { Ending::Handled }
//!     });
//!     let mut bank = Bank { bus: books, audits: 0 };
//!     model::run(&mut bank, &steps, &mut TestBus::start(start).unwrap());
//! });
//! ```

mod bus;
mod fate;
mod order;

use std::fmt::Debug;

pub use bus::BusModel;

use super::TestBus;

/// What a test knows of the bus that it drives: what steps do, and what has to hold.
///
/// See the [module](self) for an example.
pub trait Model {
    /// What can happen.
    type Step: Debug;

    /// Takes a step, with the bus and in the model.
    ///
    /// # Panics
    /// It fails, or what comes of it is not what it has to be.
    fn apply(&mut self, step: &Self::Step, bus: &mut TestBus);

    /// What has to hold between any two steps.
    ///
    /// # Panics
    /// It does not.
    fn check(&self, bus: &TestBus);

    /// What has to hold once all subscriptions go on and nothing is left to do.
    ///
    /// # Panics
    /// It does not.
    fn check_at_rest(&mut self, bus: &TestBus);
}

/// Takes steps, and checks after each of them. Then lets the bus come to rest, and checks that.
///
/// # Panics
/// A step or a check fails, or the bus does not come to rest.
#[track_caller]
pub fn run<M: Model>(model: &mut M, steps: &[M::Step], bus: &mut TestBus) {
    for step in steps {
        model.apply(step, bus);
        model.check(bus);
    }
    bus.resume_all();
    bus.run_until_idle();
    model.check_at_rest(bus);
}
