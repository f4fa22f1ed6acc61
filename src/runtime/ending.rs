//! The end of a simulated process, in the middle of whatever it does.

use std::any::Any;
#[cfg(any(test, feature = "testing"))]
use std::cell::Cell;

#[cfg(any(test, feature = "testing"))]
thread_local! {
    /// How many handlers are on the stack.
    static HANDLERS: Cell<u32> = const { Cell::new(0) };
}

/// What unwinds the stack of a handler whose process has ended. Nobody hears of what comes after it.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub(crate) struct ProcessEnded;

#[cfg(any(test, feature = "testing"))]
impl ProcessEnded {
    /// If a handler is on the stack, it goes no further.
    pub(crate) fn unwind_handler() {
        if HANDLERS.get() > 0 {
            std::panic::resume_unwind(Box::new(Self)); // unlike `panic!`, prints nothing
        }
    }
}

/// Calls a handler, whose process may end meanwhile.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn in_handler<R>(call: impl FnOnce() -> R) -> R {
    struct Leaving;

    impl Drop for Leaving {
        fn drop(&mut self) {
            HANDLERS.set(HANDLERS.get() - 1);
        }
    }

    HANDLERS.set(HANDLERS.get() + 1);
    let _leaving = Leaving;
    call()
}

/// Outside of tests there is nothing to it.
#[cfg(not(any(test, feature = "testing")))]
#[inline]
pub(crate) fn in_handler<R>(call: impl FnOnce() -> R) -> R {
    call()
}

/// Whether a panic is the end of a simulated process. There are none outside of tests.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn ends_process(panic: &(dyn Any + Send)) -> bool {
    panic.is::<ProcessEnded>()
}

#[cfg(not(any(test, feature = "testing")))]
pub(crate) const fn ends_process(_: &(dyn Any + Send)) -> bool {
    false
}
