//! A bus for tests: virtual time, storage in memory, and a look at everything that happens.

mod assertions;
#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(feature = "tokio")]
pub(super) use asynchronous::{OwnRuntime, Watch};
mod builder;
mod call;
mod ground;
mod observer;
mod patience;
mod published;

use std::{fmt, ops::Deref, time::Duration};

pub use builder::TestBusBuilder;
pub use call::{CallOutcome, HandlerCall};
pub(super) use ground::Ground;
use patience::Patience;
pub use published::Published;
pub(super) use published::{decode, describe_all, json, records};

use crate::{
    bus::{Bus, BusBuilder, Report, Subscription},
    event::ToKey,
};

/// What starts the bus under test, as production code does, and says why it could not.
type SetUp = Box<dyn Fn(BusBuilder) -> Result<Bus, String>>;

/// How long a restart gives handlers to finish.
const GRACE: Duration = Duration::from_secs(30);

/// A bus for plain `#[test]`s: your own set-up, on one thread, with a virtual clock and storage in
/// memory that outlives restarts.
///
/// It derefs to the [`Bus`] that the set-up has built, so that it publishes, retries dead letters and so
/// on as any bus does. Nothing runs before [`run_until_idle`](Self::run_until_idle) or
/// [`advance`](Self::advance): then everything does that is due, an hour of backoff in no time, in an
/// order that follows from the seed. Tests need no sleeps, and the same test gives the same run.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidings::{Bus, BusBuilder, Context, Error, Event, HandlerError, testing::TestBus};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "order")]
/// struct OrderPlaced { order: u64 }
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "payments.taken", key = "order")]
/// struct PaymentTaken { order: u64 }
///
/// // In your application.
/// fn start(bus: BusBuilder) -> Result<Bus, Error> {
///     let bus = bus.build()?;
///     bus.subscribe("billing")
///         .on(|placed: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
///             ctx.publish(PaymentTaken { order: placed.order })?;
///             Ok(())
///         })
///         .start()?;
///     Ok(bus)
/// }
///
/// // In a test of it.
/// let mut bus = TestBus::start(start)?;
/// bus.publish(OrderPlaced { order: 7 })?;
/// bus.run_until_idle();
/// bus.assert_published::<PaymentTaken>(|taken| taken.order == 7);
///
/// bus.kill(); // as a crash would, and then started again
/// bus.publish(OrderPlaced { order: 8 })?;
/// bus.run_until_idle();
/// bus.assert_published_times::<PaymentTaken>(2);
/// bus.assert_no_dead_letters();
/// # Ok::<(), Error>(())
/// ```
///
/// # Async handlers
///
/// In a plain `#[test]` it brings a tokio runtime of its own (feature `tokio`), which the set-up runs in,
/// and whose timers follow the virtual clock: `tokio::time::sleep` in a handler takes no time either.
/// Inside `#[tokio::test]` handlers run on the runtime of the test; drive it with
/// `run_until_idle_async` and `advance_async` there. The clock of that runtime is paused.
///
/// # What is checked in the end
///
/// When it is dropped, unless the test panics, the [`Ledger`](crate::Ledger)s of all subscriptions have to
/// add up: see [`assert_ledgers_balance`](Self::assert_ledgers_balance).
pub struct TestBus {
    bus: Bus,
    ground: Ground,
    set_up: SetUp,
}

impl TestBus {
    /// Starts a bus under seed 0; [`builder`](Self::builder) takes another one.
    ///
    /// `set_up` gets a builder that has a runtime and storage already, makes its bus with it, and starts
    /// the subscriptions: the code of your application. It is called again by
    /// [`restart`](Self::restart) and [`kill`](Self::kill).
    ///
    /// # Errors
    /// Those of `set_up`.
    ///
    /// # Panics
    /// The bus that `set_up` returns was not made with the builder that it was given.
    pub fn start<E: fmt::Display>(
        set_up: impl Fn(BusBuilder) -> Result<Bus, E> + 'static,
    ) -> Result<Self, E> {
        Self::builder().start(set_up)
    }

    /// Settings of one's own.
    ///
    /// ```
    /// use tidings::testing::TestBus;
    ///
    /// let bus = TestBus::builder().seed(7).start(|bus| bus.build())?;
    /// assert_eq!(bus.seed(), 7);
    /// # Ok::<(), tidings::OpenError>(())
    /// ```
    pub fn builder() -> TestBusBuilder {
        TestBusBuilder::new()
    }

