//! An event type, looked up: what is known of it, and how to publish it.

use std::{any::TypeId, collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

use super::{
    ids::Ids,
    inline::{Called, InlineHandlers},
    ring::{CellRef, Route},
};
use crate::{
    contract::{Contract, EventType, NameId, NameTaken},
    event::Event,
};

/// An event type, looked up: what is known of it, and how to publish it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) event: Arc<EventType>,
    pub(crate) route: Arc<Route>,
    pub(super) inline: InlineHandlers,
    /// Calls them with the event in a cell.
    pub(super) call_inline: fn(&Self, &Ids, &CellRef) -> Called,
}

/// Every topic that was asked for.
#[derive(Default)]
pub(super) struct Topics {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    types: BTreeMap<TypeId, Arc<Topic>>,
    routes: BTreeMap<NameId, Arc<Route>>,
}

impl Topics {
    pub(super) fn of<E: Event>(&self, contract: &Contract) -> Result<Arc<Topic>, NameTaken> {
        if let Some(topic) = self.known.read().types.get(&TypeId::of::<E>()) {
            return Ok(Arc::clone(topic));
        }
        let event = contract.of::<E>()?;
        let mut known = self.known.write();
        let route = known.route(event.id);
        let topic = || Topic {
            event,
            route,
            inline: InlineHandlers::default(),
            call_inline: Topic::call_inline_erased::<E>,
        };
        let known = known.types.entry(TypeId::of::<E>());
        Ok(Arc::clone(known.or_insert_with(|| Arc::new(topic()))))
    }

    /// The route of a name, which need not belong to a known type.
    pub(super) fn route(&self, kind: NameId) -> Arc<Route> {
        self.known.write().route(kind)
    }
}

impl Known {
    fn route(&mut self, kind: NameId) -> Arc<Route> {
        Arc::clone(self.routes.entry(kind).or_insert_with(|| Route::new(kind)))
    }
}
