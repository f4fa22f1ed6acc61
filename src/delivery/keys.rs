//! Where the delivery keeps what it stores: the layout of state keys.
//!
//! `area 0x00 subscription 0x00 rest`. Names of subscriptions hold no zero byte.

use std::collections::BTreeMap;

use crate::{event::Key, message::Position, storage::Write};

/// State writes by key; the last one to a key wins. `None` removes.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(super) fn into_commit(writes: Writes) -> Vec<Write> {
    writes.into_iter().map(|(key, value)| Write { key, value }).collect()
}

pub(super) fn subscription(name: &str) -> Vec<u8> {
    under("subscription", name)
}

/// What the keys of all subscriptions begin with.
pub(super) const SUBSCRIPTIONS: &[u8] = b"subscription\0";

/// The name in the key of a subscription.
pub(super) fn name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(SUBSCRIPTIONS)?.strip_suffix(&[0])?).ok()
}

pub(super) fn cursor(name: &str, lane: u32) -> Vec<u8> {
    let mut key = under("cursor", name);
    key.extend(lane.to_be_bytes());
    key
}

pub(super) fn cursors(name: &str) -> Vec<u8> {
    under("cursor", name)
}

pub(super) fn all_cursors() -> Vec<u8> {
    b"cursor\0".to_vec()
}

/// The subscription that a cursor's key names.
pub(super) fn subscription_of(key: &[u8]) -> Option<&str> {
    let name = key.strip_prefix(b"cursor\0")?.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(name).ok()
}

pub(super) fn loss(name: &str, first: Position) -> Vec<u8> {
    let mut key = losses(name);
    key.extend(first.get().to_be_bytes());
    key
}

pub(super) fn losses(name: &str) -> Vec<u8> {
    under("loss", name)
}

/// What a salvage could not save: the key ends with the first position of a gap, the value is its
/// last one.
pub(super) fn unsalvaged() -> Vec<u8> {
    b"lost\0".to_vec()
}

pub(super) fn dead_letters(name: &str) -> Vec<u8> {
    under("dead", name)
}

pub(super) fn dead_letter(name: &str, position: Position) -> Vec<u8> {
    let mut key = under("dead", name);
    key.extend(position.get().to_be_bytes());
    key
}

/// The position at the end of a key.
pub(super) fn position(key: &[u8]) -> Option<Position> {
    Position::new(u64::from_be_bytes(*key.last_chunk()?))
}

/// That a subscription runs, and what it is careful about.
pub(super) fn careful(subscription: &str) -> Vec<u8> {
    under("careful", subscription)
}

/// What a careful lane has under way.
pub(super) fn under_way(subscription: &str, lane: u32) -> Vec<u8> {
    let mut key = careful(subscription);
    key.extend(lane.to_be_bytes());
    key
}

/// The subscription of a lane that notes what it has under way.
#[cfg(any(test, feature = "testing"))]
pub(super) fn careful_subscription(key: &[u8]) -> Option<&str> {
    let rest = key.strip_prefix(b"careful\0")?;
    let (name, _lane) = rest.split_last_chunk::<4>()?;
    std::str::from_utf8(name.strip_suffix(&[0])?).ok()
}

/// What handlers have done outside for one event.
pub(super) fn effects(subscription: &str, position: Position) -> Vec<u8> {
    let mut key = all_effects(subscription);
    key.extend(position.get().to_be_bytes());
    key
}

pub(super) fn all_effects(subscription: &str) -> Vec<u8> {
    under("effects", subscription)
}

/// What all handlers of a subscription have handled.
pub(super) fn inboxes(subscription: &str) -> Vec<u8> {
    under("inbox", subscription)
}

/// What the handler of an event has handled.
pub(super) fn inbox(subscription: &str, event: &str) -> Vec<u8> {
    let mut key = under("inbox", subscription);
    key.extend(event.bytes());
    key.push(0);
    key
}

/// What the keys of all that handlers store begin with.
#[cfg(any(test, feature = "testing"))]
pub(crate) const STATE: &[u8] = b"state\0";

/// State of one subscription and one event key. The key's length comes first, so that no two keys
/// and names run into each other.
pub(super) fn state(subscription: &str, key: Option<&Key>, name: &str) -> Vec<u8> {
    named("state", subscription, key, name)
}

/// The same in any area.
pub(super) fn named(area: &str, subscription: &str, key: Option<&Key>, name: &str) -> Vec<u8> {
    let mut bytes = under(area, subscription);
    let text = key.map(Key::as_str);
    // Keys are bounded far below; `None` is told apart from the empty key.
    let length = text.map_or(0, |text| text.len() + 1);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(text.unwrap_or_default().bytes());
    bytes.extend(name.bytes());
    bytes
}

/// The event key and the name at the end of what [`named`] makes, behind area and subscription.
pub(super) fn split_named(bytes: &[u8]) -> Option<(Key, &str)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_sub(1)?;
    let (key, name) = rest.split_at_checked(length)?;
    Some((Key::new(std::str::from_utf8(key).ok()?), std::str::from_utf8(name).ok()?))
}

/// Those writes whose key begins so.
pub(super) fn under_prefix(writes: &Writes, prefix: &[u8]) -> Writes {
    let from = writes.range(prefix.to_vec()..);
    from.take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Whether there is any write whose key begins so.
pub(super) fn any_under(writes: &Writes, prefix: &[u8]) -> bool {
    writes.range(prefix.to_vec()..).next().is_some_and(|(key, _)| key.starts_with(prefix))
}

pub(super) fn under(area: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(area.len() + name.len() + 16);
    key.extend(area.bytes());
    key.push(0);
    key.extend(name.bytes());
    key.push(0);
    key
}
