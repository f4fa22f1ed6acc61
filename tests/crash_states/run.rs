//! Running operations, and the crashes in the last one of them.

use std::{path::Path, sync::Mutex};

use tidings::{
    storage::{FileStorage, Storage},
    testing::MemoryDisk,
};

use crate::{
    hooked::{Hook, Hooked},
    model::{Known, Op, check_backup, whole_commits},
    setup::Setup,
};

/// A disk as a crash finds it, and what is known then.
#[derive(Debug)]
pub(crate) struct Crash {
    pub(crate) disk: MemoryDisk,
    pub(crate) known: Known,
}

/// Remembers what the disk held before each call, which is what a crash at that call leaves. Calls
/// that only look leave the same as those before them.
#[derive(Debug, Default)]
struct Witness(Mutex<Option<Vec<MemoryDisk>>>);

impl Hook for Witness {
    fn before(&self, disk: &MemoryDisk, _path: &Path) {
        if let Some(seen) = &mut *self.0.lock().unwrap() {
            seen.push(disk.after_kill());
        }
    }
}

struct Runner<'a> {
    setup: &'a Setup,
    disk: Hooked<Witness>,
    known: Known,
    storage: Option<FileStorage>,
}

/// All crashes in the last operation, and the one right after it. Without operations: in the
/// opening.
pub(crate) fn crashes(setup: &Setup, ops: &[Op]) -> Result<Vec<Crash>, String> {
    let disk = Hooked::new(&setup.disk.copy(), Witness::default());
    let mut runner = Runner { setup, disk, known: setup.known.clone(), storage: None };
    let opened = [Op::Reopen].into_iter().chain(ops.iter().copied());
    let mut during = Known::default();
    for (at, op) in opened.enumerate() {
        if at == ops.len() {
            during = runner.known.clone();
            if op.is_commit() {
                during.begin(op);
            }
            during.ask(op);
            *runner.disk.hook.0.lock().unwrap() = Some(Vec::new());
        }
        runner.step(op)?;
    }
    let seen = runner.disk.hook.0.lock().unwrap().take().unwrap_or_default();
    let disk = runner.disk.disk.after_kill();
    let during = |disk| Crash { disk, known: during.clone() };
    let mut crashes: Vec<Crash> = seen.into_iter().map(during).collect();
    crashes.push(Crash { disk, known: runner.known });
    Ok(crashes)
}

impl Runner<'_> {
    fn step(&mut self, op: Op) -> Result<(), String> {
        let failed = |error| format!("{op:?}: {error}");
        match (op, &self.storage) {
            (Op::Reopen, _) => {
                self.storage = None;
                let storage = self.setup.open(self.disk.clone()).map_err(failed)?;
                let found = whole_commits(&storage, &self.known)?;
                if found != self.known.acknowledged {
                    return Err(format!("{found} commits without a crash"));
                }
                self.known.settle(found);
                self.storage = Some(storage);
            }
            (_, Some(storage)) if !op.is_commit() => {
                self.known.perform(op, storage).map_err(failed)?;
                self.check_backup()?;
            }
            (_, Some(storage)) => {
                storage.commit(self.known.begin(op)).map_err(failed)?;
                self.known.acknowledge();
            }
            (_, None) => return Err("not open".to_owned()),
        }
        Ok(())
    }

    fn check_backup(&self) -> Result<(), String> {
        let Some(backup) = &self.known.backup else { return Ok(()) };
        let disk = self.disk.disk.after_kill();
        check_backup(backup, &self.known, || self.setup.open_at(&backup.path, disk))
    }
}
