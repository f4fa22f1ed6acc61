//! What a test sees of the calls of handlers, and how it disturbs them.

#[cfg(any(test, feature = "testing"))]
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(test, feature = "testing"))]
use super::DeadLetterReason;
use super::{Context, HandlerError, Subscriber, batched::Item, dead_letter::Verdict};
use crate::{journal::Entry, runtime::in_handler};

/// Sees every call of a handler, and may have it fail. With one, handlers get their events one at a
/// time or in batches, but not in place.
#[cfg(any(test, feature = "testing"))]
pub(crate) trait Probe: std::fmt::Debug + Send + Sync {
    /// A handler is about to be called. With an error it is not, as if it had failed so.
    fn begins(&self, context: &Context) -> Result<(), HandlerError>;

    /// It has ended so. With an error it has failed after all.
    fn ends(
        &self,
        subscription: &str,
        entry: &Entry,
        result: Result<(), &HandlerError>,
    ) -> Option<HandlerError>;

    /// An event will be tried again.
    fn retries(&self, subscription: &str, entry: &Entry, delay: Duration);

    /// The event was passed over after all, because a filter said so.
    fn skips(&self, _subscription: &str, _entry: &Entry) {}

    /// An event became a dead letter.
    fn buried(&self, subscription: &str, entry: &Entry, reason: DeadLetterReason, error: &str);
}

/// The probe of a bus, if it has one. It never has, outside of tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probed {
    #[cfg(any(test, feature = "testing"))]
    probe: Option<Arc<dyn Probe>>,
}

#[cfg(any(test, feature = "testing"))]
impl Probed {
    pub(crate) fn by(probe: Arc<dyn Probe>) -> Self {
        Self { probe: Some(probe) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.probe.is_some()
    }

    pub(super) fn begins(&self, context: &Context) -> Result<(), HandlerError> {
        self.probe.as_ref().map_or(Ok(()), |probe| probe.begins(context))
    }

    fn ends<T>(
        &self,
        subscriber: &Subscriber,
        entry: &Entry,
        result: Result<T, HandlerError>,
    ) -> Result<T, HandlerError> {
        let Some(probe) = &self.probe else { return result };
        let seen = result.as_ref().map(|_| ());
        match probe.ends(&subscriber.name, entry, seen) {
            Some(error) => Err(error),
            None => result,
        }
    }

    fn ends_batch(
        &self,
        items: &mut [Item],
        result: Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        let Some(probe) = &self.probe else { return result };
        for item in items {
            let (subscription, entry) = (&*item.context.subscriber.name, &*item.context.entry);
            let seen = item.failure.as_ref().or(result.as_ref().err()).map_or(Ok(()), Err);
            if let Some(error) = probe.ends(subscription, entry, seen) {
                item.failure = Some(error);
            }
        }
        result
    }

    pub(super) fn retries(&self, subscriber: &Subscriber, entry: &Entry, delay: Duration) {
        if let Some(probe) = &self.probe {
            probe.retries(&subscriber.name, entry, delay);
        }
    }

    pub(super) fn skips(&self, subscriber: &Subscriber, entry: &Entry) {
        if let Some(probe) = &self.probe {
            probe.skips(&subscriber.name, entry);
        }
    }

    pub(super) fn buried(&self, subscriber: &Subscriber, entry: &Entry, verdict: &Verdict) {
        if let Some(probe) = &self.probe {
            probe.buried(&subscriber.name, entry, verdict.reason, &verdict.error);
        }
    }
}

#[cfg(not(any(test, feature = "testing")))]
#[allow(clippy::unused_self, clippy::unnecessary_wraps)] // the same calls in both builds
impl Probed {
    pub(super) const fn is_on(&self) -> bool {
        false
    }

    pub(super) const fn begins(&self, _: &Context) -> Result<(), HandlerError> {
        Ok(())
    }

    fn ends<T>(
        &self,
        _: &Subscriber,
        _: &Entry,
        result: Result<T, HandlerError>,
    ) -> Result<T, HandlerError> {
        result
    }

    fn ends_batch(
        &self,
        _: &mut [Item],
        result: Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        result
    }

    pub(super) const fn retries(&self, _: &Subscriber, _: &Entry, _: Duration) {}

    pub(super) const fn skips(&self, _: &Subscriber, _: &Entry) {}

    pub(super) const fn buried(&self, _: &Subscriber, _: &Entry, _: &Verdict) {}
}

impl Subscriber {
    /// Calls a handler, as a probe sees it.
    pub(super) fn call_probed(
        &self,
        context: &mut Context,
        call: impl FnOnce(&mut Context) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        self.probed.begins(context)?;
        let result = in_handler(|| call(context));
        self.probed.ends(self, &context.entry, result)
    }

    /// The same for a handler that goes on elsewhere, and has ended so.
    pub(super) fn ended_probed<T>(
        &self,
        entry: &Entry,
        result: Result<T, HandlerError>,
    ) -> Result<T, HandlerError> {
        self.probed.ends(self, entry, result)
    }

    /// The same for a batch.
    pub(super) fn call_batch_probed(
        &self,
        items: &mut [Item],
        call: impl FnOnce(&mut [Item]) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        for item in &*items {
            self.probed.begins(&item.context)?;
        }
        let result = in_handler(|| call(items));
        self.probed.ends_batch(items, result)
    }
}
