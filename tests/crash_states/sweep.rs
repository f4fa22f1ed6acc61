//! A script of operations in which something fails; afterwards things are as promised.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicI64, Ordering},
};

use tidings::{
    storage::{FileStorage, Query, Storage, StorageError},
    testing::MemoryDisk,
};

use crate::{
    hooked::{Hook, Hooked},
    losses::{Dice, any_loss},
    model::{Known, Op, whole_commits},
    setup::Setup,
};

/// Everything that touches the disk; `Reopen` stands for looking at everything.
const SCRIPT: [Op; 25] = [
    Op::Synced,
    Op::Buffered,
    Op::Batch,
    Op::Upkeep,
    Op::Large,
    Op::Upkeep,
    Op::Upkeep,
    Op::Upkeep,
    Op::Large,
    Op::Reopen,
    Op::Huge,
    Op::Upkeep,
    Op::Compact,
    Op::Buffered,
    Op::Huge,
    Op::Upkeep,
    Op::Trim,
    Op::Upkeep,
    Op::Batch,
    Op::Compact,
    Op::Trim,
    Op::Backup,
    Op::Upkeep,
    Op::Reopen,
    Op::Close,
];

/// What an operation came to.
enum Done {
    Well,
    Failed(StorageError),
    Panicked,
}

/// One run of the script.
pub(crate) struct Sweep<'a> {
    setup: &'a Setup,
    pub(crate) disk: MemoryDisk,
    known: Known,
    pub(crate) panics: bool,
    /// Whether something failed midway.
    ambiguous: bool,
    /// So many calls from now, one fails although it has done what it was to do.
    pub(crate) late: Option<i64>,
}

/// Calls left until one fails late.
#[derive(Debug)]
struct Late(AtomicI64);

impl Hook for Late {
    fn after(&self) -> io::Result<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            1 => Err(io::Error::other("done, and failed")),
            _ => Ok(()),
        }
    }
}

fn attempt(work: impl FnOnce() -> Result<(), StorageError>) -> Done {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Done::Well,
        Ok(Err(error)) => Done::Failed(error),
        Err(_) => Done::Panicked,
    }
}

/// Runs the script, in which something fails; then things end in several ways.
pub(crate) fn sweep(mut sweep: Sweep<'_>, seed: u64) -> Result<(), String> {
    sweep.run()?;
    let (setup, disk) = (sweep.setup, &sweep.disk);
    disk.heal();
    let known = &sweep.known;
    let Known { acknowledged, synced, .. } = known;
    let mut dice = Dice::new(seed);
    for power_loss in [false, true, true, true] {
        let (after, least) = if power_loss {
            (any_loss(disk, &mut dice), *synced)
        } else {
            (disk.after_kill(), *acknowledged)
        };
        let storage = setup.open(after).map_err(|error| format!("{power_loss}: {error}"))?;
        let found = whole_commits(&storage, known)?;
        if found < least {
            return Err(format!("power loss {power_loss}: {found} commits of {least}"));
        }
    }
    Ok(())
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(setup: &'a Setup) -> Self {
        let (disk, known) = (setup.disk.copy(), setup.known.clone());
        Self { setup, disk, known, panics: false, ambiguous: false, late: None }
    }

    fn run(&mut self) -> Result<(), String> {
        let mut opened = None;
        let done = attempt(|| {
            opened = Some(match self.late {
                None => self.setup.open(self.disk.clone())?,
                Some(call) => self.setup.open(Hooked::new(&self.disk, Late(call.into())))?,
            });
            Ok(())
        });
        let Some(storage) = opened else {
            return match done {
                Done::Failed(StorageError::Io { .. } | StorageError::Full { .. }) => Ok(()),
                Done::Panicked if self.panics => Ok(()),
                Done::Failed(error) => Err(format!("open: {error:?}")),
                _ => Err("open panics".to_owned()),
            };
        };
        for (at, op) in SCRIPT.into_iter().enumerate() {
            let failed =
                self.step(&storage, op).map_err(|error| format!("{at}, {op:?}: {error}"))?;
            if failed {
                let after = self.afterwards(&storage, op);
                return after.map_err(|error| format!("after {at}, {op:?}: {error}"));
            }
        }
        Ok(())
    }

    /// True: it failed, in a way that it may.
    fn step(&mut self, storage: &FileStorage, op: Op) -> Result<bool, String> {
        let next = op.is_commit().then(|| self.known.begin(op));
        let done = attempt(|| match (op, next) {
            (_, Some(commit)) => storage.commit(commit).map(|_| ()),
            (Op::Reopen, _) => {
                storage.scan(b"", None, usize::MAX)?;
                storage.read(&Query::from(storage.first())).map(|_| ())
            }
            _ => self.known.perform(op, storage),
        });
        match done {
            Done::Well if op.is_commit() => self.known.acknowledge(),
            Done::Well => {}
            Done::Panicked if self.panics => return Ok(true),
            Done::Panicked => return Err("it panics".to_owned()),
            Done::Failed(StorageError::Indeterminate { .. }) if op != Op::Reopen => {
                self.ambiguous = true;
                return Ok(true);
            }
            // The sync of a checkpoint that the close began.
            Done::Failed(StorageError::Poisoned) if op == Op::Close => {
                self.ambiguous = true;
                return Ok(true);
            }
            Done::Failed(StorageError::Io { .. } | StorageError::Full { .. }) => {
                self.known.begun.truncate(self.known.acknowledged);
                return Ok(true);
            }
            Done::Failed(error) => return Err(format!("{error:?}")),
        }
        Ok(false)
    }

    /// What was committed is still read. What failed midway is not gone on with; anything else
    /// succeeds the next time.
    fn afterwards(&mut self, storage: &FileStorage, op: Op) -> Result<(), String> {
        self.disk.heal();
        let closed = op == Op::Close;
        if !closed && whole_commits(storage, &self.known)? != self.known.acknowledged {
            return Err("it is not what was acknowledged that is read".to_owned());
        }
        for next in [Op::Large, Op::Batch, Op::Huge] {
            let unsure = self.known.begun.get(self.known.acknowledged).copied();
            let next = if op.is_commit() && next == Op::Large { op } else { next };
            self.known.begun.truncate(self.known.acknowledged);
            let commit = self.known.begin(unsure.unwrap_or(next));
            let allowed = |error: &StorageError| match error {
                StorageError::Poisoned => self.ambiguous || self.panics,
                StorageError::Closed => closed,
                _ => false,
            };
            match storage.commit(commit) {
                Ok(_) if self.ambiguous || closed && !self.panics => {
                    return Err("it goes on".to_owned());
                }
                Ok(_) => self.known.acknowledge(),
                Err(error) if allowed(&error) => {
                    if unsure.is_none() {
                        self.known.begun.pop();
                    }
                    break;
                }
                Err(error) => return Err(format!("the next commit: {error:?}")),
            }
        }
        if self.ambiguous || self.panics || closed {
            return Ok(());
        }
        for op in [Op::Compact, Op::Trim] {
            let done = self.known.perform(op, storage);
            done.map_err(|error| format!("{op:?} after it: {error:?}"))?;
        }
        let found = whole_commits(storage, &self.known)?;
        if found == self.known.acknowledged { Ok(()) } else { Err("not all is there".to_owned()) }
    }
}
