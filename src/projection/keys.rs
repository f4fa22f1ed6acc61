//! Where projections keep what they store: the layout of state keys.
//!
//! `area 0x00 projection 0x00 rest`. Names hold no zero byte.

/// What is known of a projection.
pub(super) fn record(name: &str) -> Vec<u8> {
    under("projection", name)
}

/// Which generation is served.
pub(super) fn served(name: &str) -> Vec<u8> {
    under("served", name)
}

/// What the keys of all rows of a generation begin with. The row's own key follows.
pub(super) fn rows(name: &str, generation: u64) -> Vec<u8> {
    let mut key = under("row", name);
    key.extend(generation.to_be_bytes());
    key
}

/// How far the time of a generation's events has come.
pub(super) fn clock(name: &str, generation: u64) -> Vec<u8> {
    let mut key = under("clock", name);
    key.extend(generation.to_be_bytes());
    key
}

/// The name under which a build reads. No user can name a subscription so.
pub(super) fn reader(name: &str) -> String {
    format!("{name} building")
}

fn under(area: &str, name: &str) -> Vec<u8> {
    [area.as_bytes(), name.as_bytes(), b""].join(&0)
}
