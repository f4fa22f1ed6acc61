//! Stores to begin with.

use tidings::{
    storage::{
        FileStorage, Storage, StorageError, Upkeep,
        file::{Disk, Mistake},
    },
    testing::MemoryDisk,
};

use crate::model::{Known, Op};

/// A store to begin with, and how it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) disk: MemoryDisk,
    pub(crate) known: Known,
    /// Whether upkeep writes the state to a file whenever there is something to write.
    pub(crate) eager: bool,
    pub(crate) mistake: Option<Mistake>,
}

impl Setup {
    /// No store yet.
    pub(crate) fn fresh(eager: bool) -> Self {
        Self { disk: MemoryDisk::new(), known: Known::default(), eager, mistake: None }
    }

    /// Three segments and two runs, of which the older one is large; left by a crash.
    pub(crate) fn grown(eager: bool) -> Self {
        Self::fresh(true).grow(eager)
    }

    /// Another store that has grown the same way.
    pub(crate) fn foreign() -> Self {
        let setup = Self::fresh(true);
        setup.disk.entropy();
        setup.grow(true)
    }

    /// Five segments with things to drop, of which the first was written anew; left by a crash.
    pub(crate) fn wide(eager: bool) -> Self {
        let ops = [Op::Large, Op::Synced, Op::Large, Op::Batch, Op::Upkeep, Op::Compact];
        let more = [Op::Huge, Op::Large, Op::Upkeep, Op::Batch];
        Self::fresh(true).after(&[&ops[..], &more[..]].concat(), eager)
    }

    fn grow(self, eager: bool) -> Self {
        let ops = [Op::Synced, Op::Huge, Op::Upkeep, Op::Batch, Op::Upkeep, Op::Synced];
        self.after(&ops, eager)
    }

    fn after(self, ops: &[Op], eager: bool) -> Self {
        let mut setup = self;
        let storage = setup.open(setup.disk.clone()).unwrap();
        for op in ops.iter().copied() {
            if op == Op::Upkeep {
                while storage.upkeep().unwrap() == Upkeep::More {}
            } else if !op.is_commit() {
                setup.known.perform(op, &storage).unwrap();
            } else {
                storage.commit(setup.known.begin(op)).unwrap();
                setup.known.acknowledge();
            }
        }
        drop(storage);
        setup.disk = setup.disk.after_power_loss(|_| true);
        setup.eager = eager;
        setup
    }

    pub(crate) fn with(mut self, mistake: Mistake) -> Self {
        self.mistake = Some(mistake);
        self
    }

    pub(crate) fn open(&self, disk: impl Disk) -> Result<FileStorage, StorageError> {
        self.open_at("/store", disk)
    }

    pub(crate) fn open_at(&self, path: &str, disk: impl Disk) -> Result<FileStorage, StorageError> {
        let builder = FileStorage::builder(path).disk(disk).segment_bytes(1024);
        let builder = if self.eager { builder.state_bytes(0) } else { builder };
        match self.mistake {
            Some(mistake) => builder.plant(mistake).open(),
            None => builder.open(),
        }
    }
}
