//! Handlers that are made when they are needed.

use std::fmt;

use parking_lot::Mutex;

use super::{Context, Handler, HandlerError, IntoHandler};
use crate::event::Event;

/// A handler that is made when it is needed. Made by [`made_by`].
pub struct MadeBy<F, H> {
    make: F,
    /// Those that nobody is using.
    idle: Mutex<Vec<H>>,
}

/// Has handlers made by a function: as many as lanes handle events at once, each used by one of them
/// at a time, and a new one for one that has panicked, whose state nobody can vouch for.
///
/// For handlers that hold something, such as a connection. `make` is called in lanes, and may take its
/// time; where it panics, that is a failed attempt.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use std::cell::RefCell;
/// use tidings::{Bus, Context, Event, Handler, HandlerError, made_by};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed")]
/// struct OrderPlaced;
///
/// struct Printer { connection: String }
///
/// impl Handler<OrderPlaced> for Printer {
///     fn handle(&self, _: &OrderPlaced, _: &mut Context) -> Result<(), HandlerError> {
///         println!("{} prints", self.connection);
///         Ok(())
///     }
/// }
///
/// let bus = Bus::volatile();
/// let printers = made_by(|| Printer { connection: "a new one".into() });
/// bus.subscribe("printing").lanes(4).on::<OrderPlaced, _>(printers).start()?;
/// # Ok::<(), tidings::Error>(())
/// ```
pub fn made_by<E, M, H, F>(make: F) -> MadeBy<impl Fn() -> H::Handler + Send + Sync, H::Handler>
where
    E: Event,
    H: IntoHandler<E, M>,
    F: Fn() -> H + Send + Sync + 'static,
{
    MadeBy { make: move || make().into_handler(), idle: Mutex::new(Vec::new()) }
}

impl<E, F, H> Handler<E> for MadeBy<F, H>
where
    E: Event,
    F: Fn() -> H + Send + Sync + 'static,
    H: Handler<E>,
{
    fn handle(&self, event: &E, ctx: &mut Context) -> Result<(), HandlerError> {
        let idle = self.idle.lock().pop();
        let handler = idle.unwrap_or_else(&self.make);
        let result = handler.handle(event, ctx);
        // Not reached in a panic, which drops the handler.
        self.idle.lock().push(handler);
        result
    }
}

impl<F, H> fmt::Debug for MadeBy<F, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeBy").field("idle", &self.idle.lock().len()).finish_non_exhaustive()
    }
}
