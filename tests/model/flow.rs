//! The events and subscriptions of the runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Bus, Context, Event, HandlerError, Lanes, SubscribeError, Subscription,
    testing::Simulator,
};

use crate::history::{Ending, Fact, History};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "model.source", key_with = "Source::route")]
pub(crate) struct Source {
    pub(crate) event: u64,
    pub(crate) key: u64,
}

impl Source {
    /// Key 0 stands for no key.
    fn route(&self) -> Option<u64> {
        (self.key > 0).then_some(self.key)
    }
}

/// What the counting subscription publishes for each source that it handles.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "model.counted", key = "key")]
pub(crate) struct Counted {
    pub(crate) source: u64,
    pub(crate) key: u64,
    /// How many of the key came before, from the subscription's state.
    pub(crate) count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "model.noise")]
pub(crate) struct Noise;

pub(crate) const ATTEMPTS: u32 = 4;

pub(crate) const MOST_LANES: u32 = 4;

pub(crate) const SUBSCRIPTIONS: [&str; 3] = ["plain", "counting", "second-hand"];

/// What a run draws for its handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Out of 100 calls, how many fail, panic, and reject.
    pub(crate) fail: u64,
    pub(crate) panic: u64,
    pub(crate) reject: u64,
}

impl Faults {
    pub(crate) const NONE: Self = Self { fail: 0, panic: 0, reject: 0 };
}

/// Starts a subscription, with lanes drawn anew.
pub(crate) fn start(
    by: &'static str,
    bus: &Bus,
    sim: &Simulator,
    history: &History,
    faults: Faults,
) -> Result<Subscription, SubscribeError> {
    let retry = Backoff::exponential(Duration::from_secs(1)).jitter().max_attempts(ATTEMPTS);
    let lanes = draw_lanes(sim);
    let builder = bus.subscribe(by).lanes(lanes).retry(retry);
    let judge = Judge { by, sim: sim.clone(), history: history.clone(), faults };
    let builder = match by {
        "plain" => builder
            .on(move |event: &Source, ctx: &mut Context| judge.call(event.event, event.key, ctx)),
        "counting" => builder.on(move |event: &Source, ctx: &mut Context| {
            count(event, ctx)?;
            judge.call(event.event, event.key, ctx)
        }),
        _ => builder
            .max_parked(3)
            .on(move |event: &Counted, ctx: &mut Context| judge.call(event.source, event.key, ctx)),
    };
    builder.start()
}

fn draw_lanes(sim: &Simulator) -> Lanes {
    let number = 1 + sim.random_below(u64::from(MOST_LANES)) as u32;
    if sim.random_below(2) == 0 { number.into() } else { Lanes::adaptive(1..=MOST_LANES) }
}

/// Publishes and stores before the verdict, so that a failed attempt has something to undo.
fn count(event: &Source, ctx: &mut Context) -> Result<(), HandlerError> {
    if event.key == 0 {
        return Ok(());
    }
    let count = ctx.state().get::<u64>("count")?.unwrap_or(0);
    ctx.state().put("count", &(count + 1))?;
    ctx.publish(Counted { source: event.event, key: event.key, count })?;
    Ok(())
}

/// Draws how a call ends, and records it.
struct Judge {
    by: &'static str,
    sim: Simulator,
    history: History,
    faults: Faults,
}

impl Judge {
    fn call(&self, event: u64, key: u64, ctx: &mut Context) -> Result<(), HandlerError> {
        let (by, position, attempt) = (self.by, ctx.position().get(), ctx.attempt());
        self.history.add(Fact::Called { by, event, key, position, attempt });
        let Faults { fail, panic, reject } = self.faults;
        let draw = self.sim.random_below(100);
        let ending = match draw {
            _ if draw < fail => Ending::Failed,
            _ if draw < fail + panic => Ending::Panicked,
            _ if draw < fail + panic + reject => Ending::Rejected,
            _ => Ending::Handled,
        };
        self.history.add(Fact::Returned { by, event, ending });
        match ending {
            Ending::Handled => Ok(()),
            Ending::Failed => Err(HandlerError::retry("drawn")),
            Ending::Rejected => Err(HandlerError::reject("drawn")),
            // Unlike `panic!`, prints nothing.
            Ending::Panicked => std::panic::resume_unwind(Box::new("drawn")),
        }
    }
}
