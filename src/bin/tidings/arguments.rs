//! What can be asked of the tool.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tidings::{DeadLetterReason, Position};

use crate::{
    ranges::{self, Ranges},
    time::{self, Time},
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `verify`: the store is clean
  1  the log ends with something unfinished that was promised to nobody (`verify`)
  2  the store is damaged
  3  it is no store, or one of another version
  4  wrong usage, a refusal, or another failure";

/// Looks at stores of the event bus, verifies them, and rescues damaged ones.
///
/// All commands but `salvage`, `dead-letters retry` and `dead-letters discard` only read, and work
/// beside the process that has the store open.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Print JSON, one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a store consists of.
    Info(Store),
    /// Show the last events.
    Tail(Tail),
    /// Show all events, or some of them.
    Dump(Dump),
    /// Read everything, and say all that is wrong.
    #[command(after_help = EXIT_CODES)]
    Verify(Store),
    /// Rescue what can be read of a damaged store into a new directory.
    ///
    /// The source is not changed. What is lost has to be accepted by name; without that it is only
    /// listed.
    Salvage(Salvage),
    /// Look at dead letters, and decide about them.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Say how far each subscription has come.
    Cursors(Store),
}

#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The directory of the store.
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only events of this name; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) of: Vec<String>,
    /// Only events with this key.
    #[arg(long)]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) store: Store,
    /// How many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) lines: usize,
    /// Go on with what comes, until interrupted.
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) store: Store,
    /// Begin at this position.
    #[arg(long, value_name = "POSITION", value_parser = ranges::position)]
    pub(crate) from: Option<Position>,
    /// Stop before this position.
    #[arg(long, value_name = "POSITION", value_parser = ranges::position)]
    pub(crate) to: Option<Position>,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Only events published then or later: `2026-11-23T12:00:00Z`, `2026-11-23`, or seconds since
    /// 1970.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) since: Option<Time>,
    /// Only events published before.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) until: Option<Time>,
}

#[derive(Debug, Args)]
pub(crate) struct Salvage {
    #[command(flatten)]
    pub(crate) store: Store,
    /// The new directory.
    #[arg(long, value_name = "NEW")]
    pub(crate) into: PathBuf,
    /// Accept that the events at these positions are lost: `4711..=4803,5000`. It must be exactly
    /// what is lost.
    #[arg(long, value_name = "RANGES", value_parser = ranges::parse)]
    pub(crate) accept_loss: Option<Ranges>,
    /// Accept that the state may lack values, or have older ones: cursors, dead letters, what
    /// handlers stored.
    #[arg(long)]
    pub(crate) accept_state_loss: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List them, or some of them.
    List(SelectedLetters),
    /// Say what they died of: those that differ in numbers and ids alone are one group.
    Groups(Letters),
    /// Show one, with its payload.
    Show(Letter),
    /// Have one handled again when its subscription starts next; all without a position.
    ///
    /// Needs the store for itself.
    Retry(SomeLetters),
    /// Give one up for good. Needs the store for itself.
    Discard(DiscardedLetter),
}

#[derive(Debug, Args)]
pub(crate) struct Letters {
    #[command(flatten)]
    pub(crate) store: Store,
    /// The name of the subscription.
    pub(crate) subscription: String,
}

#[derive(Debug, Args)]
pub(crate) struct Letter {
    #[command(flatten)]
    pub(crate) of: Letters,
    /// The position of the event.
    #[arg(value_parser = ranges::position)]
    pub(crate) position: Position,
}

#[derive(Debug, Args)]
pub(crate) struct SomeLetters {
    #[command(flatten)]
    pub(crate) of: Letters,
    /// The position of the event.
    #[arg(value_parser = ranges::position)]
    pub(crate) position: Option<Position>,
}

#[derive(Debug, Args)]
pub(crate) struct SelectedLetters {
    #[command(flatten)]
    pub(crate) of: Letters,
    /// Only events of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Only letters that died for this reason: behind, crashed, exhausted, no-handler, rejected or
    /// undecodable.
    #[arg(long, value_parser = reason)]
    pub(crate) reason: Option<DeadLetterReason>,
    /// Only events with this key.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only letters whose last error contains this text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,
    /// Only letters that died then or later.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) since: Option<Time>,
    /// Only letters that died before.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) until: Option<Time>,
    /// At most so many, those of the oldest events.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct DiscardedLetter {
    #[command(flatten)]
    pub(crate) letter: Letter,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

fn reason(text: &str) -> Result<DeadLetterReason, String> {
    let reason = serde_json::from_value(serde_json::Value::String(text.to_owned()));
    reason.map_err(|_| format!("`{text}` is no reason of a dead letter"))
}
