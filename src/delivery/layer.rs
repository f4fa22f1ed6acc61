//! What is done around every handler of a subscription.

use std::{any::type_name, fmt, sync::Arc};

use super::{Context, HandlerError};

/// Something that is done around every handler of a subscription: a function of the context and of
/// what comes [`Next`]. See [`SubscriptionBuilder::layer`](crate::SubscriptionBuilder::layer).
pub trait Layer: Send + Sync + 'static {
    /// Does its part of the handling of one event, and calls `next` for the rest.
    ///
    /// # Errors
    /// Those of the rest, or its own. They are treated as the handler's.
    fn handle(&self, ctx: &mut Context, next: Next<'_>) -> Result<(), HandlerError>;
}

impl<F> Layer for F
where
    F: Fn(&mut Context, Next<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    fn handle(&self, ctx: &mut Context, next: Next<'_>) -> Result<(), HandlerError> {
        self(ctx, next)
    }
}

/// What comes after a [`Layer`]: the layers inside it, and then the handler.
#[must_use = "an event whose layer does not run the rest is acknowledged without its handler"]
pub struct Next<'a> {
    layers: &'a [NamedLayer],
    handler: &'a dyn Fn(&mut Context) -> Result<(), HandlerError>,
}

impl<'a> Next<'a> {
    pub(super) fn new(
        layers: &'a [NamedLayer],
        handler: &'a dyn Fn(&mut Context) -> Result<(), HandlerError>,
    ) -> Self {
        Self { layers, handler }
    }

    /// Runs the rest.
    ///
    /// # Errors
    /// Those of the layers inside, and of the handler.
    pub fn run(self, ctx: &mut Context) -> Result<(), HandlerError> {
        match self.layers.split_first() {
            Some((first, layers)) => first.layer.handle(ctx, Self { layers, ..self }),
            None => (self.handler)(ctx),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers", &self.layers).finish_non_exhaustive()
    }
}

/// A layer, and the name of its type.
#[derive(Clone)]
pub(crate) struct NamedLayer {
    layer: Arc<dyn Layer>,
    pub(super) name: &'static str,
}

impl NamedLayer {
    pub(crate) fn new<L: Layer>(layer: L) -> Self {
        Self { layer: Arc::new(layer), name: type_name::<L>() }
    }
}

impl fmt::Debug for NamedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
