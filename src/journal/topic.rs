//! An event type, looked up: what is known of it, and how to publish it.

use std::{any::TypeId, collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

use super::ring::Route;
use crate::{
    contract::{Contract, EventType, NameId, NameTaken},
    event::Event,
};

/// An event type, looked up: what is known of it, and how to publish it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) event: Arc<EventType>,
    pub(crate) route: Arc<Route>,
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
        let topic = known.types.entry(TypeId::of::<E>());
        Ok(Arc::clone(topic.or_insert_with(|| Arc::new(Topic { event, route }))))
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
