//! The two ends of a bridge, as small as they can be: a log that is sent, and one that is received into.

use std::{collections::BTreeSet, sync::Arc};

use tidings::{
    Envelope, MessageId,
    transport::{HighWater, Parcel, Sent, Settlement, StreamChange, Transport, TransportError},
};

/// How many parcels are under way at most.
const WINDOW: usize = 8;

fn id(number: u64) -> MessageId {
    let mut bytes = [0xee; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn number(parcel: &Parcel) -> u64 {
    u64::from_be_bytes(parcel.id().to_bytes()[8..].try_into().unwrap())
}

/// Sends numbered events from a log, and notices when the broker has lost what it had accepted.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// Events of smaller numbers were accepted.
    cursor: u64,
    seen: HighWater,
    /// How often the broker lost something.
    pub(crate) alarms: u64,
}

impl Outbound {
    pub(crate) fn is_done(&self, events: u64) -> bool {
        self.cursor >= events
    }

    /// Sends on, as far as the transport lets.
    pub(crate) fn run(&mut self, transport: &impl Transport, events: u64) {
        let before = (self.alarms, self.cursor);
        self.send_some(transport, events);
        if (self.alarms, self.cursor) != before {
            self.run(transport, events);
        }
    }

    fn send_some(&mut self, transport: &impl Transport, events: u64) {
        match transport.streams().map(|streams| self.seen.look(&streams)) {
            Err(error) => return assert!(error.is_passing(), "{error}"),
            Ok(Err(change)) => return self.alarm(transport, &change),
            Ok(Ok(())) => {}
        }
        let next: Vec<Parcel> = (self.cursor..events).take(WINDOW).map(parcel).collect();
        for sent in transport.send(&next) {
            match sent {
                Ok(Sent::Accepted { place, is_copy }) => {
                    if let Err(change) = self.seen.note(&place, is_copy) {
                        return self.alarm(transport, &change);
                    }
                    self.cursor += 1;
                }
                // What is behind it may be accepted: it will be a copy then.
                Ok(_) => return,
                Err(error) if error.is_passing() => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends everything again from the log, which still has it. The receiver drops what it has.
    fn alarm(&mut self, transport: &impl Transport, _: &StreamChange) {
        self.alarms += 1;
        self.cursor = 0;
        self.seen = HighWater::new();
        if let Ok(streams) = transport.streams() {
            drop(self.seen.look(&streams)); // nothing was seen of them yet
        }
    }
}

fn parcel(number: u64) -> Parcel {
    let mut envelope = Envelope::new("orders.placed", 1, id(number));
    envelope.key = Some(format!("customer-{}", number % 3).into());
    Parcel::new(Arc::new(envelope), format!("order {number}").into_bytes()).unwrap()
}

/// Receives events into a log, each once.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    known: BTreeSet<u64>,
    /// What was handled, in order.
    pub(crate) log: Vec<u64>,
    pub(crate) copies: u64,
}

impl Inbound {
    /// Receives what has arrived: first into the log, then it is acknowledged.
    pub(crate) fn run(&mut self, transport: &impl Transport) {
        let arrivals = match transport.receive("shop", WINDOW) {
            Ok(arrivals) => arrivals,
            Err(error) => return assert!(error.is_passing(), "{error}"),
        };
        if arrivals.is_empty() {
            return;
        }
        for arrival in arrivals {
            let parcel = arrival.parcel.unwrap();
            let number = number(&parcel);
            assert_eq!(parcel.payload(), format!("order {number}").into_bytes());
            if self.known.insert(number) {
                self.log.push(number);
            } else {
                self.copies += 1;
            }
            match transport.settle(&arrival.token, Settlement::Ack) {
                Ok(()) | Err(TransportError::Stale) => {}
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
        }
        self.run(transport);
    }
}
