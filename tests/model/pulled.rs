//! A subscription at work: its handler is called, or it is pulled from, by somebody slow.

use std::time::Duration;

use tidings::{
    Bus, Deliveries, HandlerError, SubscribeError, Subscription, Unsettled,
    testing::{Ending, Fact},
};

use crate::{
    flow::Source,
    subscriptions::{self, Scene},
};

/// A subscription at work.
pub(crate) struct Running {
    pub(crate) by: &'static str,
    pub(crate) subscription: Subscription,
    pulled: Option<Deliveries<Source>>,
    under_way: Vec<Unsettled<Source>>,
}

impl Running {
    pub(crate) fn start(
        by: &'static str,
        bus: &Bus,
        scene: &Scene,
        pulls: bool,
    ) -> Result<Self, SubscribeError> {
        let (subscription, pulled) = if pulls && by == "pulled" {
            let deliveries = subscriptions::describe(by, bus, scene).max_in_flight(3).stream()?;
            (deliveries.subscription().clone(), Some(deliveries))
        } else {
            (subscriptions::start(by, bus, scene)?, None)
        };
        let events = vec![subscriptions::event_name(by).into()];
        scene.history.add(Fact::Started { subscription: by.into(), events });
        Ok(Self { by, subscription, pulled, under_way: Vec::new() })
    }

    pub(crate) fn stop(&mut self, timeout: Duration, scene: &Scene) {
        self.subscription.stop(timeout);
        scene.history.add(Fact::Stopped { subscription: self.by.into() });
        // What is under way now is given back too late, and comes again.
        self.pulled = None;
        self.under_way.clear();
    }

    /// Takes some events, and does not settle them yet.
    pub(crate) fn pull(&mut self, scene: &Scene) {
        let Some(deliveries) = &mut self.pulled else { return };
        for _ in 0..=scene.sim.random_below(3) {
            let Some(next) = deliveries.next_within(Duration::from_millis(1)) else { return };
            scene.history.called(next.event().event, next.context());
            self.under_way.push(next);
        }
    }

    /// Settles some of the events that were taken, in any order.
    pub(crate) fn settle(&mut self, scene: &Scene) {
        for _ in 0..=scene.sim.random_below(3) {
            if self.under_way.is_empty() {
                return;
            }
            let which = scene.sim.random_below(self.under_way.len() as u64) as usize;
            settle(self.under_way.swap_remove(which), scene);
        }
    }
}

fn settle(event: Unsettled<Source>, scene: &Scene) {
    let ending = scene.ending();
    scene.history.returned(event.event().event, event.context(), ending);
    match ending {
        Ending::Handled => event.ack(),
        Ending::Rejected => event.reject("drawn"),
        Ending::Panicked => drop(event),
        _ => event.retry(HandlerError::retry("drawn")),
    }
}
