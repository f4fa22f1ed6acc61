//! Given, when, then: tests of one saga, without a bus; and all orders in which its events may come.

mod orders;
mod trial;

use std::{fmt, time::Duration};

pub use orders::SagaOrders;
use serde_json::Value;
use trial::Trial;

use crate::{
    event::Event,
    saga::{Condition, Saga, StateOf, Verdict},
};

/// A test of one instance of a saga: what it makes of events and timers. There is no bus behind it, and time
/// passes when the test says so.
///
/// ```
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{Event, saga::{Define, Saga, SagaState}};
/// # macro_rules! events { ($($name:ident = $text:literal),*) => { $(
/// #     #[derive(Clone, Serialize, Deserialize, Event)]
/// #     #[event(name = $text, key = "order")]
/// #     struct $name { order: u64 }
/// # )* } }
/// # events!(OrderPlaced = "orders.placed", TakePayment = "payments.take", PaymentTaken = "payments.taken");
/// # #[derive(Serialize, Deserialize)] struct AwaitingPayment;
/// # #[derive(Serialize, Deserialize)] struct Paid;
/// # #[derive(Serialize, Deserialize)] struct GivenUp;
/// # #[derive(Serialize, Deserialize, SagaState)]
/// # enum Checkout {
/// #     AwaitingPayment(AwaitingPayment),
/// #     #[saga(terminal)] Paid(Paid),
/// #     #[saga(terminal)] GivenUp(GivenUp),
/// # }
/// # const MINUTE: Duration = Duration::from_secs(60);
/// # impl Saga for Checkout {
/// #     const NAME: &'static str = "checkout";
/// #     fn define(saga: &mut Define<Self>) {
/// #         saga.start(|placed: &OrderPlaced, turn| {
/// #             turn.send(TakePayment { order: placed.order }).timer("payment", MINUTE).enter(AwaitingPayment)
/// #         }).to::<AwaitingPayment>().sets("payment");
/// #         saga.state::<AwaitingPayment>()
/// #             .on(|_, _: &PaymentTaken, turn| turn.enter(Paid)).to::<Paid>()
/// #             .on_timer("payment", |_, turn| turn.enter(GivenUp)).to::<GivenUp>()
/// #             .ignore::<OrderPlaced>();
/// #     }
/// # }
/// use tidings::testing::SagaTest;
///
/// SagaTest::<Checkout>::new()
///     .when(OrderPlaced { order: 7 })
///     .then_sends(&TakePayment { order: 7 })
///     .then_sends_nothing()
///     .then_in::<AwaitingPayment>()
///     .after(MINUTE)
///     .then_in::<GivenUp>()
///     .when(PaymentTaken { order: 7 })
///     .then_verdict(tidings::saga::Verdict::Late);
/// ```
pub struct SagaTest<S: Saga> {
    trial: Trial<S>,
}

// The last call ends the test; events are given as they are published.
#[allow(
    clippy::must_use_candidate,
    clippy::needless_pass_by_value,
    clippy::return_self_not_must_use
)]
impl<S: Saga> SagaTest<S> {
    /// A test of an instance that has not begun.
    ///
    /// # Panics
    /// The saga's definition is not sound. The message says all that is wrong.
    #[track_caller]
    pub fn new() -> Self {
        Self { trial: Trial::new() }
    }

    /// An event has come before; what it has sent is not looked at.
    ///
    /// # Panics
    /// It was refused.
    #[track_caller]
    pub fn given<E: Event>(self, event: E) -> Self {
        let mut given = self.when(event);
        if let Some(error) = given.trial.refused.take() {
            panic!("`{}` was refused: {error}", E::NAME);
        }
        given.trial.sent.clear();
        given
    }

    /// An event comes.
    ///
    /// # Panics
    /// The saga does not know such events, or this one names no instance, or another one.
    #[track_caller]
    pub fn when<E: Event>(mut self, event: E) -> Self {
        self.trial.begin();
        let id = self.trial.new_id();
        self.trial.feed(&event, id);
        self
    }

    /// An event comes twice, as one message.
    ///
    /// # Panics
    /// As [`when`](Self::when).
    #[track_caller]
    pub fn when_twice<E: Event>(mut self, event: E) -> Self {
        self.trial.begin();
        let id = self.trial.new_id();
        self.trial.feed(&event, id);
        self.trial.feed(&event, id);
        self
    }

