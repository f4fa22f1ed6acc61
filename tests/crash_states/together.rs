//! Commits while something else is under way, at a place that the test chooses.

use std::{
    path::Path,
    sync::{Mutex, OnceLock},
};

use tidings::{
    storage::{FileStorage, Storage, file::Mistake},
    testing::MemoryDisk,
};

use crate::{
    hooked::{Hook, Hooked},
    losses::{Dice, any_loss},
    model::{Known, Op, whole_commits},
    setup::Setup,
};

/// Commits whenever a file of the state is made.
#[derive(Debug)]
struct Busy {
    ops: &'static [Op],
    /// Not where the last commit is not synced.
    once: bool,
    storage: OnceLock<FileStorage>,
    known: Mutex<Known>,
}

impl Hook for Busy {
    fn before(&self, _disk: &MemoryDisk, path: &Path) {
        let is_run = path.extension().is_some_and(|found| found == "run");
        let Some(storage) = self.storage.get().filter(|_| is_run) else { return };
        let known = self.known.lock().unwrap();
        if self.once && known.synced < known.acknowledged {
            return;
        }
        drop(known);
        for op in self.ops.iter().copied() {
            let mut known = self.known.lock().unwrap();
            storage.commit(known.begin(op)).unwrap();
            known.acknowledge();
        }
    }
}

/// Commits while a checkpoint is made; then a crash.
pub(crate) fn commits_during_a_checkpoint(mistake: Option<Mistake>) -> Result<(), String> {
    for setup in [Setup::fresh(true), Setup::grown(true)] {
        let setup = Setup { mistake, ..setup };
        let disk = setup.disk.copy();
        let known = Mutex::new(setup.known.clone());
        let ops = &[Op::Batch, Op::Buffered, Op::Large, Op::Batch];
        let busy = Hooked::new(&disk, Busy { ops, once: false, storage: OnceLock::new(), known });
        let opened = setup.open(busy.clone()).map_err(|error| format!("open: {error}"))?;
        let (storage, known) = (busy.hook.storage.get_or_init(|| opened), &busy.hook.known);
        for op in [Op::Batch, Op::Upkeep, Op::Upkeep, Op::Batch, Op::Upkeep, Op::Upkeep] {
            if op == Op::Upkeep {
                storage.upkeep().map_err(|error| format!("upkeep: {error}"))?;
            } else {
                let mut known = known.lock().unwrap();
                storage.commit(known.begin(op)).map_err(|error| format!("commit: {error}"))?;
                known.acknowledge();
            }
            let known = known.lock().unwrap();
            if whole_commits(storage, &known)? != known.acknowledged {
                return Err("not all of it is seen".to_owned());
            }
            let mut dice = Dice::new(known.acknowledged as u64);
            for loss in [disk.after_kill(), any_loss(&disk, &mut dice)] {
                let again = setup.open(loss).map_err(|error| format!("refused: {error}"))?;
                if whole_commits(&again, &known)? < known.synced {
                    return Err(format!("not all of {} commits", known.synced));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_checkpoint_claims_nothing_that_was_committed_while_it_was_made() {
    commits_during_a_checkpoint(None).unwrap();
}

/// Commits that are not synced while a compaction writes the state away; then a crash.
pub(crate) fn commits_during_a_compaction(mistake: Option<Mistake>) -> Result<(), String> {
    let setup = Setup { mistake, ..Setup::wide(true) };
    let disk = setup.disk.copy();
    let known = Mutex::new(setup.known.clone());
    let ops = &[Op::Buffered];
    let busy = Hooked::new(&disk, Busy { ops, once: true, storage: OnceLock::new(), known });
    let opened = setup.open(busy.clone()).map_err(|error| format!("open: {error}"))?;
    let (storage, known) = (busy.hook.storage.get_or_init(|| opened), &busy.hook.known);
    for op in [Op::Large, Op::Large, Op::Batch] {
        let mut known = known.lock().unwrap();
        storage.commit(known.begin(op)).map_err(|error| format!("commit: {error}"))?;
        known.acknowledge();
    }
    let mut asked = Known::default();
    asked.perform(Op::Compact, storage).map_err(|error| format!("compaction: {error}"))?;
    let mut known = known.lock().unwrap();
    known.ask(Op::Compact);
    if known.synced == known.acknowledged {
        return Err("nothing was committed meanwhile".to_owned());
    }
    for seed in 0..32 {
        let lost = any_loss(&disk, &mut Dice::new(seed));
        let again = setup.open(lost).map_err(|error| format!("refused: {error}"))?;
        if whole_commits(&again, &known)? < known.synced {
            return Err(format!("not all of {} commits", known.synced));
        }
    }
    Ok(())
}

#[test]
fn a_compaction_drops_nothing_because_of_events_that_a_power_loss_could_take() {
    commits_during_a_compaction(None).unwrap();
}
