//! The process that is killed: it publishes, handles, and says what was acknowledged.

use std::{
    collections::VecDeque,
    io::{Write, stdout},
    ops::ControlFlow,
    path::Path,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Context, Durability, Event, HandlerError, Message, Pending, Position,
    storage::{FileStorage, Query, RecordRef, Storage},
};

/// Small, so that segments begin all the time.
pub(crate) const SEGMENT: u64 = 32 * 1024;

/// What the process says once it publishes.
pub(crate) const READY: &str = "ready";

/// How many threads publish: blocking ones, and the last one with many under way.
pub(crate) const PUBLISHERS: u64 = 4;

/// The most that the last one has under way.
pub(crate) const IN_FLIGHT: u64 = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "kill.asked", key_with = "publisher_of")]
pub(crate) struct Asked {
    pub(crate) publisher: u64,
    pub(crate) number: u64,
    text: String,
}

fn publisher_of(asked: &Asked) -> u64 {
    asked.publisher
}

/// What the handler makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "kill.answered")]
pub(crate) struct Answered {
    pub(crate) publisher: u64,
    pub(crate) number: u64,
    /// How many answers this publisher had before, by the handler's state.
    pub(crate) before: u64,
}

fn open(dir: &Path) -> Bus {
    let storage = FileStorage::builder(dir).segment_bytes(SEGMENT).state_bytes(16 * 1024);
    let bus = Bus::builder().storage(storage.open().unwrap()).build().unwrap();
    let handle = |asked: &Asked, ctx: &mut Context| -> Result<(), HandlerError> {
        let before = ctx.state().get::<u64>("answers")?.unwrap_or(0);
        ctx.state().put("answers", &(before + 1))?;
        let Asked { publisher, number, .. } = *asked;
        ctx.publish(Answered { publisher, number, before })?;
        Ok(())
    };
    // Kills are so frequent here that some event is under way at several of them.
    bus.subscribe("answering").lanes(2).max_crashes(u32::MAX).on(handle).start().unwrap();
    bus
}

/// The last number that each publisher has in the log.
fn numbers(dir: &Path) -> Vec<u64> {
    let storage = FileStorage::builder(dir).segment_bytes(SEGMENT).open().unwrap();
    let mut numbers: Vec<u64> = (0..PUBLISHERS).map(|_| 0).collect();
    let query = Query::from(Position::FIRST).of(Asked::NAME);
    let mut visit = |record: RecordRef<'_>| {
        let asked: Asked = serde_json::from_slice(record.payload).unwrap();
        numbers[usize::try_from(asked.publisher).unwrap()] = asked.number;
        ControlFlow::Continue(())
    };
    storage.visit(&query, &mut visit).unwrap();
    numbers
}

/// Publishes until the process is killed.
pub(crate) fn publish(dir: &Path) {
    let numbers = numbers(dir);
    let bus = open(dir);
    say(READY);
    thread::scope(|scope| {
        for (publisher, number) in (0..).zip(numbers) {
            let bus = &bus;
            scope.spawn(move || match publisher {
                last if last + 1 == PUBLISHERS => pipeline(bus, publisher, number),
                _ => block(bus, publisher, number),
            });
        }
    });
}

fn asked(publisher: u64, number: u64) -> Message<Asked> {
    let text = "x".repeat((number * 37 % 900) as usize);
    let message = Message::new(Asked { publisher, number, text });
    match publisher {
        // Killed processes lose nothing that the system has.
        1 => message.durability(Durability::Buffered),
        _ => message,
    }
}

fn block(bus: &Bus, publisher: u64, mut number: u64) {
    loop {
        number += 1;
        bus.publish(asked(publisher, number)).unwrap();
        say(&format!("{publisher} {number}"));
    }
}

fn pipeline(bus: &Bus, publisher: u64, mut number: u64) {
    let mut under_way: VecDeque<(u64, Pending<Asked>)> = VecDeque::new();
    loop {
        while (under_way.len() as u64) < IN_FLIGHT {
            number += 1;
            under_way.push_back((number, bus.enqueue(asked(publisher, number)).unwrap()));
        }
        let (done, pending) = under_way.pop_front().unwrap();
        pending.wait().unwrap();
        say(&format!("{publisher} {done}"));
    }
}

/// One write, so that a kill does not tear the line.
fn say(text: &str) {
    stdout().lock().write_all(format!("{text}\n").as_bytes()).unwrap();
    stdout().lock().flush().unwrap();
}

/// Lets the handler catch up.
pub(crate) fn drain(dir: &Path) {
    let bus = open(dir);
    assert!(bus.wait_idle(Duration::from_mins(2)));
    bus.shutdown(Duration::from_secs(10)).unwrap();
}
