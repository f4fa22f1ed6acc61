//! The table of layers, twin of the picture in docs/architecture.md.

use std::collections::BTreeSet;

/// The areas of each level, from the ground up. An area imports from levels below its own.
pub(crate) const LEVELS: &[&[&str]] = &[
    &["codec", "error", "event", "message", "policy", "runtime"],
    &["storage", "transport"],
    &["contract", "journal"],
    &["delivery"],
    &["bus"],
    &["aggregate", "bridge", "projection", "replay", "rollout", "saga", "schedule", "testing"],
    &["console"],
];

/// Who may import whom on one level.
pub(crate) const NEIGHBOURS: &[(&str, &str)] = &[
    ("aggregate", "replay"),
    ("codec", "error"),
    ("event", "codec"),
    ("journal", "contract"),
    ("message", "event"),
    ("message", "runtime"),
    ("policy", "message"),
    ("policy", "runtime"),
    ("projection", "replay"),
    ("testing", "projection"),
    ("testing", "saga"),
];

/// An import: from an area, to an area.
pub(crate) type Edge = (String, String);

pub(crate) fn level(area: &str) -> Option<usize> {
    LEVELS.iter().position(|areas| areas.contains(&area))
}

/// Whether one area may import another. Areas outside the table are another rule's business.
pub(crate) fn may_import(from: &str, to: &str) -> bool {
    let (Some(above), Some(below)) = (level(from), level(to)) else {
        return true;
    };
    above > below || NEIGHBOURS.contains(&(from, to))
}

/// One circle among the edges, as a list of areas, if there is any.
pub(crate) fn circle(edges: &BTreeSet<Edge>) -> Option<Vec<String>> {
    let left = without_dead_ends(edges);
    let mut trail = vec![left.first()?.0.clone()];
    loop {
        let here = trail.last()?;
        let (_, next) = left.iter().find(|(from, _)| from == here)?;
        let seen = trail.iter().position(|area| area == next);
        trail.push(next.clone());
        if let Some(seen) = seen {
            return Some(trail.split_off(seen));
        }
    }
}

/// The edges from which one can go on for ever.
fn without_dead_ends(edges: &BTreeSet<Edge>) -> Vec<&Edge> {
    let mut left: Vec<_> = edges.iter().collect();
    loop {
        let before = left.len();
        let starts: BTreeSet<_> = left.iter().map(|(from, _)| from).collect();
        left.retain(|(_, to)| starts.contains(to));
        if left.len() == before {
            return left;
        }
    }
}

#[test]
fn a_circle_is_found() {
    let edges = |pairs: &[(&str, &str)]| -> BTreeSet<Edge> {
        let owned = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
        owned.collect()
    };
    assert_eq!(circle(&edges(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")])), None);
    let found = circle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")]));
    assert_eq!(found, Some(["b", "c", "b"].map(str::to_owned).to_vec()));
}
