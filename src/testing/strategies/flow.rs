//! Flows: what happens to a bus, step by step.

use std::{fmt::Debug, sync::Arc, time::Duration};

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::{BoxedStrategy, Strategy},
};

use super::{messages, policy::millis};
use crate::{event::Event, message::Message, testing::TestBus};

/// One thing that happens to a bus.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, Serialize, Deserialize)] struct Ping;
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// use tidings::{Message, OpenError, testing::{TestBus, strategies::Step}};
///
/// let mut bus = TestBus::start(|bus| bus.build())?;
/// for step in [Step::Publish(Message::new(Ping)), Step::Kill] {
///     step.take(&mut bus);
/// }
/// bus.assert_published_times::<Ping>(1);
/// # Ok::<(), OpenError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step<E> {
    /// An event is published.
    Publish(Message<E>),
    /// Several events are published as one.
    PublishAll(Vec<Message<E>>),
    /// Time goes on.
    Advance(Duration),
    /// A subscription rests.
    Pause(Arc<str>),
    /// A subscription goes on.
    Resume(Arc<str>),
    /// All dead letters of a subscription are tried again.
    RetryDeadLetters(Arc<str>),
    /// The process ends cleanly, and another one begins.
    Restart,
    /// The process is killed, and another one begins.
    Kill,
}

impl<E: Event + Clone> Step<E> {
    /// Does it.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn take(&self, bus: &mut TestBus) {
        match self {
            Self::Publish(message) => {
                if let Err(error) = bus.publish(message.clone()) {
                    panic!("`{}` could not be published: {}", E::NAME, error.failure());
                }
            }
            Self::PublishAll(messages) => {
                if let Err(error) = bus.publish_all(messages.iter().cloned()) {
                    panic!("`{}` could not be published: {}", E::NAME, error.failure());
                }
            }
            Self::Advance(time) => bus.advance(*time),
            Self::Pause(subscription) => bus.subscription(subscription).pause(),
            Self::Resume(subscription) => bus.subscription(subscription).resume(),
            Self::RetryDeadLetters(subscription) => {
                if let Err(error) = bus.dead_letters(subscription).retry_all() {
                    panic!("the dead letters of `{subscription}` could not be retried: {error}");
                }
            }
            Self::Restart => drop(bus.restart()),
            Self::Kill => bus.kill(),
        }
    }
}

/// What happens to a bus, step by step. See [`flows`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Flow<E> {
    /// The steps, in order.
    pub steps: Vec<Step<E>>,
}

impl<E: Event + Clone> Flow<E> {
    /// Takes every step. Then all subscriptions go on, and the bus runs until it is idle.
    ///
    /// # Panics
    /// A step fails, or the bus does not come to rest.
    #[track_caller]
    pub fn run(&self, bus: &mut TestBus) {
        for step in &self.steps {
            step.take(bus);
        }
        bus.resume_all();
        bus.run_until_idle();
    }
}

/// One step, with messages around these events, and subscriptions out of these.
pub fn steps<S>(events: S, subscriptions: &[&str]) -> BoxedStrategy<Step<S::Value>>
where
    S: Strategy<Value: Event + Clone> + 'static,
{
    let messages = messages(events).boxed();
    let several = vec(messages.clone(), 0..5);
    let publish = prop_oneof![
        4 => messages.prop_map(Step::Publish),
        1 => several.prop_map(Step::PublishAll),
    ];
    let times = prop_oneof![
        2 => millis(0..=20),
        2 => millis(0..=3000),
        1 => millis(0..=3_600_000),
    ];
    let ends = prop_oneof![Just(Step::Restart), Just(Step::Kill)];
    let common = prop_oneof![
        6 => publish,
        4 => times.prop_map(Step::Advance),
        1 => ends,
    ];
    if subscriptions.is_empty() {
        return common.boxed();
    }
    let names: Vec<Arc<str>> = subscriptions.iter().map(|name| Arc::from(*name)).collect();
    let operated = prop_oneof![
        select(names.clone()).prop_map(Step::Pause),
        select(names.clone()).prop_map(Step::Resume),
        select(names).prop_map(Step::RetryDeadLetters),
    ];
    prop_oneof![11 => common, 2 => operated].boxed()
}

/// Flows of up to 40 steps, with messages around these events, that operate these subscriptions.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, Serialize, Deserialize)] struct Ping(u8);
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// use proptest::prelude::*;
/// use tidings::{Error, testing::{TestBus, strategies}};
///
/// let flows = strategies::flows(any::<u8>().prop_map(Ping), &["pings"]);
/// proptest!(ProptestConfig::with_cases(16), |(flow in flows)| {
///     let mut bus = TestBus::start(|bus| {
///         let bus = bus.build()?;
///         bus.subscribe("pings").on(|_: &Ping| ()).start()?;
///         Ok::<_, Error>(bus)
///     })
///     .unwrap();
///     flow.run(&mut bus);
///     bus.assert_no_dead_letters();
/// });
/// ```
pub fn flows<S>(events: S, subscriptions: &[&str]) -> BoxedStrategy<Flow<S::Value>>
where
    S: Strategy<Value: Event + Clone> + 'static,
{
    vec(steps(events, subscriptions), 0..40).prop_map(|steps| Flow { steps }).boxed()
}
