//! What came out: tables for people, and the check that nothing was lost.

use std::{
    error::Error,
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use crate::{desks::Desks, ingest::Ingested};

/// How many entries of a list are shown.
const SHOWN: usize = 8;

pub(crate) struct Run {
    /// Events of an earlier run that the audit had still to see.
    pub(crate) resumed: u64,
    pub(crate) ingested: Ingested,
    /// Until everything was durable.
    pub(crate) ingest_time: Duration,
    /// Until everything was handled as well.
    pub(crate) total_time: Duration,
}

impl Run {
    pub(crate) fn check(&self, desks: &Desks) -> Result<(), Box<dyn Error>> {
        let Ingested { lines, published, .. } = self.ingested;
        let audited: u64 = desks.learnt().audit.values().sum();
        let due = lines + self.resumed;
        if published == lines && audited == due {
            return Ok(());
        }
        Err(format!("{lines} lines, {published} published; {due} due, {audited} audited").into())
    }
}

pub(crate) fn print(out: &mut impl Write, run: &Run, desks: &Desks) -> io::Result<()> {
    let learnt = desks.learnt();
    rates(out, run)?;

    writeln!(out, "\n{:<16}{:>9}{:>9}{:>14}", "SUBSCRIBER", "HANDLED", "RETRIED", "DEAD LETTERS")?;
    for desk in std::iter::once(&desks.audit).chain(&desks.others) {
        let status = desk.status();
        writeln!(
            out,
            "{:<16}{:>9}{:>9}{:>14}",
            desk.name(),
            status.handled,
            status.retried,
            status.dead_letters
        )?;
    }

    counts(out, "AUDIT", &learnt.audit)?;
    let mut by_repository: Vec<_> = learnt.statistics.iter().collect();
    by_repository.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    counts(out, "STATISTICS", by_repository)?;
    list(out, "RELEASE NOTES", &learnt.release_notes)?;
    let triage = learnt.triage.iter();
    let tickets =
        triage.map(|((repository, number), title)| format!("{repository} #{number} {title}"));
    list(out, "TRIAGE", tickets)?;
    let unreadable = learnt.unreadable.iter();
    let lines = unreadable.map(|(line, error)| format!("line {line}: {error}"));
    list(out, "UNREADABLE", lines)
}

fn rates(out: &mut impl Write, run: &Run) -> io::Result<()> {
    let Ingested { lines, bytes, .. } = run.ingested;
    if run.resumed > 0 {
        writeln!(out, "{} events of an earlier run were still due", run.resumed)?;
    }
    #[allow(clippy::cast_precision_loss)] // only shown
    let (per_second, megabytes) =
        (lines as f64 / run.ingest_time.as_secs_f64(), bytes as f64 / 1e6);
    writeln!(
        out,
        "{lines} lines, {megabytes:.1} MB, durable after {:.1} ms ({per_second:.0} lines/s), \
         handled after {:.1} ms",
        run.ingest_time.as_secs_f64() * 1e3,
        run.total_time.as_secs_f64() * 1e3,
    )
}

fn counts<T: Display>(
    out: &mut impl Write,
    title: &str,
    counts: impl IntoIterator<Item = (T, impl Display)>,
) -> io::Result<()> {
    let rows = counts.into_iter().map(|(name, count)| format!("{count:>7}  {name}"));
    list(out, title, rows)
}

fn list(
    out: &mut impl Write,
    title: &str,
    rows: impl IntoIterator<Item = impl Display>,
) -> io::Result<()> {
    writeln!(out, "\n{title}")?;
    let mut rows = rows.into_iter();
    for row in rows.by_ref().take(SHOWN) {
        writeln!(out, "  {row}")?;
    }
    match rows.count() {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}
