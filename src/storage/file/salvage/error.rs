//! Why a store was not rescued.

use std::{fmt, ops::RangeInclusive, path::PathBuf};

use super::StateLoss;
use crate::{
    message::Position,
    storage::{StorageError, file::Problem},
};

/// Why a store was not rescued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// The target is inside the source, which is not to be changed.
    #[error("{} is inside the store that is to be rescued", .path.display())]
    Inside {
        /// The target.
        path: PathBuf,
    },
    /// The target holds something already.
    #[error("{} is not empty", .path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// What is lost is not what was accepted. Nothing was written.
    #[error("what is lost is not what was accepted: {}", describe(.lost, .state.as_ref()))]
    Unaccepted {
        /// The positions whose records are lost, in order.
        lost: Vec<RangeInclusive<Position>>,
        /// Those that were accepted.
        accepted: Vec<RangeInclusive<Position>>,
        /// What the state would lack.
        state: Option<StateLoss>,
        /// Everything that is wrong with the source.
        problems: Vec<Problem>,
    },
    /// The source cannot be read at all or is in use, or the target cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn describe(lost: &[RangeInclusive<Position>], state: Option<&StateLoss>) -> String {
    let ranges: Vec<_> =
        lost.iter().map(|range| format!("{}..={}", range.start(), range.end())).collect();
    let records = match ranges.as_slice() {
        [] => "no records".to_owned(),
        ranges => format!("the records at {}", ranges.join(", ")),
    };
    match state {
        None => records,
        Some(state) => format!("{records}; {state}"),
    }
}

impl fmt::Display for StateLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match (self.files.len(), self.commits) {
            (0, commits) => format!("what {commits} commits wrote to it"),
            (files, 0) => format!("what {files} of its files held"),
            (files, commits) => {
                format!("what {files} of its files held and {commits} commits wrote to it")
            }
        };
        write!(f, "the state lacks {parts}")
    }
}
