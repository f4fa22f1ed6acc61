//! A subscription at work: its handler is called, or it is pulled from, by somebody slow.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tidings::{
    Bus, Deliveries, HandlerError, SubscribeError, Subscription, Unsettled,
    testing::{Ending, Fact},
};

use crate::{
    flow::Source,
    protection::Protection,
    subscriptions::{self, Scene},
};

/// A subscription at work.
pub(crate) struct Running {
    pub(crate) by: &'static str,
    pub(crate) subscription: Subscription,
    scene: Scene,
    timeout: Option<Duration>,
    pulled: Option<Deliveries<Source>>,
    under_way: Vec<UnderWay>,
    /// What was taken back, because it took too long.
    late: Vec<Unsettled<Source>>,
}

struct UnderWay {
    event: Unsettled<Source>,
    late_at: Option<Duration>,
}

impl Running {
    pub(crate) fn start(
        by: &'static str,
        bus: &Bus,
        scene: &Scene,
        pulls: bool,
    ) -> Result<Self, SubscribeError> {
        let protection = Protection::draw(scene);
        let scene = scene.for_start(&protection);
        let builder = subscriptions::describe(by, bus, &scene, &protection);
        let (subscription, pulled) = if pulls && by == "pulled" {
            let deliveries = builder.max_in_flight(3).stream()?;
            (deliveries.subscription().clone(), Some(deliveries))
        } else {
            (subscriptions::start(by, builder, &scene)?, None)
        };
        let events = vec![subscriptions::event_name(by).into()];
        scene.history.add(Fact::Started { subscription: by.into(), events });
        let (timeout, under_way, late) = (protection.timeout, Vec::new(), Vec::new());
        Ok(Self { by, subscription, scene, timeout, pulled, under_way, late })
    }

    pub(crate) fn stop(&mut self, timeout: Duration) {
        self.subscription.stop(timeout);
        self.scene.history.add(Fact::Stopped { subscription: self.by.into() });
        self.end();
        // What is under way now is given back too late, and comes again.
        self.pulled = None;
        self.under_way.clear();
        self.late.clear();
    }

    /// Nobody hears of its handlers any more.
    pub(crate) fn end(&self) {
        self.scene.over.store(true, Relaxed);
    }

    /// Takes some events, and does not settle them yet.
    pub(crate) fn pull(&mut self) {
        for _ in 0..=self.scene.draw(3) {
            let Some(deliveries) = &mut self.pulled else { return };
            let next = deliveries.next_within(Duration::from_millis(1));
            self.note_late();
            let Some(event) = next else { return };
            self.scene.history.called(event.event().event, event.context());
            let late_at = self.timeout.map(|timeout| self.scene.sim.elapsed() + timeout);
            self.under_way.push(UnderWay { event, late_at });
            self.scene.meter.look(self.under_way.len());
        }
    }

    /// What takes too long has failed by that.
    pub(crate) fn note_late(&mut self) {
        let now = self.scene.sim.elapsed();
        let is_late = |it: &mut UnderWay| it.late_at.is_some_and(|late_at| late_at <= now);
        for UnderWay { event, .. } in self.under_way.extract_if(.., is_late) {
            self.scene.history.returned(event.event().event, event.context(), Ending::Failed);
            self.scene.notes.note("pulled events that were taken back");
            self.late.push(event);
        }
    }

    /// Settles some of the events that were taken, in any order.
    pub(crate) fn settle(&mut self) {
        // What is late is taken back by then.
        self.scene.sim.advance(Duration::ZERO);
        self.note_late();
        for _ in 0..=self.scene.draw(3) {
            if let Some(event) = take_any(&mut self.under_way, &self.scene) {
                settle(event.event, &self.scene);
            }
        }
        if let Some(event) = take_any(&mut self.late, &self.scene) {
            self.scene.notes.note("settled too late");
            tell(event, self.scene.ending());
        }
    }
}

fn take_any<T>(from: &mut Vec<T>, scene: &Scene) -> Option<T> {
    let which = scene.draw(from.len().max(1) as u64) as usize;
    (!from.is_empty()).then(|| from.swap_remove(which))
}

fn settle(event: Unsettled<Source>, scene: &Scene) {
    let ending = scene.ending();
    scene.history.returned(event.event().event, event.context(), ending);
    tell(event, ending);
}

fn tell(event: Unsettled<Source>, ending: Ending) {
    match ending {
        Ending::Handled => event.ack(),
        Ending::Rejected => event.reject("drawn"),
        Ending::Panicked => drop(event),
        _ => event.retry(HandlerError::retry("drawn")),
    }
}
