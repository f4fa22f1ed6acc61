//! Calling handlers where the event is published: what people write before they need more.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, RwLock},
};

use crate::{contest::Load, event::Measured, tally::Tally};

/// The bus of many a code base.
#[derive(Default)]
struct NaiveBus {
    handlers: RwLock<HashMap<TypeId, Vec<Arc<Handler>>>>,
}

type Handler = dyn Fn(&dyn Any) + Send + Sync;

impl NaiveBus {
    fn on<E: Any>(&self, handle: impl Fn(&E) + Send + Sync + 'static) {
        let handler = move |event: &dyn Any| handle(event.downcast_ref().unwrap());
        let mut handlers = self.handlers.write().unwrap();
        handlers.entry(TypeId::of::<E>()).or_default().push(Arc::new(handler));
    }

    fn publish<E: Any>(&self, event: &E) {
        let handlers = self.handlers.read().unwrap();
        for handler in handlers.get(&TypeId::of::<E>()).into_iter().flatten() {
            handler(event);
        }
    }
}

pub(crate) fn naive(load: &Load, tally: &Arc<Tally>) {
    let bus = NaiveBus::default();
    for subscriber in tally.subscribers() {
        bus.on(move |event: &Measured| {
            subscriber.handle(event);
        });
    }
    load.publish(
        tally,
        [|numbers| {
            for number in numbers {
                bus.publish(&Measured::new(number));
            }
        }],
    );
}

/// The least that dynamic handlers can cost.
pub(crate) fn resolved(load: &Load, tally: &Arc<Tally>) {
    let handler = |subscriber: crate::tally::Subscriber| -> Box<dyn Fn(&Measured) + Send> {
        Box::new(move |event| {
            subscriber.handle(event);
        })
    };
    let handlers: Vec<_> = tally.subscribers().map(handler).collect();
    load.publish(
        tally,
        [move |numbers| {
            for number in numbers {
                let event = Measured::new(number);
                for handle in &handlers {
                    handle(&event);
                }
            }
        }],
    );
}
