//! What a run leaves behind, to be compared with what another one does.

use std::collections::BTreeMap;

use super::{Run, story::describe};
use crate::{
    delivery::STATE,
    message::Position,
    storage::{KeyValue, Query, Storage},
};

/// What a run leaves behind: under each heading, lines in an order that says nothing of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight(BTreeMap<String, Vec<String>>);

impl Sight {
    pub(super) fn of(run: &Run) -> Self {
        let mut all = BTreeMap::new();
        let mut effects = run.effects();
        effects.sort_unstable();
        all.insert("effects".to_owned(), effects);
        for (name, show) in &*run.world.views.lock() {
            all.insert(name.clone(), show().lines().map(str::to_owned).collect());
        }
        if let Some(storage) = run.bus().storage() {
            all.insert("published".to_owned(), published(storage));
            all.insert("state".to_owned(), state(storage));
        }
        Self(all)
    }

    /// What differs, one line each: `-` is here, `+` is in the other one.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let nothing = Vec::new();
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        let lines = names.flat_map(|name| {
            let here = self.0.get(name).unwrap_or(&nothing);
            let there = other.0.get(name).unwrap_or(&nothing);
            let gone =
                missing(here, there).into_iter().map(move |line| format!("{name}: - {line}"));
            let new = missing(there, here).into_iter().map(move |line| format!("{name}: + {line}"));
            gone.chain(new)
        });
        lines.collect()
    }
}

/// What is in the log, whenever it came there.
fn published(storage: &dyn Storage) -> Vec<String> {
    let everything = Query::from(Position::FIRST).records(usize::MAX).bytes(usize::MAX);
    let mut lines: Vec<_> = match storage.read(&everything) {
        Ok(page) => page.records.iter().map(|(_, record)| describe(record)).collect(),
        Err(error) => vec![format!("the log cannot be read: {error}")],
    };
    lines.sort_unstable();
    lines
}

/// What handlers have stored.
fn state(storage: &dyn Storage) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', " ");
    let line = |(key, value): &KeyValue| {
        let text = format!("{} = {}", text(key), text(value));
        text.chars().filter(|character| !character.is_control()).collect()
    };
    match storage.scan(STATE, None, usize::MAX) {
        Ok(entries) => entries.iter().map(line).collect(),
        Err(error) => vec![format!("the state cannot be read: {error}")],
    }
}

/// The lines that are there more often than in the other list.
fn missing<'a>(lines: &'a [String], other: &[String]) -> Vec<&'a String> {
    let mut left: Vec<_> = other.iter().collect();
    let mut missing = Vec::new();
    for line in lines {
        match left.iter().position(|other| *other == line) {
            Some(at) => drop(left.swap_remove(at)),
            None => missing.push(line),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_count_how_often_a_line_is_there() {
        let sight = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (*line).to_owned()).collect();
            Sight(BTreeMap::from([("effects".to_owned(), lines)]))
        };
        let (once, twice) = (sight(&["charge 1", "mail"]), sight(&["charge 1", "charge 1"]));
        assert_eq!(once.differences(&once), [""; 0]);
        assert_eq!(once.differences(&twice), ["effects: - mail", "effects: + charge 1"]);
    }
}
