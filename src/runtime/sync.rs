//! What concurrent structures are made of: the real thing, or `loom`'s, which tries every order of
//! events.

#[cfg(not(tidings_loom))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(tidings_loom))]
pub(crate) use std::sync::atomic::AtomicU8;

#[cfg(tidings_loom)]
pub(crate) use loom::sync::atomic::AtomicU8;
#[cfg(tidings_loom)]
pub(crate) use modelled::Mutex;

#[cfg(tidings_loom)]
mod modelled {
    use std::{fmt, sync::PoisonError};

    use loom::sync::MutexGuard;

    /// `loom`'s mutex with the face of `parking_lot`'s.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Mutex")
        }
    }
}
