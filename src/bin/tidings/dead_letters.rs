//! `dead-letters`: looking at them, and deciding about them.

use std::{path::Path, time::Duration};

use serde_json::json;
use tidings::{Bus, DeadLetter, DeadLetterError, Position, storage::FileReader};

use crate::{
    arguments::{DeadLetters, Letters},
    failure::Failure,
    output::{Output, Tone},
    record,
    text::Harmless,
};

/// How long closing the store may take.
const CLOSING: Duration = Duration::from_mins(1);

pub(crate) fn run(command: &DeadLetters, output: &mut Output) -> Result<(), Failure> {
    match command {
        DeadLetters::List(of) => list(of, output),
        DeadLetters::Show(letter) => show(&letter.of, letter.position, output),
        DeadLetters::Retry(letters) => retry(&letters.of, letters.position, output),
        DeadLetters::Discard(letter) => discard(&letter.of, letter.position, output),
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

fn list(of: &Letters, output: &mut Output) -> Result<(), Failure> {
    let bus = look(&of.store.dir)?;
    let letters = bus.dead_letters(&of.subscription).list()?;
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

fn discard(of: &Letters, position: Position, output: &mut Output) -> Result<(), Failure> {
    decide(of, output, "discarded", |letters| {
        letters.discard(position)?;
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
