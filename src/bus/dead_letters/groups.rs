//! Dead letters that died of the same.

use std::collections::BTreeMap;

use crate::{
    delivery::{DeadLetter, DeadLetterReason},
    message::Position,
    runtime::Timestamp,
};

/// A text of so many characters that has digits and otherwise only `a` to `f` and `-` is an id.
const ID: usize = 8;

/// Dead letters of one event that died of the same: of one reason, with errors that differ in
/// numbers and ids alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetterGroup {
    /// The event's name.
    pub event: String,
    /// Why they died.
    pub reason: DeadLetterReason,
    /// The last errors, with `#` for each number and id: `order # not found`.
    pub error: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub first: Timestamp,
    /// When the last of them died.
    pub last: Timestamp,
    /// One of them.
    pub example: Position,
}

/// Groups as they come together, by event, reason and error.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<(String, String, String), LetterGroup>);

impl Groups {
    pub(super) fn add(&mut self, letter: &DeadLetter) {
        let (event, error) = (letter.event().to_owned(), fold(letter.error()));
        let key = (event.clone(), letter.reason().to_string(), error.clone());
        let group = self.0.entry(key).or_insert_with(|| LetterGroup {
            event,
            reason: letter.reason(),
            error,
            count: 0,
            first: letter.died_at(),
            last: letter.died_at(),
            example: letter.position(),
        });
        group.count += 1;
        group.first = group.first.min(letter.died_at());
        group.last = group.last.max(letter.died_at());
    }

    /// The largest first.
    pub(super) fn finish(self) -> Vec<LetterGroup> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// The text with `#` for each number and id.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (word, after) = rest.split_at(length);
        fold_word(word, &mut folded);
        rest = after;
    }
    folded
}

fn fold_word(word: &str, folded: &mut String) {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if has_digit && is_hex && word.len() >= ID {
        folded.push('#');
        return;
    }
    let mut in_number = false;
    for c in word.chars() {
        if !c.is_ascii_digit() {
            folded.push(c);
        } else if !in_number {
            folded.push('#');
        }
        in_number = c.is_ascii_digit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_and_ids_fold_to_one() {
        assert_eq!(fold("order 17 not found"), "order # not found");
        assert_eq!(fold("order 18 not found"), fold("order 4711 not found"));
        let id = "user 0190a7c2-77de-7000-8000-00000000beef: timeout after 30s";
        assert_eq!(fold(id), "user #: timeout after #s");
        assert_eq!(fold("the façade is dead-beef"), "the façade is dead-beef", "no digit, no id");
    }
}