    /// The bus itself, for code that takes one. A clone of it is dead after the next restart.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.ground.seed
    }

    /// Virtual time since the start, over all restarts.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ground.sim.elapsed()
    }

    /// A hash of everything that ran, in order and with its time. Equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.ground.sim.trace_hash()
    }

    /// Runs until nothing is left to do: no event waits, no handler is at work, no retry is to come.
    /// Virtual time goes on as far as that takes, and up to a second more for housekeeping.
    ///
    /// What needs somebody else stays: events of paused subscriptions, dead letters, and what was pulled
    /// and is not settled. What an async handler has spawned and left to itself is not waited for.
    ///
    /// # Panics
    /// It would go on for ever, as far as that can be seen: it has taken more steps than
    /// [`TestBusBuilder::max_steps`], or an async handler waits for something that does not come. The
    /// message names what was going on. From inside a tokio runtime, where handlers need
    /// `run_until_idle_async`.
    #[track_caller]
    pub fn run_until_idle(&self) {
        self.ground.run_until_idle();
    }

    /// Runs what is due in the next `duration` of virtual time, and moves the clock there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidings::testing::TestBus;
    /// let bus = TestBus::start(|bus| bus.build())?;
    /// bus.advance(Duration::from_secs(3600));
    /// assert_eq!(bus.elapsed(), Duration::from_secs(3600));
    /// # Ok::<(), tidings::OpenError>(())
    /// ```
    ///
    /// # Panics
    /// It takes more steps than [`TestBusBuilder::max_steps`].
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let mut patience = Patience::new(&self.ground);
        let end = self.elapsed().saturating_add(duration);
        while self.ground.sim.step_until(end) {
            patience.count();
        }
        self.ground.sim.advance(end.saturating_sub(self.elapsed()));
    }

    /// Ends the process cleanly, as a deployment would, and starts it again on what it has stored.
    /// Handlers have 30 s of virtual time to finish. Returns what the shutdown has done.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping {
    /// #     const NAME: &'static str = "ping";
    /// #     fn key(&self) -> Option<tidings::Key> { Some(self.0.into()) }
    /// # }
    /// # use tidings::{Bus, BusBuilder, Context, Error, StateError, testing::TestBus};
    /// fn start(bus: BusBuilder) -> Result<Bus, Error> {
    ///     let bus = bus.build()?;
    ///     bus.subscribe("pings")
    ///         .on(|_: &Ping, ctx: &mut Context| -> Result<(), StateError> {
    ///             let count: u64 = ctx.state().get("count")?.unwrap_or(0);
    ///             ctx.state().put("count", &(count + 1))
    ///         })
    ///         .start()?;
    ///     Ok(bus)
    /// }
    ///
    /// let mut bus = TestBus::start(start)?;
    /// bus.publish(Ping(1))?;
    /// let report = bus.restart();
    /// assert_eq!((report.delivered, report.left), (1, 0));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// The shutdown or the set-up fails.
    #[allow(clippy::must_use_candidate)] // it is restarted either way
    #[track_caller]
    pub fn restart(&mut self) -> Report {
        let report = match self.bus.shutdown(GRACE) {
            Ok(report) => report,
            Err(error) => panic!("the bus could not be shut down: {error}"),
        };
        self.begin_again();
        report
    }

    /// Ends the process where it stands, as `kill -9` would, and starts it again on what it has stored.
    /// Inside `#[tokio::test]`, async handlers that were under way go on, and nobody hears of it.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping {
    /// #     const NAME: &'static str = "ping";
    /// #     fn key(&self) -> Option<tidings::Key> { Some(self.0.into()) }
    /// # }
    /// # use tidings::{Bus, BusBuilder, Context, Error, StateError, testing::TestBus};
    /// fn start(bus: BusBuilder) -> Result<Bus, Error> {
    ///     let bus = bus.build()?;
    ///     bus.subscribe("pings")
    ///         .on(|_: &Ping, ctx: &mut Context| -> Result<(), StateError> {
    ///             let count: u64 = ctx.state().get("count")?.unwrap_or(0);
    ///             ctx.state().put("count", &(count + 1))
    ///         })
    ///         .start()?;
    ///     Ok(bus)
    /// }
    ///
    /// let mut bus = TestBus::start(start)?;
    /// bus.publish(Ping(1))?;
    /// bus.kill();
    /// bus.run_until_idle();
    /// assert_eq!(bus.state("pings", 1_u8, "count"), Some(1_u64)); // it was acknowledged, so it is there
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// The set-up fails.
    #[track_caller]
    pub fn kill(&mut self) {
        self.begin_again();
    }

    #[track_caller]
    fn begin_again(&mut self) {
        self.ground.end();
        match self.ground.begin(&self.set_up) {
            Ok(bus) => self.bus = bus,
            Err(error) => panic!("the set-up failed after a restart: {error}"),
        }
    }

    /// The subscription of that name.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping {
    /// #     const NAME: &'static str = "ping";
    /// #     fn key(&self) -> Option<tidings::Key> { Some(self.0.into()) }
    /// # }
    /// # use tidings::{Bus, BusBuilder, Context, Error, StateError, testing::TestBus};
    /// fn start(bus: BusBuilder) -> Result<Bus, Error> {
    ///     let bus = bus.build()?;
    ///     bus.subscribe("pings")
    ///         .on(|_: &Ping, ctx: &mut Context| -> Result<(), StateError> {
    ///             let count: u64 = ctx.state().get("count")?.unwrap_or(0);
    ///             ctx.state().put("count", &(count + 1))
    ///         })
    ///         .start()?;
    ///     Ok(bus)
    /// }
    ///
    /// let bus = TestBus::start(start)?;
    /// bus.subscription("pings").pause();
    /// bus.publish(Ping(1))?;
    /// bus.run_until_idle();
    /// assert_eq!(bus.subscription("pings").ledger().waiting, 1);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// None of that name runs.
    #[must_use]
    #[track_caller]
    pub fn subscription(&self, name: &str) -> Subscription {
        let running = self.bus.running();
        let names: Vec<_> = running.iter().map(|one| one.name().to_owned()).collect();
        let found = running.into_iter().find(|one| one.name() == name);
        found.unwrap_or_else(|| panic!("no subscription named `{name}` runs, only {names:?}"))
    }

    /// Has all subscriptions go on that are paused.
    pub fn resume_all(&self) {
        for subscription in self.bus.running() {
            subscription.resume();
        }
    }

    /// Every call of a handler of a subscription so far, over all restarts, in order.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use std::time::Duration;
    /// use tidings::{Backoff, Error, HandlerError, testing::{CallOutcome, TestBus}};
    ///
    /// let bus = TestBus::start(|bus| {
    ///     let bus = bus.build()?;
    ///     bus.subscribe("billing")
    ///         .retry(Backoff::constant(Duration::from_secs(60)).max_attempts(2))
    ///         .on(|_: &Ping| Err(HandlerError::retry("no network")))
    ///         .start()?;
    ///     Ok::<_, Error>(bus)
    /// })?;
    /// bus.publish(Ping)?;
    /// bus.run_until_idle();
    ///
    /// let calls = bus.handler_calls("billing");
    /// let (error, after) = ("no network".to_owned(), Duration::from_secs(60));
    /// assert_eq!(calls[0].outcome, CallOutcome::Retried { error, after });
    /// assert_eq!((calls[1].attempt, calls[1].began), (2, after));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn handler_calls(&self, subscription: &str) -> Vec<HandlerCall> {
        self.ground.observer.calls_of(subscription)
    }

    /// What a subscription has stored under that name for an event key, as of its last commit. `key` is
    /// what an event would name, or `None::<Key>` for what handlers of events without a key have stored.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping {
    /// #     const NAME: &'static str = "ping";
    /// #     fn key(&self) -> Option<tidings::Key> { Some(self.0.into()) }
    /// # }
    /// # use tidings::{Bus, BusBuilder, Context, Error, StateError, testing::TestBus};
    /// fn start(bus: BusBuilder) -> Result<Bus, Error> {
    ///     let bus = bus.build()?;
    ///     bus.subscribe("pings")
    ///         .on(|_: &Ping, ctx: &mut Context| -> Result<(), StateError> {
    ///             let count: u64 = ctx.state().get("count")?.unwrap_or(0);
    ///             ctx.state().put("count", &(count + 1))
    ///         })
    ///         .start()?;
    ///     Ok(bus)
    /// }
    ///
    /// let bus = TestBus::start(start)?;
    /// bus.publish(Ping(1))?;
    /// bus.run_until_idle();
    /// assert_eq!(bus.state("pings", 1_u8, "count"), Some(1_u64));
    /// assert_eq!(bus.state::<u64>("pings", 2_u8, "count"), None);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// No subscription of that name runs, or the value is of another type.
    #[must_use]
    #[track_caller]
    #[allow(clippy::needless_pass_by_value)] // `7_u64` reads better than `&7_u64`
    pub fn state<T: serde::de::DeserializeOwned>(
        &self,
        subscription: &str,
        key: impl ToKey,
        name: &str,
    ) -> Option<T> {
        let key = key.to_key();
        let stored = self.subscription(subscription).state(key.as_ref(), name);
        let bytes = stored.unwrap_or_else(|error| panic!("state could not be read: {error}"))?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                let text = String::from_utf8_lossy(&bytes);
                panic!("`{subscription}` has stored another type as `{name}`: {error}: {text}")
            }
        }
    }
}

impl Deref for TestBus {
    type Target = Bus;

    fn deref(&self) -> &Bus {
        &self.bus
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_ledgers_balance();
        }
        self.ground.end();
    }
}

impl fmt::Debug for TestBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestBus")
            .field("seed", &self.seed())
            .field("elapsed", &self.elapsed())
            .field("bus", &self.bus)
            .finish_non_exhaustive()
    }
}
