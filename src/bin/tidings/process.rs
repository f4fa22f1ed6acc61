//! What the tool takes from its process besides its arguments: the environment, and waiting.
#![allow(clippy::disallowed_methods)] // a tool may; the library may not

use std::{env, io::IsTerminal, thread, time::Duration};

/// Whether what goes to standard output should have colours: it is a terminal that can show them,
/// and nobody objects (<https://no-color.org>).
pub(crate) fn wants_colours() -> bool {
    let objects = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !objects && !is_dumb
}

/// Whether somebody watches standard error.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Waits.
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}
