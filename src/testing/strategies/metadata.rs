//! Keys, headers, and messages around events.

use proptest::{collection::vec, option, prelude::*, strategy::Strategy};

use crate::{
    event::{Durability, Event, Key},
    message::{CorrelationId, Headers, Message, MessageId},
};

/// Keys that can be published: mostly one of a few, so that events meet, and now and then an odd or a
/// long one.
pub fn keys() -> impl Strategy<Value = Key> + Clone {
    let few = (0..4_u8).prop_map(Key::from);
    let odd = "\\PC{0,30}".prop_map(|text| Key::new(&text));
    let long = (20..=Key::MAX_LEN).prop_map(|length| Key::new(&"k".repeat(length)));
    prop_oneof![12 => few, 3 => odd, 1 => long]
}

/// Headers within the bounds that a message has, none of them tidings' own.
///
/// ```
/// use proptest::prelude::*;
/// use tidings::{Headers, testing::strategies};
///
/// proptest!(|(headers in strategies::headers())| {
///     prop_assert!(headers.len() <= Headers::MAX_COUNT);
/// });
/// ```
pub fn headers() -> impl Strategy<Value = Headers> + Clone {
    let few = vec(("[a-z][a-z-]{0,10}", "\\PC{0,20}"), 0..4);
    let many = vec(("[a-z]{1,128}", "[ -~]{0,400}"), 0..Headers::MAX_COUNT);
    prop_oneof![9 => few, 1 => many].prop_map(|pairs| {
        let mut headers = Headers::default();
        for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with("tidings-")) {
            if headers.insert(name, value).is_err() {
                break; // there is no more room
            }
        }
        headers
    })
}

/// Messages around events, with metadata that has no influence on whether they are published and
/// handled: keys, headers, conversations, causes, durability. Ids, idempotency keys and expiry have one.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, Serialize, Deserialize)] struct Ping(u8);
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// use proptest::prelude::*;
/// use tidings::{Bus, testing::strategies};
///
/// let bus = Bus::volatile();
/// proptest!(|(message in strategies::messages(any::<u8>().prop_map(Ping)))| {
///     prop_assert!(bus.publish(message).is_ok());
/// });
/// ```
pub fn messages<S>(events: S) -> impl Strategy<Value = Message<S::Value>>
where
    S: Strategy<Value: Event + Clone>,
{
    let ids = any::<[u8; 16]>().prop_map(MessageId::from_bytes);
    let correlations = prop_oneof![
        "[a-z0-9-]{1,40}".prop_map(CorrelationId::from),
        ids.clone().prop_map(CorrelationId::from),
    ];
    let levels = prop_oneof![Just(Durability::Buffered), Just(Durability::Synced)];
    let rarely = 0.1;
    let metadata = (
        option::weighted(rarely, keys()),
        headers(),
        option::weighted(rarely, correlations),
        option::weighted(rarely, ids),
        option::weighted(rarely, levels),
    );
    (events, option::weighted(0.3, metadata)).prop_map(|(event, metadata)| {
        let message = Message::new(event);
        let Some((key, headers, correlation, cause, level)) = metadata else { return message };
        let message =
            headers.iter().fold(message, |message, (name, value)| message.header(name, value));
        let message = match key {
            Some(key) => message.key(key),
            None => message,
        };
        let message = match correlation {
            Some(id) => message.correlation_id(id),
            None => message,
        };
        let message = match cause {
            Some(id) => message.causation_id(id),
            None => message,
        };
        match level {
            Some(level) => message.durability(level),
            None => message,
        }
    })
}
