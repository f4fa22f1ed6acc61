//! tidings, as a user has it: events through a durable bus, and the log read back.

use std::{ops::ControlFlow, path::Path};

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Durability, Event, Message, MessageId, Position, Publisher,
    codec::{Codec, CodecError},
    storage::{FileStorage, Query, RecordRef, Storage},
};
use tidings_bench::timing::{Window, keep_in_flight};

use crate::store::{Payloads, Pipeline, Publish, Replay};

/// An event whose payload is just its bytes.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "bench.raw", codec = "Copied")]
struct Raw {
    bytes: Vec<u8>,
}

/// Copies the bytes.
struct Copied;

impl Codec<Raw> for Copied {
    fn name(&self) -> &'static str {
        "copied"
    }

    fn encode(&self, event: &Raw, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&event.bytes);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Raw, CodecError> {
        Ok(Raw { bytes: bytes.to_vec() })
    }
}

/// A durable bus without subscriptions.
pub(crate) struct OpenBus {
    publisher: Publisher<Raw>,
    with_metadata: bool,
}

impl OpenBus {
    fn open(dir: &Path, durability: Durability, with_metadata: bool) -> Self {
        let bus = Bus::builder().durability(durability).open(dir).unwrap();
        Self { publisher: bus.publisher().unwrap(), with_metadata }
    }

    pub(crate) fn synced(dir: &Path) -> Self {
        Self::open(dir, Durability::Synced, false)
    }

    pub(crate) fn buffered(dir: &Path) -> Self {
        Self::open(dir, Durability::Buffered, false)
    }

    /// Each event has a key of [`OpenBus::KEY`] and a correlation id.
    pub(crate) fn with_metadata(dir: &Path) -> Self {
        Self::open(dir, Durability::Buffered, true)
    }

    const KEY: &str = "order-004711";
    /// The bytes of a key, an id and a correlation id.
    pub(crate) const METADATA: usize = Self::KEY.len() + 16 + 16;

    fn message(&self, payload: &[u8]) -> Message<Raw> {
        let message = Message::new(Raw { bytes: payload.to_vec() });
        if !self.with_metadata {
            return message;
        }
        message.key(Self::KEY).correlation_id(MessageId::from_bytes([7; 16]))
    }
}

impl Publish for OpenBus {
    fn append(&self, payload: &[u8]) {
        self.publisher.publish(self.message(payload)).unwrap();
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let messages = payloads.iter().map(|payload| self.message(payload));
        self.publisher.publish_all(messages).unwrap();
    }
}

impl Pipeline for OpenBus {
    fn pipeline(&self, in_flight: usize, payloads: &Payloads, window: Window) -> u64 {
        let begin = |number| self.publisher.enqueue(self.message(payloads.get(number))).unwrap();
        keep_in_flight(in_flight, window, begin, |pending| {
            pending.wait().unwrap();
        })
    }
}

/// The log of a bus, read without one.
pub(crate) struct OpenLog(FileStorage);

impl OpenLog {
    pub(crate) fn open(dir: &Path) -> Self {
        Self(FileStorage::open(dir).unwrap())
    }
}

impl Replay for OpenLog {
    fn events(&self) -> u64 {
        self.0.end().get() - Position::FIRST.get()
    }

    fn replay(&self) -> u64 {
        let mut bytes = 0;
        let mut visit = |record: RecordRef<'_>| {
            bytes += record.payload.len() as u64;
            ControlFlow::Continue(())
        };
        let end = self.0.visit(&Query::from(Position::FIRST), &mut visit).unwrap();
        assert_eq!(end, self.0.end());
        bytes
    }
}
