//! Which errors of handlers are worth another attempt, by their types.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{delivery::HandlerError, error::BoxError};

/// Whether an error says that no attempt can succeed.
type Rejects = Arc<dyn Fn(&BoxError) -> bool + Send + Sync>;

/// Which errors of handlers are worth another attempt, by their types.
#[derive(Clone, Default)]
pub(crate) struct Classes {
    rejects: Vec<Rejects>,
}

impl Classes {
    /// An error of this type is not worth one where this says so.
    pub(crate) fn reject_if<E: Error + 'static>(
        &mut self,
        rejects: impl Fn(&E) -> bool + Send + Sync + 'static,
    ) {
        self.rejects.push(Arc::new(move |error| error.downcast_ref::<E>().is_some_and(&rejects)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rejects.is_empty()
    }

    /// The error with what is to happen with its event. What the handler has decided stays.
    pub(super) fn judge(&self, error: HandlerError) -> HandlerError {
        if !error.is_undecided() {
            return error;
        }
        let rejects = |rejects: &Rejects| {
            let call = AssertUnwindSafe(|| rejects(error.inner()));
            catch_unwind(call).unwrap_or_else(|_| {
                tracing::error!(
                    "a predicate on a handler's error panicked; it will be tried again"
                );
                false
            })
        };
        if self.rejects.iter().any(rejects) { error.into_rejection() } else { error }
    }
}
