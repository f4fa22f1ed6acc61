//! Every flipped bit, cut and run of zeros in a store of three segments and two runs.

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
    setup: Setup,
    files: Vec<PathBuf>,
    known: Known,
    left: Left,
}

#[derive(Debug, Default)]
pub(crate) struct Count {
    refused: u64,
    intact: u64,
    reported: u64,
    /// Looks as if the last commit had never been begun.
    unborn: u64,
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

    fn bytes(&self, path: &Path) -> Vec<u8> {
        self.setup.disk.contents(path).unwrap()
    }

    /// The outcome where one file has these bytes.
    fn with(&self, path: &Path, bytes: Vec<u8>, count: &mut Count) -> Result<(), String> {
        let disk = self.setup.disk.copy();
        disk.set_contents(path, bytes);
        self.outcome(&disk, self.left == Left::Killed, count)
    }

    /// Refused, or opened with everything, or, where nothing vouches for the last commit, opened
    /// without that one and with a report.
    fn outcome(&self, disk: &MemoryDisk, unsure: bool, count: &mut Count) -> Result<(), String> {
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
        match whole_commits(&storage, &self.known.begun) {
            Ok(_) if found == all => count.intact += 1,
            Ok(_) => count.reported += 1,
            Err(error) if error.contains("damaged") => count.refused += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn flips(&self, path: &Path, count: &mut Count) -> Result<(), String> {
        let bytes = self.bytes(path);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let outcome = self.with(path, flipped, count);
            outcome.map_err(|error| format!("bit {bit} of {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn cuts_and_zeros(&self, path: &Path, count: &mut Count) -> Result<(), String> {
        let bytes = self.bytes(path);
        for at in 0..bytes.len() {
            let cut = self.with(path, bytes[..at].to_vec(), count);
            cut.map_err(|error| format!("{} cut at {at}: {error}", path.display()))?;
            let mut zeros = bytes.clone();
            zeros[at..].fill(0);
            let disk = self.setup.disk.copy();
            disk.set_contents(path, zeros);
            // They take what vouches for the last commit as well, unless that is the manifest.
            match self.outcome(&disk, self.left != Left::Closed, count) {
                // From its very beginning on: as if it had never been begun.
                Err(error) if error.ends_with("reported false") && self.is_last(path, at) => {
                    count.unborn += 1;
                }
                other => {
                    other
                        .map_err(|error| format!("{}, zeros from {at}: {error}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Whether the last commit, for which nothing vouches, is what begins here.
    fn is_last(&self, path: &Path, at: usize) -> bool {
        let bytes = self.bytes(path);
        let batches = bytes.windows(4).enumerate().filter(|(_, window)| window == b"tdb\x9e");
        let last = batches.map(|(at, _)| at).nth_back(usize::from(self.left == Left::Vouched));
        self.left != Left::Closed
            && Some(path) == self.newest().as_deref()
            && last.is_some_and(|last| at <= last && bytes[at..last].iter().all(|byte| *byte == 0))
    }

    /// The newest segment that is begun.
    fn newest(&self) -> Option<PathBuf> {
        self.files("log").into_iter().rfind(|path| self.bytes(path).starts_with(b"tidings"))
    }

    fn exchanges(&self, count: &mut Count) -> Result<(), String> {
        for files in [self.files("log"), self.files("run")] {
            for one in &files {
                for other in files.iter().filter(|other| *other != one) {
                    let disk = self.setup.disk.copy();
                    disk.set_contents(one, self.bytes(other));
                    self.outcome(&disk, false, count).map_err(|error| format!("twice: {error}"))?;
                    disk.set_contents(other, self.bytes(one));
                    self.outcome(&disk, false, count)
                        .map_err(|error| format!("swapped: {error}"))?;
                }
            }
        }
        for path in &self.files {
            let disk = self.setup.disk.copy();
            disk.lose(path);
            self.outcome(&disk, false, count).map_err(|error| format!("missing: {error}"))?;
        }
        Ok(())
    }

    /// A batch again in the place of the one that would follow.
    pub(crate) fn repeats(&self, count: &mut Count) -> Result<(), String> {
        let Some(newest) = self.newest() else { return Ok(()) };
        let bytes = self.bytes(&newest);
        let starts: Vec<usize> = (96..bytes.len()).step_by(8).collect();
        let is_batch = |at: &usize| bytes[*at..].starts_with(b"tdb\x9e");
        let last = starts.iter().copied().filter(is_batch).next_back().unwrap_or(96);
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        for from in starts.iter().copied().filter(is_batch) {
            let next = starts.iter().copied().filter(is_batch).find(|next| *next > from);
            let next = next.unwrap_or(end.next_multiple_of(8));
            for to in [last, end.next_multiple_of(8)] {
                let mut repeated = bytes.clone();
                let length = (next - from).min(bytes.len() - to);
                repeated.copy_within(from..from + length, to);
                let outcome = self.with(&newest, repeated, count);
                outcome.map_err(|error| format!("batch {from} at {to}: {error}"))?;
            }
        }
        Ok(())
    }

    pub(crate) fn all(&self) -> Result<Count, String> {
        let mut count = Count::default();
        self.exchanges(&mut count)?;
        self.repeats(&mut count)?;
        for path in &self.files {
            self.cuts_and_zeros(path, &mut count)?;
            self.flips(path, &mut count)?;
        }
        Ok(count)
    }
}

/// A store of one segment with commits that differ in what they write.
pub(crate) fn commits_again() -> Golden {
    Golden::new(Setup::fresh(false), &[Op::Batch, Op::Synced, Op::Synced], Left::Killed)
}

#[test]
fn a_commit_again_in_another_place_is_no_commit() {
    let mut count = Count::default();
    commits_again().repeats(&mut count).unwrap();
    println!("{count:?}");
}

fn no_damage_is_silent(left: Left) {
    let golden = Golden::new(Setup::grown(true), &[Op::Synced], left);
    assert!(golden.files("log").len() >= 3 && golden.files("run").len() == 2, "{left:?}");
    match golden.all() {
        Ok(count) => println!("{left:?}: {count:?}"),
        Err(error) => panic!("{left:?}: {error}"),
    }
}

#[test]
fn no_damage_to_a_closed_store_is_silent() {
    no_damage_is_silent(Left::Closed);
}

#[test]
fn no_damage_to_a_store_that_upkeep_vouched_for_is_silent() {
    no_damage_is_silent(Left::Vouched);
}

#[test]
fn no_damage_to_a_killed_store_is_silent() {
    no_damage_is_silent(Left::Killed);
}
