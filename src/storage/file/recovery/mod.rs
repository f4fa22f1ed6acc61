//! Opening what a clean close, a crash or bit rot left: first look at everything, then change.
//!
//! Nothing is modified before the whole store has been judged. Every step may itself be cut short by
//! a crash; running again from the start comes to the same.
//!
//! The rule that tells the debris of a crash from damage: let `P` be the first batch of the newest
//! segment that is not valid, and `D` the highest batch that anything says is durable: the manifest,
//! or the header of a valid batch before or after `P`. If `P` is at most `D`, something
//! acknowledged is damaged or missing, and the store is refused. Otherwise what is at `P` never
//! became whole and was promised to nobody. After a clean close, and in sealed segments, everything
//! was durable.

mod look;
mod replay;
mod settle;

use look::Look;

use super::{
    directory::Directory, disk::DiskLock, log::Log, manifest::Manifest, next,
    report::RecoveryReport, view::View,
};
use crate::storage::StorageError;

/// An open store.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) view: View,
    pub(super) log: Log,
    pub(super) report: RecoveryReport,
}

/// What a store holds, for readers alone. Nothing is changed.
pub(super) fn inspect(dir: &Directory) -> Result<(Manifest, View, RecoveryReport), StorageError> {
    let missing = || StorageError::Corrupt {
        file: dir.manifest.clone(),
        offset: 0,
        reason: "there is no manifest, so this is no store",
    };
    let manifest = Manifest::read(dir)?.ok_or_else(missing)?;
    let look = Look::at(dir, manifest)?;
    let replayed = replay::replay(dir, &look)?;
    Ok((look.manifest, replayed.view, replayed.report))
}

/// Opens a store, or makes one where there is none.
pub(super) fn recover(
    dir: &Directory,
    held: Box<dyn DiskLock>,
    segment_bytes: u64,
) -> Result<Recovered, StorageError> {
    let manifest = match Manifest::read(dir)? {
        Some(manifest) => manifest,
        None => look::create(dir, next::first_size(segment_bytes))?,
    };
    let look = Look::at(dir, manifest)?;
    let replayed = replay::replay(dir, &look)?;
    let settled = settle::settle(dir, look, replayed, held, segment_bytes);
    settled.map_err(|error| match error {
        // No commit is in doubt.
        StorageError::Indeterminate { doing, source } => {
            StorageError::Io { doing, path: dir.manifest.clone(), source }
        }
        other => other,
    })
}
