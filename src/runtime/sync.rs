//! What concurrent structures are made of: the real thing, or `loom`'s, which tries every order of
//! events.

#[cfg(tidings_loom)]
mod modelled;

#[cfg(not(tidings_loom))]
mod real {
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::{
        sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
        thread,
        time::Instant,
    };

    /// Between two `SeqCst` accesses whose place in the total order matters: they need no more.
    #[inline(always)]
    pub(crate) fn in_one_order() {}

    pub(crate) mod channel {
        pub(crate) use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
    }
}

#[cfg(tidings_loom)]
pub(crate) use modelled::*;
#[cfg(not(tidings_loom))]
pub(crate) use real::*;
