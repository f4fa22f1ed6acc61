//! All orders in which the events of a saga may come.

use std::{fmt, rc::Rc};

use super::trial::Trial;
use crate::{
    event::Event,
    message::MessageId,
    saga::{Outgoing, Saga},
};

/// The most events of which all orders are tried.
const MAX_EVENTS: usize = 6;

/// How much may happen after the last event.
const MAX_STEPS: u32 = 10_000;

/// All orders in which the events of a saga may come, some of them twice: whatever happens, the saga has to
/// come to its end.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{Event, saga::{Define, Elsewhere, Saga, SagaState}};
/// # macro_rules! events { ($($name:ident = $text:literal),*) => { $(
/// #     #[derive(Clone, Serialize, Deserialize, Event)]
/// #     #[event(name = $text, key = "order")]
/// #     struct $name { order: u64 }
/// # )* } }
/// # events!(OrderPlaced = "orders.placed", PaymentTaken = "payments.taken", Ship = "orders.ship",
/// #     Shipped = "orders.shipped");
/// # #[derive(Serialize, Deserialize)] struct Open;
/// # #[derive(Serialize, Deserialize)] struct Shipping;
/// # #[derive(Serialize, Deserialize)] struct Over;
/// # #[derive(Serialize, Deserialize, SagaState)]
/// # enum Sale { Open(Open), Shipping(Shipping), #[saga(terminal)] Over(Over) }
/// # impl Saga for Sale {
/// #     const NAME: &'static str = "sale";
/// #     fn define(saga: &mut Define<Self>) {
/// #         saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>();
/// #         saga.state::<Open>().on(|_, paid: &PaymentTaken, turn| {
/// #             turn.send(Ship { order: paid.order }).enter(Shipping)
/// #         }).to::<Shipping>();
/// #         saga.state::<Shipping>().on(|_, _: &Shipped, turn| turn.enter(Over)).to::<Over>();
/// #         saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
/// #         saga.event::<PaymentTaken>().elsewhere(Elsewhere::Ignore);
/// #         saga.event::<Shipped>().elsewhere(Elsewhere::Ignore);
/// #     }
/// # }
/// use tidings::testing::SagaOrders;
///
/// let orders = SagaOrders::<Sale>::new()
///     .event(OrderPlaced { order: 7 })
///     .event(PaymentTaken { order: 7 })
///     .answer(|ship: &Ship| Shipped { order: ship.order }) // whoever ships says so
///     .duplicates(1)
///     .assert_reaches_terminal();
/// assert_eq!(orders, 6);
/// ```
#[must_use = "nothing is tried before `assert_reaches_terminal`"]
pub struct SagaOrders<S: Saga> {
    events: Vec<Planned<S>>,
    answers: Vec<Answer<S>>,
    duplicates: usize,
}

struct Planned<S: Saga> {
    name: &'static str,
    feed: Feed<S>,
}

/// Has an event come.
type Feed<S> = Box<dyn Fn(&mut Trial<S>, MessageId)>;

/// Answers an event, if it is one of those that it answers.
type Answer<S> = Rc<dyn Fn(&dyn Outgoing, &mut Trial<S>) -> bool>;

impl<S: Saga> SagaOrders<S> {
    /// No events yet.
    pub fn new() -> Self {
        Self { events: Vec::new(), answers: Vec::new(), duplicates: 0 }
    }

    /// One more event, that may come at any time.
    pub fn event<E: Event>(mut self, event: E) -> Self {
        let feed = Box::new(move |trial: &mut Trial<S>, id| trial.feed(&event, id));
        self.events.push(Planned { name: E::NAME, feed });
        self
    }

    /// What somebody answers to an event that the saga sends, once all the others have come.
    pub fn answer<Q: Event, A: Event>(mut self, answer: impl Fn(&Q) -> A + 'static) -> Self {
        self.answers.push(Rc::new(move |sent, trial| {
            let Some(asked) = sent.event().downcast_ref::<Q>() else { return false };
            let id = trial.new_id();
            trial.feed(&answer(asked), id);
            true
        }));
        self
    }

