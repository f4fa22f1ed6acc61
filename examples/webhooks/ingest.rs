//! From lines to events: every line becomes exactly one.

use std::{
    collections::VecDeque,
    io::{self, BufRead},
};

use serde::{Deserialize, Serialize};
use tidings::{Bus, Error, Event, PublishFailure, Receipt};

use crate::events::Webhook;

/// How many publishes may be under way. They share disk syncs, so more is faster, up to a point.
const WINDOW: usize = 1024;

/// A line that is no webhook, or not of the shape that its kind should have.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "webhooks.unreadable")]
pub(crate) struct Unreadable {
    pub(crate) line: u64,
    pub(crate) text: String,
    pub(crate) error: String,
}

#[derive(Debug, Default)]
pub(crate) struct Ingested {
    /// Lines read, empty ones aside.
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Events that the bus has acknowledged.
    pub(crate) published: u64,
}

/// Returns once everything is as durable as the bus promises.
pub(crate) fn ingest(
    bus: &Bus,
    mut input: impl BufRead,
) -> Result<Ingested, Box<dyn std::error::Error>> {
    let mut ingested = Ingested::default();
    let mut pipeline = Pipeline::new(bus);
    let mut line = Vec::new();
    for number in 1.. {
        if !next_line(&mut input, &mut line)? {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        ingested.lines += 1;
        ingested.bytes += line.len() as u64;
        pipeline
            .send_line(number, line.trim_ascii_end())
            .map_err(|error| format!("line {number}: {error}"))?;
    }
    ingested.published = pipeline.finish()?;
    Ok(ingested)
}

/// False at the end. Lines are bytes: one that is not UTF-8 is just another unreadable one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(input.read_until(b'\n', line)? > 0)
}

/// Publishes without waiting for the disk at every event.
struct Pipeline<'a> {
    bus: &'a Bus,
    under_way: VecDeque<Acknowledgement>,
    acknowledged: u64,
}

type Acknowledgement = Box<dyn FnOnce() -> Result<Receipt, Error>>;

impl<'a> Pipeline<'a> {
    fn new(bus: &'a Bus) -> Self {
        Self { bus, under_way: VecDeque::with_capacity(WINDOW), acknowledged: 0 }
    }

    fn send_line(&mut self, number: u64, line: &[u8]) -> Result<(), Error> {
        match Webhook::parse(line) {
            Ok(Webhook::Push(event)) => self.send(event),
            Ok(Webhook::PullRequest(event)) => self.send(event),
            Ok(Webhook::Issue(event)) => self.send(event),
            Ok(Webhook::Discussion(event)) => self.send(event),
            Ok(Webhook::IssueComment(event)) => self.send(event),
            Ok(Webhook::Release(event)) => self.send(event),
            Ok(Webhook::Other(event)) => self.send(event),
            Err(error) => self.send(Unreadable {
                line: number,
                text: String::from_utf8_lossy(line).into(),
                error: error.to_string(),
            }),
        }
    }

    fn send<E: Event>(&mut self, event: E) -> Result<(), Error> {
        if self.under_way.len() == WINDOW {
            self.wait_for_oldest()?;
        }
        match self.bus.enqueue(event) {
            Ok(pending) => {
                let wait = Box::new(move || Ok(pending.wait()?));
                self.under_way.push_back(wait);
            }
            // No room now: `publish` waits for it.
            Err(error) if matches!(error.failure(), PublishFailure::Full { .. }) => {
                self.bus.publish(error.into_message())?;
                self.acknowledged += 1;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn wait_for_oldest(&mut self) -> Result<(), Error> {
        if let Some(wait) = self.under_way.pop_front() {
            wait()?;
            self.acknowledged += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, Error> {
        while !self.under_way.is_empty() {
            self.wait_for_oldest()?;
        }
        Ok(self.acknowledged)
    }
}
