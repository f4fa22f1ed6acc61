//! The end of a simulated process, in the middle of whatever it does.

use std::any::Any;

/// What unwinds the stack of a handler whose process has ended. Nobody hears of what comes after it.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub(crate) struct ProcessEnded;

#[cfg(any(test, feature = "testing"))]
impl ProcessEnded {
    /// Goes no further.
    #[allow(dead_code)]
    pub(crate) fn unwind() -> ! {
        std::panic::resume_unwind(Box::new(Self)) // unlike `panic!`, prints nothing
    }
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
