//! `dump`: all events, or some of them.

use tidings::{
    Position,
    storage::{FileReader, Page, Query, Storage, StorageError},
};

use crate::{
    arguments::{Dump, Wanted},
    failure::Failure,
    output::Output,
    record,
};

pub(crate) fn run(arguments: &Dump, output: &mut Output) -> Result<(), Failure> {
    let reader = FileReader::open(&arguments.store.dir)?;
    let from = arguments.from.unwrap_or(Position::FIRST).max(reader.first());
    let mut query = query(from, &arguments.wanted);
    query.to = arguments.to.unwrap_or(Position::LAST);
    query.filter.since = arguments.since;
    query.filter.until = arguments.until;
    show_all(&reader, query, output)?;
    Ok(())
}

/// What is wanted from a position on.
pub(crate) fn query(from: Position, wanted: &Wanted) -> Query {
    let query = wanted.of.iter().fold(Query::from(from), |query, name| query.of(name.as_str()));
    match &wanted.key {
        Some(key) => query.key(key.as_str()),
        None => query,
    }
}

/// Shows what a query asks for, page by page. Returns where to go on.
pub(crate) fn show_all(
    reader: &FileReader,
    mut query: Query,
    output: &mut Output,
) -> Result<Position, Failure> {
    loop {
        let page = match reader.read(&query) {
            // Up to the damage, one by one.
            Err(StorageError::Corrupt { .. }) if query.max_records > 1 => {
                query.max_records = 1;
                continue;
            }
            page => page?,
        };
        show(&page, output)?;
        if page.next <= query.from {
            return Ok(query.from);
        }
        query.from = page.next;
    }
}

pub(crate) fn show(page: &Page, output: &mut Output) -> Result<(), Failure> {
    for (position, record) in &page.records {
        let (envelope, payload) = (&record.envelope, &record.payload);
        let line = if output.json {
            record::json(*position, envelope, payload, &[]).map_err(std::io::Error::from)?
        } else {
            record::line(output, *position, envelope, payload)
        };
        output.line(line)?;
    }
    Ok(())
}
