//! What an operator reads: what is told, how loudly, and how often.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tidings::{Backoff, Bus, CircuitBreaker, HandlerError, OnDeadLetter, Position, Unread};
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{
    events::{Placed, SECOND, placed, simulated},
    store::Store,
};

/// Keeps all but the details: the level and the message.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// What is told meanwhile on this thread.
    fn of(run: impl FnOnce()) -> Vec<(Level, String)> {
        let log = Self::default();
        tracing::subscriber::with_default(log.clone(), run);
        std::mem::take(&mut *log.0.lock())
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().push((*event.metadata().level(), message.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[test]
fn a_stuck_handler_is_warned_of_once_and_in_time() {
    let told = Log::of(|| {
        let (sim, bus) = simulated(1);
        let clock = sim.clone();
        let reader = bus.subscribe("reader").lanes(2).timeout(10 * SECOND);
        let handler = move |event: &Placed| clock.advance(event.order as u32 * SECOND);
        reader.on(handler).start().unwrap();
        bus.publish_all([9, 11, 3, 40, 9].map(|order| placed(order, 0))).unwrap();
        sim.run_until_idle();
    });
    let stuck = "a handler is stuck: it has not returned in time, and cannot be cancelled";
    assert_eq!(told, [(Level::WARN, stuck.into()), (Level::WARN, stuck.into())]);
}

#[test]
fn a_breaker_tells_how_it_changes() {
    let told = Log::of(|| {
        let (sim, bus) = simulated(2);
        let clock = sim.clone();
        let breaker = CircuitBreaker::new().window(4).min_calls(2).open_for(SECOND).probes(1);
        let reader = bus.subscribe("reader").circuit_breaker(breaker);
        let reader = reader.retry(Backoff::constant(SECOND / 10));
        let handler = move |_: &Placed| {
            let is_up = clock.elapsed() >= SECOND / 2;
            is_up.then_some(()).ok_or_else(|| HandlerError::retry("down"))
        };
        reader.on(handler).start().unwrap();
        bus.publish_all((0..2).map(|order| placed(order, 0))).unwrap();
        sim.run_until_idle();
    });
    let open = "the circuit breaker opens: the subscription rests";
    let expected = [
        (Level::WARN, open),
        (Level::INFO, "the circuit breaker is half-open"),
        (Level::INFO, "the circuit breaker closes"),
    ];
    assert_eq!(told, expected.map(|(level, text)| (level, text.to_owned())));
}

#[test]
fn a_dead_letter_is_warned_of_and_those_behind_it_are_not() {
    let told = Log::of(|| {
        let (sim, bus) = simulated(3);
        let reader = bus.subscribe("reader").on_dead_letter(OnDeadLetter::HoldKey);
        let handler = |_: &Placed| Err::<(), _>(HandlerError::reject("no such customer"));
        reader.on(handler).start().unwrap();
        bus.publish_all((0..5).map(|step| placed(1, step))).unwrap();
        sim.advance(60 * SECOND);
    });
    assert_eq!(told, [(Level::WARN, "an event became a dead letter".to_owned())]);
}

#[test]
fn events_that_are_lost_to_a_subscription_are_told_once_and_loudly() {
    let mut told = Log::of(|| {
        let store = Store::in_small_segments();
        let bus = store.open();
        let start = |bus: &Bus| bus.subscribe("reader").on(|_: &Placed| {}).start().unwrap();
        start(&bus).stop(SECOND);
        (0..3000).for_each(|order| _ = bus.publish(placed(order, 0)).unwrap());
        bus.trim(Position::new(2000).unwrap(), Unread::Drop).unwrap();
        for _ in 0..2 {
            let reader = start(&bus);
            store.sim.run_until_idle();
            reader.stop(SECOND);
        }
    });
    told.retain(|(level, _)| *level == Level::ERROR);
    let lost = "events are lost to the subscription: the log no longer has them";
    assert_eq!(told, [(Level::ERROR, lost.into())]);
}
