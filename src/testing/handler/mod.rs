//! Given, when, then: tests of one handler.

mod tested;

use std::fmt;

use serde::Serialize;
pub use tested::Tested;

use super::bus::Ground;
use crate::{
    bus::{Bus, Error, Receipt, SubscriptionBuilder},
    delivery::IntoHandler,
    event::{Event, Key},
    message::{Message, Publishable},
    policy::Backoff,
};

/// The name of the subscription, as the handler's context has it.
const SUBSCRIPTION: &str = "handler-under-test";

/// No handler takes more steps for one event.
const MAX_STEPS: u64 = 100_000;

/// A test of one handler: what it makes of an event, given some state. There is a real bus behind it, on
/// a virtual clock.
///
/// For each [`when`](Self::when) the handler is called once, whatever it returns. What it stores stays
/// for the next one, if it succeeds; what it published is looked at in between.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidings::{Context, Event, HandlerError, testing::HandlerTest};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "customer")]
/// struct OrderPlaced { customer: u64, cents: u64 }
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "payments.taken", key = "customer")]
/// struct PaymentTaken { customer: u64 }
///
/// fn bill(order: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
///     if order.cents == 0 {
///         return Err(HandlerError::reject("an order of nothing"));
///     }
///     let count: u64 = ctx.state().get("count")?.unwrap_or(0);
///     ctx.state().put("count", &(count + 1))?;
///     ctx.publish(PaymentTaken { customer: order.customer })?;
///     Ok(())
/// }
///
/// HandlerTest::of(bill)
///     .given_state("count", &3)
///     .when(OrderPlaced { customer: 7, cents: 100 })
///     .then_succeeds()
///     .then_published(&PaymentTaken { customer: 7 })
///     .then_state("count", &4)
///     .when(OrderPlaced { customer: 7, cents: 0 })
///     .then_rejects()
///     .then_publishes_nothing();
/// ```
#[must_use = "a test does nothing before an event comes"]
pub struct HandlerTest {
    ground: Ground,
    bus: Bus,
    /// For the key of the next event.
    given: Vec<(String, Vec<u8>)>,
    attempt: u32,
}

impl HandlerTest {
    /// Tests a handler, as it is given to [`on`](SubscriptionBuilder::on).
    #[track_caller]
    pub fn of<E: Event, M>(handler: impl IntoHandler<E, M>) -> Self {
        Self::within(|subscription| subscription.on(handler))
    }

    /// Tests an async handler, as it is given to [`on_async`](SubscriptionBuilder::on_async).
    ///
    /// Inside `#[tokio::test]` it takes [`when_async`](Self::when_async).
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use std::time::Duration;
    /// use tidings::{Delivery, HandlerError, testing::HandlerTest};
    ///
    /// HandlerTest::of_async(|_: Delivery<Ping>| async {
    ///     tokio::time::sleep(Duration::from_secs(60)).await; // takes no time
    ///     Err::<(), _>(HandlerError::retry("no answer"))
    /// })
    /// .when(Ping)
    /// .then_fails_with("no answer");
    /// ```
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn of_async<E, F, R>(handler: F) -> Self
    where
        E: Event,
        F: Fn(crate::delivery::Delivery<E>) -> R + Send + Sync + 'static,
        R: Future<Output: crate::delivery::Outcome> + Send + 'static,
    {
        Self::within(|subscription| subscription.on_async(handler))
    }

    /// Tests handlers with what is around them: filters, layers, idempotency keys. How often failed
    /// events are tried again has no effect.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Amount(u64);
    /// # impl tidings::Event for Amount { const NAME: &'static str = "amounts"; }
    /// use tidings::testing::HandlerTest;
    ///
    /// HandlerTest::within(|subscription| {
    ///     subscription.filter(|amount: &Amount| amount.0 > 0).on(|amount: &Amount| assert!(amount.0 > 0))
    /// })
    /// .when(Amount(0))
    /// .then_is_passed_over()
    /// .when(Amount(1))
    /// .then_succeeds();
    /// ```
    ///
    /// # Panics
    /// The subscription does not start.
    #[track_caller]
    pub fn within(describe: impl FnOnce(SubscriptionBuilder) -> SubscriptionBuilder) -> Self {
        let mut ground = Ground::of_trial(MAX_STEPS);
        let started = ground.begin(|builder| -> Result<Bus, Error> {
            let bus = builder.build()?;
            describe(bus.subscribe(SUBSCRIPTION))
                .retry(Backoff::constant(std::time::Duration::ZERO))
                .start()?;
            Ok(bus)
        });
        match started {
            Ok(bus) => Self { ground, bus, given: Vec::new(), attempt: 1 },
            Err(error) => panic!("the handler could not be started: {error}"),
        }
    }

    /// What the handler has stored before the next event, for the key of that event.
    ///
    /// # Panics
    /// The value does not encode.
    #[track_caller]
    pub fn given_state<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.given.push((name.to_owned(), bytes)),
            Err(error) => panic!("the value of `{name}` does not encode: {error}"),
        }
        self
    }

    /// Which attempt at the next event the handler sees, from 1: those before it have failed.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt.max(1);
        self
    }

    /// An event comes: the handler is called.
    ///
    /// # Panics
    /// The event cannot be published, or an async handler never ends.
    #[must_use = "it says nothing unless something is expected of it"]
    #[track_caller]
    pub fn when<P: Publishable>(mut self, message: P) -> Tested {
        let (receipt, key) = self.publish(message.into_message());
        self.ground.run_until_idle();
        Tested::new(self, receipt, key)
    }

    /// The same, inside `#[tokio::test]`.
    ///
    /// # Panics
    /// As there.
    #[cfg(feature = "tokio")]
    #[must_use = "it says nothing unless something is expected of it"]
    pub async fn when_async<P: Publishable>(mut self, message: P) -> Tested {
        let (receipt, key) = self.publish(message.into_message());
        self.ground.run_until_idle_async().await;
        Tested::new(self, receipt, key)
    }

    #[track_caller]
    fn publish<E: Event>(&mut self, message: Message<E>) -> (Receipt, Option<Key>) {
        let key = message.routing_key();
        for (name, value) in std::mem::take(&mut self.given) {
            for subscription in self.bus.running() {
                if let Err(error) = subscription.put_state(key.as_ref(), &name, value.clone()) {
                    panic!("the state `{name}` could not be given: {error}");
                }
            }
        }
        self.ground.observer.set_attempt(std::mem::replace(&mut self.attempt, 1));
        match self.bus.publish(message) {
            Ok(receipt) => (receipt, key),
            Err(error) => panic!("`{}` could not be published: {}", E::NAME, error.failure()),
        }
    }
}

impl Drop for HandlerTest {
    fn drop(&mut self) {
        self.ground.end();
    }
}

impl fmt::Debug for HandlerTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerTest").field("bus", &self.bus).finish_non_exhaustive()
    }
}
