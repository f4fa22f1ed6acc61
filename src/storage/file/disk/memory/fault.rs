//! Calls that fail.

use std::io;

/// A failure to come, for [`MemoryDisk::fail`](super::MemoryDisk::fail).
///
/// A write that fails has written some of its bytes, and a change of length may have happened. A
/// sync of a file that fails has made some of its bytes durable and forgets the others, as Linux
/// does: reads show them, and no later sync makes them durable unless they are written again. Any
/// other call that fails does nothing; the names in a directory can be synced again.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing fails until the fault is given to a disk"]
pub struct Fault {
    at: u64,
    kind: io::ErrorKind,
    is_once: bool,
    panics: bool,
    stops: bool,
}

impl Fault {
    /// The `n`th I/O call from when the disk is given the fault, and every later one, fail; 0 and 1
    /// both mean the next.
    pub const fn at(n: u64) -> Self {
        let kind = io::ErrorKind::Other;
        Self { at: n, kind, is_once: false, panics: false, stops: false }
    }

    /// The calls after it work again.
    pub const fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    /// Which error; [`io::ErrorKind::Other`] if it is not said.
    pub const fn kind(mut self, kind: io::ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The call panics. If later ones fail as well, they return errors.
    pub const fn panic(mut self) -> Self {
        self.panics = true;
        self
    }

    /// No call from this one on has any effect, as if the process had died just before it. Never
    /// [`Fault::once`].
    pub const fn stop(mut self) -> Self {
        self.stops = true;
        self
    }

    /// The same fault, `at` counted from the disk's first call.
    pub(super) fn after(mut self, calls: u64) -> Self {
        self.at = calls.saturating_add(self.at.max(1));
        self
    }

    /// How the call of this number fails, if it does.
    pub(super) fn strike(&self, call: u64) -> Option<Failure> {
        let is_over = self.is_once && !self.stops && call > self.at;
        if call < self.at || is_over {
            return None;
        }
        let panics = self.panics && call == self.at;
        Some(Failure { kind: self.kind, panics, has_effect: !self.stops })
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    kind: io::ErrorKind,
    panics: bool,
    /// Whether it may do a part of what it was to do.
    pub(super) has_effect: bool,
}

impl Failure {
    /// The error, unless it is a panic.
    pub(super) fn raise(self) -> io::Error {
        assert!(!self.panics, "simulated panic of an I/O call");
        io::Error::new(self.kind, "simulated failure")
    }
}