    /// Any so many of the events come a second time, as the same messages. None unless set.
    pub fn duplicates(mut self, events: usize) -> Self {
        self.duplicates = events;
        self
    }

    /// Tries all orders. After the last event, answers come and timers go off until nothing is left to
    /// happen; then the saga has to be over. Returns how many orders there were.
    ///
    /// # Panics
    /// It is not, for some order, which the message names. Or there are more than six events in all.
    #[track_caller]
    #[allow(clippy::must_use_candidate)] // the number is for who wants it
    pub fn assert_reaches_terminal(self) -> usize {
        let all = self.events.len() + self.duplicates.min(self.events.len());
        assert!(all <= MAX_EVENTS, "{all} events have too many orders; at most {MAX_EVENTS}");
        let mut trial = Trial::new();
        let mut tried = 0;
        for order in self.orders() {
            trial = self.try_order(trial.anew(), &order);
            tried += 1;
        }
        tried
    }

    /// Each as the numbers of its events.
    fn orders(&self) -> Vec<Vec<usize>> {
        let mut counts = vec![1; self.events.len()];
        let mut orders = Vec::new();
        choose(&mut counts, 0, self.duplicates, &mut |counts| {
            arrange(counts, &mut Vec::new(), &mut orders);
        });
        orders
    }

    #[track_caller]
    fn try_order(&self, mut trial: Trial<S>, order: &[usize]) -> Trial<S> {
        let ids: Vec<_> = self.events.iter().map(|_| trial.new_id()).collect();
        for event in order {
            (self.events[*event].feed)(&mut trial, ids[*event]);
        }
        let mut steps = 0;
        while self.go_on(&mut trial) {
            steps += 1;
            assert!(steps < MAX_STEPS, "it does not end after {}", self.names(order));
        }
        let condition = trial.condition();
        let is_over =
            condition.is_none_or(crate::saga::Condition::is_over) && trial.parked().is_empty();
        let state = trial.state();
        let state = state.as_ref().map_or("no state", |state| state.state());
        assert!(is_over, "it is {condition:?} in `{state}` after {}", self.names(order));
        trial
    }

    /// An answer comes, or a timer goes off, as long as the saga is not over.
    fn go_on(&self, trial: &mut Trial<S>) -> bool {
        if let Some(sent) = trial.sent.pop_front() {
            for answer in &self.answers {
                if answer(&*sent, trial) {
                    break;
                }
            }
            return true;
        }
        let is_over = trial.condition().is_some_and(crate::saga::Condition::is_over);
        !is_over && trial.ring_next(None)
    }

    fn names(&self, order: &[usize]) -> String {
        let names: Vec<_> = order.iter().map(|event| self.events[*event].name).collect();
        names.join(", ")
    }
}

/// Raises so many of the counts, from this one on, in all ways.
fn choose(counts: &mut [usize], from: usize, left: usize, found: &mut impl FnMut(&mut [usize])) {
    if left == 0 || from == counts.len() {
        return found(counts);
    }
    if counts.len() - from > left {
        choose(counts, from + 1, left, found);
    }
    counts[from] += 1;
    choose(counts, from + 1, left - 1, found);
    counts[from] -= 1;
}

/// All arrangements of so many of each.
fn arrange(counts: &mut [usize], begun: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if counts.iter().all(|count| *count == 0) {
        return found.push(begun.clone());
    }
    for event in 0..counts.len() {
        if counts[event] == 0 {
            continue;
        }
        counts[event] -= 1;
        begun.push(event);
        arrange(counts, begun, found);
        begun.pop();
        counts[event] += 1;
    }
}

impl<S: Saga> Default for SagaOrders<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Saga> fmt::Debug for SagaOrders<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaOrders")
            .field("events", &self.events.len())
            .field("duplicates", &self.duplicates)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{arrange, choose};

    #[test]
    fn every_order_is_there_once() {
        let mut found = Vec::new();
        choose(&mut [1, 1, 1], 0, 1, &mut |counts| arrange(counts, &mut Vec::new(), &mut found));
        assert_eq!(found.len(), 3 * 12);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 3 * 12);
    }
}
