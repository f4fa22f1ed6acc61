//! What happened in a run, as a timeline that people can read.

use std::time::Duration;

use parking_lot::Mutex;

use crate::storage::Record;

/// The longest payload that is told.
const LONGEST_PAYLOAD: usize = 100;

/// The most lines that are told of a long story, at its beginning and its end.
const MOST_LINES: usize = 400;

/// What happened, if anybody is to be told.
#[derive(Debug, Default)]
pub(super) struct Story {
    lines: Option<Mutex<Vec<Line>>>,
}

#[derive(Debug)]
struct Line {
    at: Duration,
    sign: char,
    text: String,
}

impl Story {
    pub(super) fn new(is_told: bool) -> Self {
        Self { lines: is_told.then(Mutex::default) }
    }

    pub(super) const fn is_told(&self) -> bool {
        self.lines.is_some()
    }

    /// What the engine and the handlers do.
    pub(super) fn tell(&self, at: Duration, text: impl FnOnce() -> String) {
        self.add(at, ' ', text);
    }

    /// What goes wrong.
    pub(super) fn warn(&self, at: Duration, text: impl FnOnce() -> String) {
        self.add(at, '!', text);
    }

    /// What the flow notes.
    pub(super) fn note(&self, at: Duration, text: impl FnOnce() -> String) {
        self.add(at, '|', text);
    }

    fn add(&self, at: Duration, sign: char, text: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            lines.lock().push(Line { at, sign, text: text() });
        }
    }

    /// One line for each thing that happened, with its time.
    pub(super) fn text(&self) -> Option<String> {
        let lines = self.lines.as_ref()?.lock();
        let left_out = lines.len().saturating_sub(MOST_LINES);
        let told = lines.iter().enumerate().filter_map(|(number, Line { at, sign, text })| {
            let is_told = number < MOST_LINES / 2 || number >= MOST_LINES / 2 + left_out;
            if is_told {
                return Some(format!("{:>12} {sign} {text}\n", time(*at)));
            }
            let is_first = number == MOST_LINES / 2;
            is_first.then(|| format!("{:>12}   ({left_out} lines are left out)\n", ""))
        });
        Some(told.collect::<Vec<_>>().concat())
    }
}

/// `1d 2h`, `3m 4.5s`.
fn time(at: Duration) -> String {
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{millis:03}s"),
        (0, 0, _) => format!("{minutes}m {:02}.{millis:03}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes:02}m {:02}s", seconds % 60),
        _ => format!("{days}d {hours:02}h {minutes:02}m"),
    }
}

/// A record, and its payload if that is text.
pub(super) fn describe(record: &Record) -> String {
    let name = &record.envelope.name;
    match std::str::from_utf8(&record.payload) {
        Ok(text) if text.len() <= LONGEST_PAYLOAD && text != "null" => format!("{name} {text}"),
        _ => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do() {
        let told = [0, 1_500, 64_005, 3_600_000, 90_061_000].map(Duration::from_millis).map(time);
        assert_eq!(told, ["0.000s", "1.500s", "1m 04.005s", "1h 00m 00s", "1d 01h 01m"]);
    }

    #[test]
    fn a_long_story_has_a_beginning_and_an_end() {
        let story = Story::new(true);
        for number in 0..1000 {
            story.tell(Duration::ZERO, || format!("line {number}"));
        }
        let text = story.text().unwrap_or_default();
        assert_eq!(text.lines().count(), MOST_LINES + 1);
        assert!(text.contains("line 0\n") && text.contains("line 999\n"), "{text}");
        assert!(text.contains("(600 lines are left out)"), "{text}");
        assert!(!text.contains("line 500\n"));
    }

    #[test]
    fn what_nobody_is_told_is_not_put_into_words() {
        Story::new(false).tell(Duration::ZERO, || unreachable!());
    }
}
