//! A checkout, tried out before it meets real money: thousands of simulated runs in which processes die, the power
//! fails and acknowledgements get lost, all from seeds.
//!
//! ```sh
//! cargo run --release --example simulated_checkout               # a careful checkout: nothing is found
//! cargo run --release --example simulated_checkout -- --careless # one that charges twice: found, and explained
//! ```
#![allow(missing_docs)]

use std::{
    collections::BTreeSet,
    env,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, BusBuilder, Context, Event, HandlerError,
    testing::{
        Faults,
        sim::{self, Run},
        try_prove_idempotent,
    },
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
struct OrderPlaced {
    order: u64,
    cents: u64,
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "payments.taken", key = "order")]
struct PaymentTaken {
    order: u64,
}

/// The bank, as far as the checkout knows it. It is not part of the process, and so it does not die with it.
#[derive(Clone)]
struct Bank {
    sim: Run,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Bank {
    fn new(sim: &Run) -> Self {
        Self { sim: sim.clone(), known: Arc::default() }
    }

    /// Takes money, once for each key. Sometimes it does not answer.
    fn charge(&self, order: u64, cents: u64, key: Option<String>) -> Result<(), HandlerError> {
        if self.sim.chance("the bank does not answer", 0.05) {
            return Err(HandlerError::retry("the bank does not answer"));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = key.is_none_or(|key| known.insert(key));
        if is_new {
            self.sim.effect(format!("order {order} is charged {cents} cents"));
        }
        Ok(())
    }
}

/// The checkout as in production, but for the bank.
fn start(bus: BusBuilder, bank: Bank, careless: bool) -> Result<Bus, tidings::Error> {
    let bus = bus.build()?;
    bus.subscribe("billing")
        .lanes(2)
        .on(move |placed: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
            // What goes wrong without a key: the money is taken, and then the process dies before anybody
            // has written that down.
            let key = (!careless).then(|| ctx.idempotency_key("charge"));
            bank.charge(placed.order, placed.cents, key)?;
            ctx.publish(PaymentTaken { order: placed.order })?;
            Ok(())
        })
        .start()?;
    bus.subscribe("shipping")
        .on(|taken: &PaymentTaken, ctx: &mut Context| -> Result<(), HandlerError> {
            ctx.state().put("shipped", &taken.order)?; // commits with the acknowledgement: once
            Ok(())
        })
        .start()?;
    Ok(bus)
}

/// Three orders go through the checkout.
fn checkout(sim: &Run, careless: bool) {
    let bank = Bank::new(sim);
    sim.process(move |bus| start(bus, bank.clone(), careless));
    for order in 1..=3 {
        sim.publish(OrderPlaced { order, cents: order * 1000 });
    }
    sim.settle();
}

fn charges_are_right(sim: &Run, careless: bool) {
    checkout(sim, careless);
    for order in 1..=3 {
        let times = sim.count_effect(format!("order {order} is charged {} cents", order * 1000));
        assert!(times == 1, "order {order} was charged {times} times");
    }
}

fn main() -> ExitCode {
    let careless = env::args().skip(1).any(|argument| argument == "--careless");
    let began = Instant::now();
    println!("== Under 2,000 seeds, each with faults of its own");
    let seeds = sim::try_explore(1..=2000, Faults::swarm(), |sim| charges_are_right(sim, careless));
    match &seeds {
        Ok(explored) => println!("{explored}: nothing found\n"),
        Err(failure) => println!("{failure}"),
    }
    println!("== With the process dying at every moment at which it can");
    let moments = sim::try_exhaustive(1, |sim| charges_are_right(sim, careless));
    match &moments {
        Ok(explored) => println!("{explored}: nothing found\n"),
        Err(failure) => println!("{}\n", failure.message),
    }
    println!("== With every call of a handler repeated");
    let proof = try_prove_idempotent(|sim| checkout(sim, careless));
    match &proof {
        Ok(proof) => println!("{proof}"),
        Err(found) => println!("{found}"),
    }
    println!("all that took {:.1?}", began.elapsed());
    let found = [seeds.is_err(), moments.is_err(), proof.is_err()];
    if found == [careless; 3] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
