//! Lies about what is received.

use std::{
    collections::BTreeSet,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use tidings::transport::{
    Capabilities, LoopbackTransport, Notifier, Order, Settlement, Token, Transport,
};

use super::{Lie, Received, Settled, finds, unique};
use crate::transports::everything;

lies! {
    one_that_waits: Waits, nothing_to_receive_is_answered_at_once;
    one_that_gives_more_than_asked: GivesMoreThanAsked, no_more_is_received_than_was_asked_for;
    one_that_begins_at_the_end: BeginsAtTheEnd::default(), a_new_group_begins_with_the_oldest;
    one_that_gives_all_to_each_member: GivesAllToEachMember::default(), the_members_of_a_group_share_what_arrives;
    one_that_reorders: Reorders, the_declared_order_is_kept;
    one_that_reorders_within_keys: ReordersWithinKeys, the_declared_order_is_kept;
    one_that_never_notifies: NeverNotifies, a_notifier_is_called_when_there_is_something_to_receive;
    one_that_notifies_of_new_ones_alone: NotifiesOfNewOnesAlone::default(), a_notifier_is_called_when_there_is_something_to_receive;
}

lie! {
    /// Polls its broker for as long as brokers let one.
    Waits;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max)?;
        if arrivals.is_empty() {
            std::thread::sleep(Duration::from_millis(350));
        }
        Ok(arrivals)
    }
}

lie! {
    GivesMoreThanAsked;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        truth.receive(group, max + 1)
    }
}

/// Has a new group begin with what comes next.
#[derive(Debug, Default)]
struct BeginsAtTheEnd(Mutex<BTreeSet<String>>);

impl Lie for BeginsAtTheEnd {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        if self.0.lock().unwrap().insert(group.to_owned()) {
            for arrival in truth.receive(group, usize::MAX)? {
                truth.settle(&arrival.token, Settlement::Ack)?;
            }
        }
        truth.receive(group, max)
    }
}

/// Has every member be a group of its own.
#[derive(Debug)]
struct GivesAllToEachMember(u64);

impl Default for GivesAllToEachMember {
    fn default() -> Self {
        Self(unique())
    }
}

impl Lie for GivesAllToEachMember {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        truth.receive(&format!("{group}-{}", self.0), max)
    }
}

lie! {
    Reorders;
    fn truth() -> Capabilities {
        everything()
    }
    fn capabilities() -> Capabilities {
        everything().order(Order::Total)
    }
}

lie! {
    ReordersWithinKeys;
    fn truth() -> Capabilities {
        everything()
    }
    fn capabilities() -> Capabilities {
        everything().order(Order::PerKey)
    }
}

lie! {
    NeverNotifies;
    fn set_notifier(&self, _: &LoopbackTransport, _: Notifier) {}
}

/// Calls the notifier for as long as nothing was to be tried again.
#[derive(Debug, Default)]
struct NotifiesOfNewOnesAlone(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Lie for NotifiesOfNewOnesAlone {
    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        self.0.fetch_or(matches!(wanted, Settlement::Retry { .. }), Ordering::AcqRel);
        truth.settle(token, wanted)
    }

    fn set_notifier(&self, truth: &LoopbackTransport, notifier: Notifier) {
        let is_silent = std::sync::Arc::clone(&self.0);
        truth.set_notifier(std::sync::Arc::new(move || {
            if !is_silent.load(Ordering::Acquire) {
                notifier();
            }
        }));
    }
}
