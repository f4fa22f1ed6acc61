//! Every value of a strategy is one that a bus takes.

use std::time::Duration;

use proptest::prelude::*;
use tidings::{
    Bus, BusBuilder, Headers, Key, Window,
    testing::{TestBus, strategies},
};

use crate::work::{Work, handle, work};

proptest! {
    #[test]
    fn keys_and_headers_are_within_their_bounds(key in strategies::keys(), headers in strategies::headers()) {
        prop_assert!(key.as_str().len() <= Key::MAX_LEN);
        prop_assert!(headers.len() <= Headers::MAX_COUNT);
        prop_assert!(!headers.iter().any(|(name, _)| name.starts_with("tidings-")));
    }

    #[test]
    fn every_message_can_be_published_and_is_there_as_it_was(
        messages in prop::collection::vec(strategies::messages(work()), 1..5),
    ) {
        let bus = TestBus::start(BusBuilder::build).unwrap();
        let receipts = bus.publish_all(messages.clone()).unwrap();
        let found = bus.published_messages::<Work>();
        let positions: Vec<_> = found.iter().map(|one| one.position).collect();
        prop_assert_eq!(positions, receipts.iter().map(|one| one.position).collect::<Vec<_>>());
    }

    #[test]
    fn every_policy_starts_a_subscription(
        policy in strategies::subscription_policies(),
        backoff in strategies::backoffs(),
        window in strategies::windows(),
    ) {
        let bus = Bus::builder().dedup_window(window).build().unwrap();
        let builder = policy.apply(bus.subscribe("working")).retry(backoff);
        prop_assert!(builder.on(handle).start().is_ok());
        prop_assert_ne!(window, Window::last(usize::MAX));
    }

    #[test]
    fn every_retention_lets_a_bus_work(retention in strategies::retentions(), works in prop::collection::vec(work(), 0..20)) {
        let bus = TestBus::start(move |bus| {
            let bus = bus.retention(retention).build()?;
            bus.subscribe("working").on(handle).start()?;
            Ok::<_, tidings::Error>(bus)
        })
        .unwrap();
        for work in works {
            bus.publish(work).unwrap();
            bus.advance(Duration::from_secs(1));
        }
        bus.run_until_idle();
    }
}
