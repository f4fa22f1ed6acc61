//! What the stores hold.

use crate::{
    entry::{Correlation, Entry},
    script::Left,
};

/// Event, version, codec, key, what else there is, payload.
type Row = (&'static str, u32, &'static str, Option<&'static str>, Extra, &'static str);

#[derive(Clone, Copy)]
enum Extra {
    Nothing,
    Id,
    Text(&'static str),
    Caused,
    Headers(&'static [(&'static str, &'static str)]),
    All,
}

use Extra::{All, Caused, Headers, Id, Nothing, Text};

/// All records that were ever written, from position 1 on.
const ROWS: [Row; 22] = [
    ("orders.placed", 1, "json", Some("7"), Nothing, "{\"number\":7}"),
    ("orders.paid", 1, "json", Some("7"), Caused, "{}"),
    ("stock.level", 1, "json", Some("apple"), Nothing, "10"),
    ("stock.level", 1, "json", Some("pear"), Nothing, "5"),
    ("stock.level", 2, "raw", Some("apple"), Id, "\u{1}\u{2}"),
    ("stock.level", 2, "raw", Some("apple"), Nothing, "\u{3}"),
    ("stock.level", 2, "raw", None, Nothing, "without a key"),
    ("stock.level", 2, "raw", Some("pear"), Headers(&[("a", "1")]), "\u{4}"),
    ("stock.level", 2, "raw", Some("pear"), Nothing, "\u{5}"),
    ("stock.level", 2, "raw", Some("apple"), Nothing, "\u{6}"),
    ("orders.placed", 2, "raw", Some("8"), Text("request ünï"), "eight"),
    ("orders.placed", 2, "raw", Some("9"), All, "nine"),
    ("orders.placed", 2, "raw", None, Headers(&[("empty", ""), ("trace", "00-4bf9-01")]), ""),
    ("orders.paid", 1, "json", Some("9"), Caused, "{}"),
    ("", 0, "", Some(""), Text(""), "names may be empty"),
    ("orders.placed", 4_294_967_295, "json", Some("10"), Id, "{\"number\":10}"),
    ("stock.level", 1, "json", Some("fig"), Nothing, "1"),
    ("stock.level", 1, "json", Some("fig"), Nothing, "2"),
    ("orders.paid", 1, "json", Some("10"), Nothing, "{}"),
    ("orders.paid", 1, "json", Some("11"), Nothing, "{}"),
    ("orders.paid", 1, "json", Some("12"), Nothing, "of the killed store alone"),
    ("orders.paid", 1, "json", Some("13"), Nothing, "and buffered"),
];

/// The first position that is kept.
pub(crate) const FIRST: u64 = 3;

/// Positions that a compaction dropped.
const DROPPED: [u64; 5] = [3, 4, 5, 6, 8];

pub(crate) fn end(left: Left) -> u64 {
    if left == Left::Closed { 21 } else { 23 }
}

/// The record at a position, whether it is still there or not.
pub(crate) fn entry(position: u64) -> Entry {
    let at = usize::try_from(position - 1).unwrap();
    let (name, version, codec, key, extra, payload) = ROWS[at];
    let id = |of: u64| {
        let mut id = [0; 16];
        (id[0], id[15]) = (0x9e, u8::try_from(of).unwrap());
        id
    };
    let headers: &[(&str, &str)] = match extra {
        Headers(headers) => headers,
        All => &[("a", "b"), ("c", "d")],
        _ => &[],
    };
    Entry {
        position,
        name: name.into(),
        version,
        codec: codec.into(),
        id: id(position),
        // Times fall now and then.
        time: 1_700_000_000_000_000_000 + position * 1_000_003 - (position % 3) * 4_000_000,
        key: key.map(Into::into),
        correlation: match extra {
            Id => Correlation::Id(id(position + 100)),
            Text(text) => Correlation::Text(text.into()),
            All => Correlation::Text("all".into()),
            _ => Correlation::None,
        },
        causation: matches!(extra, Caused | All).then(|| id(position - 1)),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        payload: payload.into(),
    }
}

/// The records that are there.
pub(crate) fn records(left: Left) -> Vec<Entry> {
    (FIRST..end(left)).filter(|at| !DROPPED.contains(at)).map(entry).collect()
}

pub(crate) fn state(left: Left) -> Vec<(Vec<u8>, Vec<u8>)> {
    let big = "b".repeat(700);
    let mut state = vec![("big", &*big), ("cursor/a", "19"), ("cursor/b", "")];
    if left == Left::Killed {
        state.push(("late", "in the log alone"));
    }
    state.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
