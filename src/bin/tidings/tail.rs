//! `tail`: the last events, and those that come.

use std::{collections::VecDeque, time::Duration};

use tidings::{
    Position,
    storage::{FileReader, Page, Storage, StorageError},
};

use crate::{
    arguments::{Tail, Wanted},
    dump,
    failure::Failure,
    output::Output,
    process,
};

/// How long to leave the store alone before looking for more.
const PAUSE: Duration = Duration::from_millis(100);

/// How many positions are looked through at first. Then twice as many, and so on.
const LOOKED_THROUGH: u64 = 1024;

pub(crate) fn run(arguments: &Tail, output: &mut Output) -> Result<(), Failure> {
    let reader = FileReader::open(&arguments.store.dir)?;
    let last = last(&reader, &arguments.wanted, arguments.lines)?;
    dump::show(&last, output)?;
    if arguments.follow { follow(reader, &arguments.wanted, last.next, output) } else { Ok(()) }
}

/// Shows what comes. Ends only where it fails.
fn follow(
    mut reader: FileReader,
    wanted: &Wanted,
    mut next: Position,
    output: &mut Output,
) -> Result<(), Failure> {
    loop {
        output.flush()?;
        while !reader.is_behind()? {
            process::pause(PAUSE);
        }
        reader = reader.refresh()?;
        let query = dump::query(next.max(reader.first()), wanted);
        next = dump::show_all(&reader, query, output)?;
        if reader.report().discarded_bytes > 0 {
            process::pause(PAUSE); // a commit in the making, or the debris of a crash
        }
    }
}

/// The last events that are wanted, at most so many.
fn last(reader: &FileReader, wanted: &Wanted, count: usize) -> Result<Page, StorageError> {
    let (first, end) = (reader.first(), reader.end());
    let mut found = VecDeque::new();
    let (mut from, mut step) = (end, LOOKED_THROUGH.max(count as u64));
    while from > first && found.len() < count {
        let to = from;
        let start = from.get().saturating_sub(step).max(first.get());
        from = Position::new(start).unwrap_or(first);
        let mut stretch = between(reader, wanted, from, to, count - found.len())?;
        stretch.append(&mut found);
        found = stretch;
        step = step.saturating_mul(2);
    }
    Ok(Page { records: found.into(), next: end })
}

type Records = VecDeque<(Position, tidings::storage::Record)>;

/// The last ones of a stretch.
fn between(
    reader: &FileReader,
    wanted: &Wanted,
    from: Position,
    to: Position,
    count: usize,
) -> Result<Records, StorageError> {
    let mut query = dump::query(from, wanted).to(to);
    let mut found = VecDeque::new();
    loop {
        let page = reader.read(&query)?;
        found.extend(page.records);
        found.drain(..found.len().saturating_sub(count));
        if page.next <= query.from {
            return Ok(found);
        }
        query.from = page.next;
    }
}
