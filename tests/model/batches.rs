//! A handler that gets several events at a time.

use std::time::Duration;

use tidings::{
    Batched, HandlerError, Key, SubscribeError, Subscription, SubscriptionBuilder, testing::Ending,
};

use crate::{flow::Counted, subscriptions::Scene};

pub(crate) fn start(
    builder: SubscriptionBuilder,
    scene: &Scene,
) -> Result<Subscription, SubscribeError> {
    let judge = scene.clone();
    let (max, linger) = (1 + scene.draw(8) as usize, Duration::from_millis(scene.draw(500)));
    let handle = move |events: &mut [Batched<'_, Counted>]| judge.handle_batch(events);
    builder.max_parked(3).on_batch(max, linger, handle).start()
}

impl Scene {
    fn handle_batch(&self, events: &mut [Batched<'_, Counted>]) -> Result<(), HandlerError> {
        if let [only] = events {
            return self.handle_one(only);
        }
        if self.draw(100) < self.faults.fail / 2 {
            // Nobody's attempt.
            self.notes.note("batches that failed as a whole");
            let ending = if self.draw(2) == 0 { Ending::Failed } else { Ending::Panicked };
            return Self::verdict(ending);
        }
        self.notes.note("batches of several");
        let mut waiting: Vec<Option<Key>> = Vec::new();
        for event in events {
            let key = event.context().key().cloned();
            if key.is_some() && waiting.contains(&key) {
                continue; // it comes again after the one that failed
            }
            if let Err(error) = self.handle_one_of_several(event) {
                event.fail(error);
                waiting.push(key);
            }
        }
        Ok(())
    }

    fn handle_one_of_several(&self, event: &Batched<'_, Counted>) -> Result<(), HandlerError> {
        match self.ending() {
            Ending::Handled => self.end_as(event, Ending::Handled),
            _ => self.end_as(event, Ending::Failed),
        }
    }

    fn handle_one(&self, event: &Batched<'_, Counted>) -> Result<(), HandlerError> {
        if event.context().is_dry_run() {
            return Self::verdict(self.ending());
        }
        self.end_as(event, self.ending())
    }

    fn end_as(&self, event: &Batched<'_, Counted>, ending: Ending) -> Result<(), HandlerError> {
        let number = Counted::event(event.source);
        self.history.called(number, event.context());
        self.history.returned(number, event.context(), ending);
        Self::verdict(ending)
    }
}
