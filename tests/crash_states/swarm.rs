//! Long random lives: operations, failing calls, full disks, deaths and power losses in any order.

use std::io::ErrorKind;

use tidings::{
    storage::{FileStorage, Storage, StorageError},
    testing::{Fault, MemoryDisk},
};

use crate::{
    losses::Dice,
    model::{Known, Op, check_backup, whole_commits},
    setup::Setup,
};

struct Life {
    setup: Setup,
    disk: MemoryDisk,
    known: Known,
    dice: Dice,
    /// How likely what is: drawn once for each life, so that lives differ.
    weights: [u64; OPS.len()],
}

const OPS: [Op; 11] = [
    Op::Synced,
    Op::Buffered,
    Op::Batch,
    Op::Large,
    Op::Huge,
    Op::Upkeep,
    Op::Close,
    Op::Reopen,
    Op::Trim,
    Op::Compact,
    Op::Backup,
];

impl Life {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let setup = Setup::fresh(dice.below(2) == 0);
        let weights = std::array::from_fn(|_| dice.below(2) * dice.below(10));
        let disk = setup.disk.clone();
        disk.set_tear([512, 512, 100, 8][usize::try_from(dice.below(4)).unwrap()]);
        Self { setup, disk, known: Known::default(), dice, weights }
    }

    fn op(&mut self) -> Op {
        let sum: u64 = self.weights.iter().sum();
        let mut left = self.dice.below(sum);
        for (op, weight) in OPS.into_iter().zip(self.weights) {
            if left < weight {
                return op;
            }
            left -= weight;
        }
        Op::Synced
    }

    fn maybe_fail(&mut self) {
        let at = 1 + self.dice.below(60);
        match self.dice.below(8) {
            0 => self.disk.fail(Fault::at(at).once()),
            1 => self.disk.fail(Fault::at(at)),
            2 => self.disk.fail(Fault::at(at).once().kind(ErrorKind::StorageFull)),
            3 => self.disk.fail(Fault::at(at).stop()),
            4 => {
                let files = self.disk.files();
                let sizes = files.iter().map(|path| self.disk.contents(path).unwrap().len() as u64);
                self.disk.set_capacity(Some(sizes.sum::<u64>() + at * 50));
            }
            _ => {}
        }
    }

    fn heal(&self) {
        self.disk.heal();
        self.disk.set_capacity(None);
    }

    /// Opens, if need be once nothing fails any more, and looks at everything.
    fn open(&mut self) -> Result<FileStorage, String> {
        self.maybe_fail();
        let opened = self.setup.open(self.disk.clone());
        self.heal();
        let storage = match opened {
            Ok(storage) => storage,
            Err(StorageError::Io { .. } | StorageError::Full { .. }) => {
                if self.dice.below(2) == 0 {
                    self.down();
                }
                let opened = self.setup.open(self.disk.clone());
                opened.map_err(|error| format!("refused: {error}"))?
            }
            Err(error) => return Err(format!("refused: {error}")),
        };
        let found = whole_commits(&storage, &self.known)?;
        if found < self.known.acknowledged {
            return Err(format!("{found} of {:?}", self.known));
        }
        self.known.settle(found);
        self.known.trimmed[0] = storage.first().get() - 1;
        self.check_backup()?;
        Ok(storage)
    }

    fn check_backup(&mut self) -> Result<(), String> {
        let Some(backup) = self.known.backup.take() else { return Ok(()) };
        let disk = self.disk.copy();
        check_backup(&backup, &self.known, || self.setup.open_at(&backup.path, disk))
    }

    /// The process ends, and perhaps the power fails.
    fn down(&mut self) {
        self.heal();
        match self.dice.below(3) {
            0 => self.disk.kill(),
            1 => {}
            _ => {
                self.disk.crash(self.dice.bits());
                self.known.acknowledged = self.known.synced;
            }
        }
    }

    /// Works until something fails, or long enough.
    fn work(&mut self, storage: &FileStorage) -> Result<(), String> {
        self.maybe_fail();
        for _ in 0..self.dice.below(25) {
            let op = self.op();
            let commit = op.is_commit().then(|| self.known.begin(op));
            let done = match (op, commit) {
                (_, Some(commit)) => storage.commit(commit).map(|_| ()),
                (Op::Reopen, _) => return Ok(()),
                _ => self.known.perform(op, storage),
            };
            match done {
                Ok(()) if op == Op::Close => return Ok(()),
                Ok(()) if op.is_commit() => self.known.acknowledge(),
                Ok(()) => {}
                Err(StorageError::Io { .. } | StorageError::Full { .. }) if op != Op::Close => {
                    self.known.begun.truncate(self.known.acknowledged);
                    if self.dice.below(2) == 0 {
                        self.heal();
                    }
                }
                Err(StorageError::Indeterminate { .. }) => return Ok(()),
                Err(_) if op == Op::Close => return Ok(()),
                Err(error) => return Err(format!("{op:?}: {error:?}")),
            }
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), String> {
        for round in 0..6 {
            let said = |error| format!("round {round}: {error}");
            let storage = self.open().map_err(said)?;
            self.work(&storage).map_err(said)?;
            drop(storage);
            self.down();
        }
        self.open().map(|_| ())
    }
}

#[test]
fn no_life_loses_or_invents_anything() {
    for seed in 0..8000 {
        if let Err(error) = Life::new(seed).live() {
            panic!("seed {seed}: {error}");
        }
    }
}
