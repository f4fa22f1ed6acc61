//! The checker, checked on histories that are known to be broken, and on odd ones that are not.
#![allow(clippy::unwrap_used)] // tests, though clippy does not see that

mod broken;
mod legal;
mod story;
