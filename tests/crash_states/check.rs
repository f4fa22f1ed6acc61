//! What must hold after a crash. All of it follows from the operations and what was acknowledged.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use tidings::{
    storage::Storage,
    testing::{Fault, MemoryDisk},
};

use crate::{
    losses::{Dice, after, any_loss, losses},
    model::{Known, Op, check_backup, commit, whole_commits},
    run::Crash,
    setup::Setup,
};

/// In one of so many states, the recovery is crashed at every step instead of at one.
const THOROUGH: u64 = 400;

/// Checks crashes, and counts.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) dice: Dice,
    /// States that a first crash left.
    pub(crate) states: u64,
    /// Those that held something else than the ones before, or about which something else is known.
    pub(crate) distinct: u64,
    /// States that crashes of recoveries left.
    pub(crate) nested: u64,
    seen: BTreeSet<u64>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(setup: &'a Setup, seed: u64) -> Self {
        let dice = Dice::new(seed);
        Self { setup, dice, states: 0, distinct: 0, nested: 0, seen: BTreeSet::new() }
    }

    /// Every state that this crash may leave.
    pub(crate) fn crash(&mut self, crash: &Crash) -> Result<(), String> {
        let Crash { disk, known } = crash;
        self.states += 1;
        let killed = self.state(disk, known, known.acknowledged);
        killed.map_err(|error| format!("killed: {error}"))?;
        for kept in losses(disk, &mut self.dice) {
            self.states += 1;
            let lost = after(disk, kept);
            if !self.seen.insert(hash(&lost, known)) {
                continue;
            }
            let result = self.state(&lost, known, known.synced);
            result.map_err(|error| format!("{kept:#b} of {} kept: {error}", disk.atoms()))?;
        }
        Ok(())
    }

    fn state(&mut self, disk: &MemoryDisk, known: &Known, least: usize) -> Result<(), String> {
        self.distinct += 1;
        let recovered = disk.copy();
        let (found, steps) = self.recover(&recovered, known, least)?;
        self.life_goes_on(&recovered, known, found)?;
        if self.dice.below(THOROUGH) == 0 {
            for step in 1..=steps {
                self.crash_again(disk, step, known, found)?;
            }
            return Ok(());
        }
        let step = 1 + self.dice.below(steps);
        self.crash_again(disk, step, known, found)
    }

    /// Opens: how many commits there are, and how many calls it took.
    fn recover(
        &self,
        disk: &MemoryDisk,
        known: &Known,
        least: usize,
    ) -> Result<(usize, u64), String> {
        let storage = self.setup.open(disk.clone()).map_err(|error| format!("refused: {error}"))?;
        let steps = disk.io_count();
        let found = whole_commits(&storage, known)?;
        if found < least {
            return Err(format!("{found} commits, {least} were promised"));
        }
        let is_segment = |path: &PathBuf| path.to_string_lossy().contains('-');
        if storage.recovery().set_aside.iter().any(is_segment) {
            return Err("what was dropped is set aside".to_owned());
        }
        drop(storage);
        if let Some(backup) = known.backup.as_ref() {
            check_backup(backup, known, || self.setup.open_at(&backup.path, disk.copy()))?;
        }
        Ok((found, steps))
    }

    /// Every state that a crash at any step of the recovery from the death of the process may leave.
    pub(crate) fn crash_every_recovery(&mut self, crash: &Crash) -> Result<(), String> {
        let Crash { disk, known } = crash;
        let (_, steps) = self.recover(&disk.copy(), known, known.acknowledged)?;
        for step in 1..=steps {
            let disk = disk.copy();
            disk.fail(Fault::at(step).stop());
            if self.setup.open(disk.clone()).is_ok() {
                return Err(format!("opened where call {step} fails"));
            }
            for kept in losses(&disk, &mut self.dice) {
                self.nested += 1;
                let again = self.recover(&after(&disk, kept), known, known.synced);
                again.map_err(|error| format!("call {step}, {kept:#b} kept: {error}"))?;
            }
        }
        Ok(())
    }

    /// Every call of the recovery fails once, and the next attempt succeeds for good.
    pub(crate) fn fail_every_recovery(&mut self, crash: &Crash) -> Result<(), String> {
        let Crash { disk, known } = crash;
        let (_, steps) = self.recover(&disk.copy(), known, known.acknowledged)?;
        for (step, panics) in (1..=steps).flat_map(|step| [(step, false), (step, true)]) {
            let said = |error| format!("call {step}, panic {panics}: {error}");
            let disk = disk.copy();
            let fault = Fault::at(step).once();
            disk.fail(if panics { fault.panic() } else { fault });
            drop(catch_unwind(AssertUnwindSafe(|| self.setup.open(disk.clone()))));
            let (found, _) = self.recover(&disk, known, known.acknowledged).map_err(said)?;
            for kept in [0, u64::MAX, self.dice.bits(), self.dice.bits()] {
                self.nested += 1;
                let again = self.recover(&after(&disk, kept), known, known.synced).map_err(said)?;
                if again.0 != found {
                    return Err(said(format!("{} commits, {found} were exposed", again.0)));
                }
            }
        }
        Ok(())
    }

    /// What was exposed stays, and commits go on. The next one is the one that the crash took.
    fn life_goes_on(
        &mut self,
        recovered: &MemoryDisk,
        known: &Known,
        found: usize,
    ) -> Result<(), String> {
        let mut known = known.clone();
        let next = known.begun.get(found).copied().unwrap_or(Op::Synced);
        known.settle(found);
        let disk = any_loss(recovered, &mut self.dice);
        let again = self.setup.open(disk.clone()).map_err(|error| format!("again: {error}"))?;
        if whole_commits(&again, &known)? != found {
            return Err("what was exposed is gone".to_owned());
        }
        if again.recovery().reason.is_some() {
            return Err("the same debris is found again".to_owned());
        }
        known.begun.push(next);
        again.commit(commit(found + 1, next)).map_err(|error| format!("after it: {error}"))?;
        known.acknowledge();
        known.begun.extend([Op::Synced, Op::Synced]); // what must not come back
        drop(again);
        let disk = any_loss(&disk, &mut self.dice);
        let (found, _) = self.recover(&disk, &known, known.synced)?;
        if found > known.acknowledged { Err("a lost commit came back".to_owned()) } else { Ok(()) }
    }

    /// A crash while this one is recovered from, and sometimes another.
    fn crash_again(
        &mut self,
        disk: &MemoryDisk,
        step: u64,
        known: &Known,
        found: usize,
    ) -> Result<(), String> {
        let (mut disk, mut step) = (disk.copy(), step);
        // Only a power loss can take what one has already spared.
        let settled = disk.atoms() == 0;
        let mut least = if settled { found } else { known.acknowledged };
        loop {
            disk.fail(Fault::at(step).stop());
            if self.setup.open(disk.clone()).is_ok() {
                return Ok(());
            }
            self.nested += 1;
            if self.dice.below(2) == 0 {
                disk = disk.after_kill();
            } else {
                disk = any_loss(&disk, &mut self.dice);
                least = if settled { found } else { known.synced };
            }
            let recovered = disk.copy();
            let again = self.recover(&recovered, known, least);
            let (again, steps) =
                again.map_err(|error| format!("crashed again at {step}: {error}"))?;
            if settled && again != found {
                return Err(format!("crashed again at {step}: {again} commits, not {found}"));
            }
            if self.dice.below(4) > 0 {
                return Ok(());
            }
            step = 1 + self.dice.below(steps);
        }
    }
}

fn hash(disk: &MemoryDisk, known: &Known) -> u64 {
    let mut hasher = DefaultHasher::new();
    known.hash(&mut hasher);
    for path in disk.files() {
        disk.contents(&path).hash(&mut hasher);
        path.hash(&mut hasher);
    }
    hasher.finish()
}
