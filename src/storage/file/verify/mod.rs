//! Reading everything a store holds, to see whether it is whole.

mod log;
mod problem;
mod runs;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use problem::{Problem, Verdict};

use super::{
    Disk, Progress, RealDisk, directory::Directory, failure::doing, manifest::Manifest,
    planted::Planted, survey::Survey,
};
use crate::{message::Position, storage::StorageError};

/// How often a store that changes under the reader is gone through anew.
const ATTEMPTS: u32 = 5;

/// What a store turned out to be, and all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// In a word.
    pub verdict: Verdict,
    /// Everything that is wrong: first whole files, then the log in order, then the state.
    pub problems: Vec<Problem>,
    /// Files that nothing accounts for. Opening the store sets them aside.
    pub unknown: Vec<PathBuf>,
    /// The oldest position that is kept.
    pub first: Position,
    /// Behind the last position, lost ones included.
    pub end: Position,
    /// How many files the log has.
    pub segments: u64,
    /// How many valid commits were read.
    pub commits: u64,
    /// How many records these have.
    pub records: u64,
    /// How many entries the files of the state have, removals and older values included.
    pub entries: u64,
    /// How many bytes were read.
    pub bytes: u64,
}

/// Reads every commit and every file of the state of a store on the machine's file system, and
/// changes nothing. Works beside the process that has the store open. `progress` is told now and
/// then how far it is.
///
/// What a crash left unfinished at the end of the log, or a live process has not finished yet, is a
/// problem that was not acknowledged; opening the store sets it aside.
///
/// # Errors
/// [`StorageError::NotAStore`], [`StorageError::Format`], and where the directory cannot be read.
/// Files in it that cannot be read are problems.
pub fn verify(
    path: impl AsRef<Path>,
    progress: impl FnMut(Progress),
) -> Result<Verification, StorageError> {
    verify_on(RealDisk::new(), path, progress)
}

/// The same on another disk.
///
/// # Errors
/// As for [`verify`].
pub fn verify_on(
    disk: impl Disk,
    path: impl AsRef<Path>,
    mut progress: impl FnMut(Progress),
) -> Result<Verification, StorageError> {
    let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(disk), path.as_ref());
    let root = disk.absolute(path).map_err(doing("finding", path))?;
    let dir = Directory::new(disk, &root, Planted::default());
    let mut attempt = 1;
    loop {
        let before = generation(&dir);
        let found = Verification::of(&dir, &mut progress)?;
        // The owner may have begun a segment, or removed a file, under our eyes.
        if found.problems.is_empty() || generation(&dir) == before || attempt == ATTEMPTS {
            return Ok(found);
        }
        attempt += 1;
    }
}

fn generation(dir: &Directory) -> Option<u64> {
    Manifest::read(dir).ok().flatten().map(|manifest| manifest.generation)
}

impl Verification {
    fn of(dir: &Directory, progress: &mut dyn FnMut(Progress)) -> Result<Self, StorageError> {
        let mut survey = Survey::at(dir)?;
        let runs = survey.manifest.iter().flat_map(|manifest| &manifest.runs);
        let runs = runs.fold(0_u64, |sum, run| sum.saturating_add(run.len));
        let mut found = Self {
            verdict: Verdict::Clean,
            problems: survey.faults.drain(..).map(Problem::of).collect(),
            unknown: std::mem::take(&mut survey.unknown),
            first: Position::FIRST,
            end: Position::FIRST,
            segments: survey.parts.len() as u64,
            commits: 0,
            records: 0,
            entries: 0,
            bytes: 0,
        };
        let (log, total) = (survey.log_bytes(), survey.log_bytes().saturating_add(runs));
        found.log(dir, &survey, &mut |done| progress(Progress { done, total }))?;
        found.runs(dir, &survey, &mut |done| {
            progress(Progress { done: log.saturating_add(done), total });
        });
        progress(Progress { done: total, total });
        found.bytes = total;
        found.verdict = Verdict::on(&found.problems);
        Ok(found)
    }

    /// What was acknowledged and cannot be read any more.
    pub fn losses(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.acknowledged)
    }
}
