//! Every flipped bit, cut and run of zeros in a store of three segments and two runs.

use std::path::Path;

use crate::{
    golden::{Count, Golden, Left},
    model::{Known, Op},
    run::{Crash, crashes},
    setup::Setup,
};

impl Golden {
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

    /// Files of another store, in the place of ours and beside them.
    fn foreign(&self, count: &mut Count) -> Result<(), String> {
        let theirs = Setup::foreign().disk;
        for path in theirs.files() {
            let bytes = theirs.contents(&path).unwrap();
            let disk = self.setup.disk.copy();
            let extension = path.extension().unwrap_or_default().to_owned();
            let beside = path.with_file_name("00000000000000000077").with_extension(extension);
            disk.set_contents(beside, &*bytes);
            let beside = self.outcome(&disk, false, count);
            beside.map_err(|error| format!("with a foreign {}: {error}", path.display()))?;
            disk.set_contents(&path, bytes);
            let instead = self.outcome(&disk, false, count);
            instead.map_err(|error| format!("a foreign {}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Manifests that were in force once.
    fn older_manifests(&self, count: &mut Count) -> Result<(), String> {
        let ops = [Op::Batch, Op::Upkeep, Op::Large, Op::Upkeep, Op::Upkeep, Op::Close, Op::Reopen];
        let setup = Setup { known: self.known.clone(), ..self.setup.clone() };
        let crashes = (0..=ops.len()).map(|ops_done| crashes(&setup, &ops[..ops_done]));
        let crashes: Vec<Crash> =
            crashes.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let path = Path::new("/store/MANIFEST");
        let mut manifests: Vec<_> =
            crashes.iter().filter_map(|crash| crash.disk.contents(path)).collect();
        manifests.dedup();
        for crash in &crashes {
            let disk = crash.disk.after_power_loss(|_| true);
            let known = Known { acknowledged: crash.known.synced, ..crash.known.clone() };
            let golden = Self { known, setup: setup.clone(), files: Vec::new(), left: self.left };
            for bytes in &manifests {
                disk.set_contents(path, &**bytes);
                golden.keeps_promises(&disk.copy(), count)?;
            }
        }
        Ok(())
    }

    /// A batch again in the place of the one that would follow.
    pub(crate) fn repeats(&self, count: &mut Count) -> Result<(), String> {
        let Some(newest) = self.newest() else { return Ok(()) };
        let bytes = self.bytes(&newest);
        let starts: Vec<usize> = (96..bytes.len()).step_by(8).collect();
        let is_batch = |at: &usize| bytes[*at..].starts_with(b"tdb\x9e");
        let last = starts.iter().copied().rfind(is_batch).unwrap_or(96);
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
        self.foreign(&mut count)?;
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

#[test]
fn an_older_manifest_is_refused_or_loses_nothing() {
    let mut count = Count::default();
    Golden::new(Setup::grown(true), &[], Left::Killed).older_manifests(&mut count).unwrap();
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
