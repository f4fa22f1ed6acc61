//! What is made of one type of event.

use std::{any::Any, sync::Arc};

use super::{
    lateness::{Late, Lateness},
    live::Live,
    rows::{Row, Rows},
};
use crate::{
    bus::SubscriptionBuilder,
    contract::{Contract, EventType, NameTaken},
    delivery::{Context, HandlerError},
    event::Event,
    runtime::Timestamp,
    storage::RecordRef,
};

type Handler<E, R> = Box<dyn Fn(&E, &mut Rows<'_, R>) + Send + Sync>;
type Time<E> = Box<dyn Fn(&E) -> Timestamp + Send + Sync>;

/// What is made of events of type `E`.
pub(super) struct FoldOf<E, R> {
    pub(super) handler: Option<Handler<E, R>>,
    pub(super) time: Option<Time<E>>,
    pub(super) reconcile: Option<Handler<E, R>>,
}

/// The same with the event type erased.
pub(super) trait Fold<R>: Send + Sync {
    fn is_handled(&self) -> bool;
    fn name(&self) -> &'static str;
    fn event(&self, contract: &Contract) -> Result<Arc<EventType>, NameTaken>;
    fn as_any(&mut self) -> &mut dyn Any;

    /// Makes of a record what its event makes of the rows. The error says why it is none.
    fn record(
        &self,
        event: &EventType,
        record: &RecordRef<'_>,
        rows: &mut Rows<'_, R>,
        lateness: Lateness,
    ) -> Result<(), String>;

    /// Has a subscription do it.
    fn subscribe(
        self: Arc<Self>,
        builder: SubscriptionBuilder,
        live: &Arc<Live>,
    ) -> SubscriptionBuilder;
}

/// What is made of each type of event.
pub(super) type Folds<R> = Vec<(Arc<EventType>, Arc<dyn Fold<R>>)>;

impl<E, R> Default for FoldOf<E, R> {
    fn default() -> Self {
        Self { handler: None, time: None, reconcile: None }
    }
}

impl<E: Event, R: Row> FoldOf<E, R> {
    #[inline]
    fn apply(&self, event: &E, rows: &mut Rows<'_, R>, lateness: Lateness) {
        let Some(handler) = &self.handler else { return };
        if self.is_late(event, rows, lateness) {
            self.apply_late(event, rows, lateness.policy);
        } else {
            handler(event, rows);
        }
    }

    fn is_late(&self, event: &E, rows: &mut Rows<'_, R>, lateness: Lateness) -> bool {
        let Some(time) = &self.time else { return false };
        rows.cache.clock(rows.recall).note(time(event), lateness.allowed)
    }

    fn apply_late(&self, event: &E, rows: &mut Rows<'_, R>, policy: Late) {
        let counts = &mut rows.cache.clock(rows.recall).late;
        match (&self.reconcile, policy) {
            (Some(reconcile), _) => {
                counts.reconciled += 1;
                reconcile(event, rows);
            }
            (None, Late::Ignore) => counts.ignored += 1,
            (None, Late::Apply) => {
                counts.applied += 1;
                if let Some(handler) = &self.handler {
                    handler(event, rows);
                }
            }
        }
    }
}

impl<E: Event, R: Row> Fold<R> for FoldOf<E, R> {
    fn is_handled(&self) -> bool {
        self.handler.is_some()
    }

    fn name(&self) -> &'static str {
        E::NAME
    }

    fn event(&self, contract: &Contract) -> Result<Arc<EventType>, NameTaken> {
        contract.of::<E>()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    #[inline]
    fn record(
        &self,
        event: &EventType,
        record: &RecordRef<'_>,
        rows: &mut Rows<'_, R>,
        lateness: Lateness,
    ) -> Result<(), String> {
        let event: E = event.decode_record(record).map_err(|error| error.to_string())?;
        self.apply(&event, rows, lateness);
        Ok(())
    }

    fn subscribe(
        self: Arc<Self>,
        builder: SubscriptionBuilder,
        live: &Arc<Live>,
    ) -> SubscriptionBuilder {
        let live = Arc::clone(live);
        let handle = move |event: &E, ctx: &mut Context| -> Result<(), HandlerError> {
            live.handle(ctx, |rows, lateness| self.apply(event, rows, lateness))
        };
        builder.on(handle)
    }
}
