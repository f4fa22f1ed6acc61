//! What tidings is measured beside.

pub(crate) mod fjall;
mod hand_made;
pub(crate) mod jetstream;
pub(crate) mod redis;
pub(crate) mod sqlite;

use std::{path::Path, sync::Arc};

pub(crate) use hand_made::HandMade;

use crate::{handler::Handler, queue::Queue};

/// How a server that was found is used, or why it was not found.
type Found = Result<fn(&Path, Arc<Handler>) -> Box<dyn Queue>, String>;

/// The address of a server.
fn address(variable: &str) -> Result<String, String> {
    std::env::var(variable).map_err(|_| format!("set {variable} to the address of a server"))
}

/// A name on a server that nobody else uses.
fn unique_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("tidings-bench-{}-{count}", std::process::id())
}
