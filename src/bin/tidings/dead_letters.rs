//! `dead-letters`: looking at them, and deciding about them.

use std::{path::Path, time::Duration};

use serde_json::json;
use tidings::{Bus, DeadLetter, DeadLetterError, Letters as Filter, Position, storage::FileReader};

use crate::{
    arguments::{DeadLetters, DiscardedLetter, Letters, SelectedLetters},
    failure::Failure,
    output::{Output, Tone},
    record,
    text::Harmless,
};

/// How long closing the store may take.
const CLOSING: Duration = Duration::from_mins(1);

pub(crate) fn run(command: &DeadLetters, output: &mut Output) -> Result<(), Failure> {
    match command {
        DeadLetters::List(selected) => list(selected, output),
        DeadLetters::Groups(of) => groups(of, output),
        DeadLetters::Show(letter) => show(&letter.of, letter.position, output),
        DeadLetters::Retry(letters) => retry(&letters.of, letters.position, output),
        DeadLetters::Discard(discarded) => discard(discarded, output),
    }
}

/// A bus that reads, beside whoever has the store open.
pub(crate) fn look(dir: &Path) -> Result<Bus, Failure> {
    Ok(Bus::builder().storage(FileReader::open(dir)?).build()?)
}

/// The store for itself. Only one that is there already.
fn open(dir: &Path) -> Result<Bus, Failure> {
    FileReader::open(dir)?;
    Ok(Bus::open(dir)?)
}

fn filter(selected: &SelectedLetters) -> Filter {
    let mut filter = Filter::all();
    if let Some(event) = &selected.event {
        filter = filter.event(event);
    }
    if let Some(reason) = selected.reason {
        filter = filter.reason(reason);
    }
    if let Some(key) = &selected.key {
        filter = filter.key(key.as_str());
    }
    if let Some(text) = &selected.error {
        filter = filter.error(text);
    }
    if let Some(time) = selected.since {
        filter = filter.died_since(time);
    }
    if let Some(time) = selected.until {
        filter = filter.died_before(time);
    }
    filter.at_most(selected.lines.unwrap_or(usize::MAX))
}

fn groups(of: &Letters, output: &mut Output) -> Result<(), Failure> {
    let bus = look(&of.store.dir)?;
    let groups = bus.dead_letters(&of.subscription).groups()?;
    for group in &groups {
        if output.json {
            output.object(&json!({
                "event": group.event, "reason": group.reason, "error": group.error,
                "count": group.count, "first": group.first.to_string(),
                "last": group.last.to_string(), "example": group.example,
            }))?;
            continue;
        }
        let name = output.paint(Tone::Name, Harmless(&group.event));
        let reason = output.paint(Tone::Warning, group.reason);
        output.line(format!(
            "{:>8} {} to {} {name} {reason}: {}, such as {}",
            group.count,
            output.paint(Tone::Quiet, group.first),
            output.paint(Tone::Quiet, group.last),
            Harmless(&group.error),
            group.example,
        ))?;
    }
    if groups.is_empty() && !output.json {
        output.line("no dead letters")?;
    }
    Ok(())
}

fn list(selected: &SelectedLetters, output: &mut Output) -> Result<(), Failure> {
    let of = &selected.of;
    let bus = look(&of.store.dir)?;
    let letters = bus.dead_letters(&of.subscription).list_where(&filter(selected))?;
    for letter in &letters {
        if output.json {
            object(letter, output)?;
            continue;
        }
        let name = output.paint(Tone::Name, Harmless(letter.event()));
        let reason = output.paint(Tone::Warning, letter.reason());
        let again = if letter.is_retried_at_start() { ", to be tried again" } else { "" };
        output.line(format!(
            "{:>8} {} {name} {reason} after {} attempts{again}: {}",
            letter.position(),
            output.paint(Tone::Quiet, letter.died_at()),
            letter.attempts(),
            Harmless(letter.error()),
        ))?;
    }
    if letters.is_empty() && !output.json {
        output.line("no dead letters")?;
    }
    Ok(())
}

fn show(of: &Letters, position: Position, output: &mut Output) -> Result<(), Failure> {
    let letter = look(&of.store.dir)?.dead_letters(&of.subscription).get(position)?;
    if output.json {
        return object(&letter, output);
    }
    let envelope = letter.envelope();
    output.line(record::line(output, position, envelope, letter.payload()))?;
    for (name, value) in envelope.headers.iter() {
        output.line(format!("  header   {}: {}", Harmless(name), Harmless(value)))?;
    }
    let again = if letter.is_retried_at_start() { "when it starts next" } else { "no" };
    let rows = [
        ("id", envelope.id.to_string()),
        ("reason", letter.reason().to_string()),
        ("error", letter.error().to_owned()),
        ("attempts", letter.attempts().to_string()),
        ("failed", format!("first {}, last {}", letter.first_failed_at(), letter.died_at())),
        ("again", again.to_owned()),
    ];
    for (title, value) in rows {
        let title = output.paint(Tone::Quiet, format!("  {title:<8}"));
        output.line(format!("{title} {}", Harmless(&value)))?;
    }
    Ok(())
}

fn object(letter: &DeadLetter, output: &mut Output) -> Result<(), Failure> {
    let more = [
        ("reason", json!(letter.reason())),
        ("error", json!(letter.error())),
        ("attempts", json!(letter.attempts())),
        ("first_failed_at", json!(letter.first_failed_at().to_string())),
        ("died_at", json!(letter.died_at().to_string())),
        ("retry_at_start", json!(letter.is_retried_at_start())),
    ];
    let line = record::json(letter.position(), letter.envelope(), letter.payload(), &more);
    output.line(line.map_err(std::io::Error::from)?)
}

fn retry(of: &Letters, position: Option<Position>, output: &mut Output) -> Result<(), Failure> {
    decide(of, output, "to be handled again when the subscription starts", |letters| {
        let all: Vec<Position> = match position {
            Some(position) => vec![position],
            None => letters.list()?.iter().map(DeadLetter::position).collect(),
        };
        for position in &all {
            letters.retry_at_start(*position)?;
        }
        Ok(all)
    })
}

fn discard(discarded: &DiscardedLetter, output: &mut Output) -> Result<(), Failure> {
    let (of, position) = (&discarded.letter.of, discarded.letter.position);
    decide(of, output, "discarded", |letters| {
        match &discarded.reason {
            Some(reason) => letters.discard_because(position, reason)?,
            None => letters.discard(position)?,
        }
        Ok(vec![position])
    })
}

/// Does something about letters, and closes the store before saying so.
fn decide(
    of: &Letters,
    output: &mut Output,
    done: &str,
    decide: impl FnOnce(&tidings::DeadLetters) -> Result<Vec<Position>, DeadLetterError>,
) -> Result<(), Failure> {
    let bus = open(&of.store.dir)?;
    let positions = decide(&bus.dead_letters(&of.subscription));
    bus.shutdown(CLOSING)?;
    let positions = positions?;
    for position in &positions {
        if output.json {
            output.object(&json!({"position": position, "done": done}))?;
        } else {
            output.line(format!("{position:>8} {done}"))?;
        }
    }
    if positions.is_empty() && !output.json {
        output.line("no dead letters")?;
    }
    Ok(())
}
