//! What the ring is made of: the real thing, or `loom`'s, which tries every order of events.

#[cfg(not(tidings_loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, fence};

    /// Between two `SeqCst` accesses whose place in the total order matters: they need no more.
    #[inline(always)]
    pub(crate) fn in_one_order() {}

    /// A plain cell with the face of `loom`'s.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

#[cfg(tidings_loom)]
mod modelled {
    pub(crate) use loom::{
        cell::UnsafeCell,
        sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, fence},
    };

    std::thread_local! {
        /// Whether this model depends on the total order of `SeqCst` accesses.
        pub(crate) static ONE_ORDER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// `loom` takes `SeqCst` accesses for weaker ones, and knows a total order of fences only. These
    /// hide other mistakes, and so they are there in models that cannot do without.
    pub(crate) fn in_one_order() {
        if ONE_ORDER.get() {
            fence(std::sync::atomic::Ordering::SeqCst);
        }
    }
}

pub(crate) use crate::runtime::sync::Mutex;
#[cfg(tidings_loom)]
pub(crate) use modelled::*;
#[cfg(not(tidings_loom))]
pub(crate) use real::*;
pub(crate) use std::sync::atomic::Ordering;

/// A value with cache lines of its own, so that what is written often does not slow down readers of
/// what lies beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
