//! What the ring is made of: the real thing, or `loom`'s, which tries every order of events.

#[cfg(not(tidings_loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, fence};

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
}

pub(crate) use crate::runtime::sync::{Mutex, in_one_order};
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
