//! Async handlers, on a tokio runtime of one thread that goes on when a run says so.

use std::{cell::RefCell, sync::Arc};

use tidings::{
    Context, Delivery, HandlerError, SubscriptionBuilder,
    testing::{Ending, Fact},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::yield_now,
};

use crate::{
    flow::{Counted, Source},
    subscriptions::Scene,
};

/// The tokio runtime of the process that runs.
#[derive(Default)]
pub(crate) struct Tokio {
    runtime: RefCell<Option<Runtime>>,
}

impl Tokio {
    /// A process begins.
    pub(crate) fn begin(&self) {
        *self.runtime.borrow_mut() = Some(Builder::new_current_thread().build().unwrap());
    }

    /// It ends, and with it all that is under way.
    pub(crate) fn end(&self) {
        *self.runtime.borrow_mut() = None;
    }

    pub(crate) fn handle(&self) -> Option<Handle> {
        self.runtime.borrow().as_ref().map(|runtime| runtime.handle().clone())
    }

    /// Has handlers go on for a while. False where there is nothing to do.
    pub(crate) fn step(&self) -> bool {
        let runtime = self.runtime.borrow();
        let Some(runtime) = &*runtime else { return false };
        if runtime.metrics().num_alive_tasks() == 0 {
            return false;
        }
        runtime.block_on(yield_now());
        true
    }
}

/// Has the events of a subscription handled by an async handler.
pub(crate) fn on(builder: SubscriptionBuilder, scene: &Scene) -> SubscriptionBuilder {
    let scene = scene.clone();
    let _entered = scene.tokio.as_ref().map(Handle::enter);
    let judge = scene.clone();
    builder.on_async(move |delivery: Delivery<Source>| {
        let call = Call::begin(&judge, delivery.event().event, delivery.context());
        work(judge.clone(), delivery, call)
    })
}

async fn work(
    scene: Scene,
    mut delivery: Delivery<Source>,
    call: Call,
) -> Result<(), HandlerError> {
    for _ in 0..scene.draw(4) {
        yield_now().await;
    }
    if delivery.context().subscription() == "counting" {
        count(&scene, &mut delivery)?;
        yield_now().await;
    }
    let ending = scene.ending();
    call.end(ending);
    Scene::verdict(ending)
}

/// As `Scene::count` does.
fn count(scene: &Scene, delivery: &mut Delivery<Source>) -> Result<(), HandlerError> {
    let Source { event, key, .. } = *delivery.event();
    let mut count = 0;
    if key > 0 {
        count = delivery.state().get::<u64>("count")?.unwrap_or(0);
        delivery.state().put("count", &(count + 1))?;
    }
    let counted = Counted { source: event, key, count };
    if !scene.is_over() {
        scene.history.publishing("counting", Counted::event(event), &counted);
    }
    delivery.publish(counted)?;
    Ok(())
}

/// A handler at work. Dropped where it stands, it was cancelled.
struct Call {
    scene: Scene,
    subscription: Arc<str>,
    event: u64,
    ending: Option<Ending>,
}

impl Call {
    fn begin(scene: &Scene, event: u64, ctx: &Context) -> Self {
        if !scene.is_over() {
            scene.meter.call(scene.sim.elapsed(), event, ctx);
            scene.note_expired(event, ctx);
            scene.history.called(event, ctx);
            scene.notes.note("async calls");
        }
        let (scene, subscription) = (scene.clone(), ctx.subscription().into());
        Self { scene, subscription, event, ending: None }
    }

    fn end(mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.scene.is_over() {
            return;
        }
        self.scene.meter.end();
        let ending = self.ending.unwrap_or_else(|| {
            self.scene.notes.note("async handlers cancelled");
            Ending::Failed
        });
        let (subscription, event) = (self.subscription.clone(), self.event);
        if matches!(ending, Ending::Failed | Ending::Panicked) {
            self.scene.meter.failed(event);
        }
        self.scene.history.add(Fact::Returned { subscription, event, ending });
    }
}
