//! Stores to be damaged, and what may come of it.

use std::path::{Path, PathBuf};

use tidings::{
    storage::{Storage, StorageError, Upkeep, file::Mistake},
    testing::MemoryDisk,
};

use crate::{
    model::{Known, Op, commits_at_end, whole_commits},
    setup::Setup,
};

/// How the store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Closed,
    /// Killed, once upkeep had nothing left to do.
    Vouched,
    /// Killed right after a commit, which nothing vouches for.
    Killed,
}

/// A store to be damaged.
pub(crate) struct Golden {
    pub(crate) setup: Setup,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) known: Known,
    pub(crate) left: Left,
}

#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) refused: u64,
    pub(crate) intact: u64,
    pub(crate) reported: u64,
    /// Looks as if the last commit had never been begun.
    pub(crate) unborn: u64,
}

fn image(disk: &MemoryDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let with_bytes = |path: PathBuf| (path.clone(), disk.contents(&path).unwrap());
    disk.files().into_iter().map(with_bytes).collect()
}

impl Golden {
    pub(crate) fn new(setup: Setup, ops: &[Op], left: Left) -> Self {
        let disk = setup.disk.clone();
        let mut known = setup.known.clone();
        let storage = setup.open(disk.clone()).unwrap();
        for op in ops {
            storage.commit(known.begin(*op)).unwrap();
            known.acknowledge();
        }
        match left {
            Left::Closed => storage.close().unwrap(),
            Left::Vouched => while storage.upkeep().unwrap() == Upkeep::More {},
            Left::Killed => {}
        }
        drop(storage);
        let setup = Setup { disk: disk.after_power_loss(|_| true), ..setup };
        let files = setup.disk.files();
        Self { setup, files, known, left }
    }

    pub(crate) fn with_mistake(mut self, mistake: Mistake) -> Self {
        self.setup = self.setup.with(mistake);
        self
    }

    pub(crate) fn files(&self, extension: &str) -> Vec<PathBuf> {
        let is_one = |path: &&PathBuf| path.extension().is_some_and(|found| found == extension);
        self.files.iter().filter(is_one).cloned().collect()
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.setup.disk.contents(path).unwrap()
    }

    /// The outcome where one file has these bytes.
    pub(crate) fn with(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        count: &mut Count,
    ) -> Result<(), String> {
        let disk = self.setup.disk.copy();
        disk.set_contents(path, bytes);
        self.outcome(&disk, self.left == Left::Killed, count)
    }

    /// Refused, or opened with everything, or, where nothing vouches for the last commit, opened
    /// without that one and with a report.
    pub(crate) fn outcome(
        &self,
        disk: &MemoryDisk,
        unsure: bool,
        count: &mut Count,
    ) -> Result<(), String> {
        let disk = &disk.copy();
        let before = image(disk);
        let storage = match self.setup.open(disk.clone()) {
            Ok(storage) => storage,
            Err(StorageError::Corrupt { .. } | StorageError::Format { .. }) => {
                count.refused += 1;
                let same = image(disk) == before;
                return if same { Ok(()) } else { Err("a refusal modified something".to_owned()) };
            }
            Err(error) => return Err(format!("{error:?}")),
        };
        let report = storage.recovery();
        let reported = report.reason.is_some() || !report.set_aside.is_empty();
        let all = self.known.begun.len();
        let found = commits_at_end(&storage, &self.known.begun)?;
        if found != all && (found + 1 != all || !reported || !unsure) {
            return Err(format!("{found} commits of {all}, reported {reported}"));
        }
        match whole_commits(&storage, &self.known) {
            Ok(_) if found == all => count.intact += 1,
            Ok(_) => count.reported += 1,
            Err(error) if error.contains("damaged") => count.refused += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the last commit, for which nothing vouches, is what begins here.
    pub(crate) fn is_last(&self, path: &Path, at: usize) -> bool {
        let bytes = self.bytes(path);
        let batches = bytes.windows(4).enumerate().filter(|(_, window)| window == b"tdb\x9e");
        let last = batches.map(|(at, _)| at).nth_back(usize::from(self.left == Left::Vouched));
        self.left != Left::Closed
            && Some(path) == self.newest().as_deref()
            && last.is_some_and(|last| at <= last && bytes[at..last].iter().all(|byte| *byte == 0))
    }

    /// The newest segment that is begun.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        self.files("log").into_iter().rfind(|path| self.bytes(path).starts_with(b"tidings"))
    }

    /// Refused, or opened with everything that was promised.
    pub(crate) fn keeps_promises(
        &self,
        disk: &MemoryDisk,
        count: &mut Count,
    ) -> Result<(), String> {
        match self.setup.open(disk.copy()) {
            Ok(storage) => match whole_commits(&storage, &self.known) {
                Ok(found) if found < self.known.acknowledged => {
                    return Err(format!("{found} commits of {}", self.known.acknowledged));
                }
                Ok(_) => count.intact += 1,
                Err(error) if error.contains("damaged") => count.refused += 1,
                Err(error) => return Err(error),
            },
            Err(StorageError::Corrupt { .. }) => count.refused += 1,
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(())
    }
}
