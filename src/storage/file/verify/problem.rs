//! Something that is wrong with a store.

use std::{
    fmt,
    ops::{Range, RangeInclusive},
    path::PathBuf,
};

use crate::{
    message::Position,
    storage::file::{lost, survey::Gap},
};

/// What a store is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// The log ends with something unfinished that was promised to nobody: a crash left it, or a
    /// live process is about to finish it.
    TornTail,
    /// Something that was acknowledged is damaged or missing.
    Corrupt,
}

/// Something that is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Which bytes of it. Empty where the file is missing.
    pub bytes: Range<u64>,
    /// What is wrong there.
    pub reason: &'static str,
    /// The records that were there, if any.
    pub positions: Option<RangeInclusive<Position>>,
    /// Whether there were exactly these. Otherwise there were at most these.
    pub exact: bool,
    /// How many commits were there, those without records included.
    pub commits: u64,
    /// Whether what was there had been acknowledged, or may have been.
    pub acknowledged: bool,
}

impl Verdict {
    pub(super) fn on(problems: &[Problem]) -> Self {
        match problems {
            [] => Self::Clean,
            _ if problems.iter().any(|problem| problem.acknowledged) => Self::Corrupt,
            _ => Self::TornTail,
        }
    }
}

impl Problem {
    pub(in crate::storage::file) fn of(gap: Gap) -> Self {
        Self {
            file: gap.file,
            bytes: gap.bytes,
            reason: gap.reason,
            positions: lost::inclusive(&gap.positions),
            exact: gap.exact,
            commits: gap.seqs.end.saturating_sub(gap.seqs.start),
            acknowledged: gap.acknowledged,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::TornTail => "torn tail",
            Self::Corrupt => "corrupt",
        })
    }
}