    /// Time passes: timers go off that are due then.
    pub fn after(mut self, time: Duration) -> Self {
        self.trial.begin();
        self.trial.pass(time);
        self
    }

    /// It is in this state.
    ///
    /// # Panics
    /// It is in another one, or has not begun.
    #[track_caller]
    pub fn then_in<P: StateOf<S>>(self) -> Self {
        self.then_state(|_: &P| true)
    }

    /// It is in this state, and holds what it should.
    ///
    /// # Panics
    /// It is in another one, or holds something else.
    #[track_caller]
    pub fn then_state<P: StateOf<S>>(self, holds: impl FnOnce(&P) -> bool) -> Self {
        let state = self.trial.state();
        let json = || state.as_ref().map(|state| serde_json::to_value(state).unwrap_or_default());
        let Some(found) = state.as_ref().and_then(P::of) else {
            panic!("it was to be in `{}`, but is in {}", P::NAME, or_none(json()));
        };
        assert!(holds(found), "the state is not as it should be: {}", or_none(json()));
        self
    }

    /// It is doing so.
    ///
    /// # Panics
    /// It is not, or has not begun.
    #[track_caller]
    pub fn then_is(self, condition: Condition) -> Self {
        let found = self.trial.condition();
        assert!(found == Some(condition), "it was to be {condition}, but is {found:?}");
        self
    }

    /// The next thing that it has sent is this. Called several times, it goes through them in order.
    ///
    /// # Panics
    /// It is another event, or there is none. The message shows those that are left.
    #[track_caller]
    pub fn then_sends<E: Event>(mut self, expected: &E) -> Self {
        let json = serde_json::to_value(expected).unwrap_or_default();
        let next = self.trial.sent.front();
        let is_expected =
            next.is_some_and(|event| event.name() == E::NAME && event.to_json() == json);
        let left = &self.trial.sent;
        assert!(is_expected, "it was to send `{}` {json} next; there is left: {left:?}", E::NAME);
        self.trial.sent.pop_front();
        self
    }

    /// It has sent nothing, or nothing more than was looked at.
    ///
    /// # Panics
    /// It has. The message shows it.
    #[track_caller]
    pub fn then_sends_nothing(self) -> Self {
        let left = &self.trial.sent;
        assert!(left.is_empty(), "it was to send nothing more, but there is {left:?}");
        self
    }

    /// The timer of that name is set, to go off after so long from now.
    ///
    /// # Panics
    /// It is not, or goes off at another time.
    #[track_caller]
    pub fn then_timer(self, name: &str, after: Duration) -> Self {
        let left = self.trial.timer(name);
        assert!(
            left == Some(after),
            "the timer `{name}` was to be {after:?} away, but is {left:?}"
        );
        self
    }

    /// No timer of that name is set.
    ///
    /// # Panics
    /// One is.
    #[track_caller]
    pub fn then_no_timer(self, name: &str) -> Self {
        let left = self.trial.timer(name);
        assert!(left.is_none(), "the timer `{name}` was not to be set, but is {left:?} away");
        self
    }

    /// The last thing that went into its history has this verdict.
    ///
    /// # Panics
    /// It has another one, or nothing has.
    #[track_caller]
    pub fn then_verdict(self, verdict: Verdict) -> Self {
        let found = self.trial.verdicts.last();
        assert!(found == Some(&verdict), "the verdict was to be {verdict:?}, but is {found:?}");
        self
    }

    /// The event waits for its instance.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    pub fn then_is_parked<E: Event>(self) -> Self {
        let parked = self.trial.parked();
        assert!(
            parked.iter().any(|name| name == E::NAME),
            "`{}` is not parked: {parked:?}",
            E::NAME
        );
        self
    }

    /// The event was refused with an error whose text contains this: it would be tried again, or become a
    /// dead letter.
    ///
    /// # Panics
    /// It was not.
    #[track_caller]
    pub fn then_refuses_with(self, text: &str) -> Self {
        let error = self.trial.refused.as_ref().map(ToString::to_string);
        let is_expected = error.as_ref().is_some_and(|error| error.contains(text));
        assert!(is_expected, "it was to refuse the event with `{text}`, but said {error:?}");
        self
    }
}

fn or_none(state: Option<Value>) -> String {
    state.map_or("none: it has not begun".to_owned(), |state| state.to_string())
}

impl<S: Saga> Default for SagaTest<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Saga> fmt::Debug for SagaTest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaTest").field("saga", &S::NAME).finish_non_exhaustive()
    }
}
