//! Processes that end in the middle of a handler.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tidings::testing::{End, Fact, MemoryDisk};

use crate::subscriptions::Scene;

/// Whether the process has ended in a handler. A clone is the same.
#[derive(Clone)]
pub(crate) struct Fate {
    disk: MemoryDisk,
    /// Only where nobody waits for what the process does.
    may_strike: Arc<AtomicBool>,
    has_struck: Arc<AtomicBool>,
}

impl Fate {
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        Self { disk, may_strike: Arc::default(), has_struck: Arc::default() }
    }

    /// A process begins.
    pub(crate) fn begin(&self) {
        self.has_struck.store(false, Relaxed);
    }

    /// Does something during which handlers may end the process.
    pub(crate) fn tempt(&self, mut act: impl FnMut()) {
        self.may_strike.store(true, Relaxed);
        act();
        self.may_strike.store(false, Relaxed);
    }

    /// Whether the process has ended: nothing that goes on is seen by anybody.
    pub(crate) fn has_struck(&self) -> bool {
        self.has_struck.load(Relaxed)
    }

    /// In a handler: ends the process, if that is drawn.
    pub(crate) fn strikes(&self, scene: &Scene) -> bool {
        let deadly = scene.faults.die;
        if deadly == 0 || !self.may_strike.load(Relaxed) || scene.draw(100) >= deadly {
            return false;
        }
        self.has_struck.store(true, Relaxed);
        scene.history.add(Fact::Ended { how: End::Killed });
        scene.notes.note("processes that ended in a handler");
        scene.sim.crash();
        self.disk.kill();
        true
    }
}
