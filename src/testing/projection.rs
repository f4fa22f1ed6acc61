//! Given, when, then: tests of one projection.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;

use super::bus::{Ground, json};
use crate::{
    bus::{Bus, Error},
    event::{Event, Key},
    message::Publishable,
    projection::{ProjectionBuilder, Row, View},
};

/// No projection takes more steps for one event, or to be built anew.
const MAX_STEPS: u64 = 100_000;

/// A test of one projection: what events make of its rows, and that building them anew makes the same of
/// them. There is a real bus behind it, with a log, on a virtual clock.
///
/// The handler is called once for each event. One that fails fails the test, unless the test
/// [expects it](Self::then_fails_with).
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidings::{Bus, Event, ProjectionBuilder, testing::ProjectionTest};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "order")]
/// struct OrderPlaced { order: u64, customer: u64, cents: u64 }
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "customers.forgotten", key = "customer")]
/// struct CustomerForgotten { customer: u64 }
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Totals { orders: u64, cents: u64 }
///
/// // As the service starts it.
/// fn totals(bus: &Bus) -> ProjectionBuilder<Totals> {
///     bus.project::<Totals>("customer-totals", 1)
///         .on(|order: &OrderPlaced, rows| {
///             let row = rows.at(order.customer);
///             row.orders += 1;
///             row.cents += order.cents;
///         })
///         .on(|gone: &CustomerForgotten, rows| {
///             rows.remove(gone.customer);
///         })
/// }
///
/// ProjectionTest::of(totals)
///     .when(OrderPlaced { order: 1, customer: 7, cents: 100 })
///     .when(OrderPlaced { order: 2, customer: 7, cents: 50 })
///     .then_row(7, &Totals { orders: 2, cents: 150 })
///     .then_no_row(8)
///     .when(CustomerForgotten { customer: 7 })
///     .then_rows::<u64>([])
///     .then_rebuilds_alike();
/// ```
pub struct ProjectionTest<R: Row> {
    ground: Ground,
    view: View<R>,
    bus: Bus,
    /// How the handler of the last event has failed, as far as nobody has expected it.
    failure: Option<String>,
}

#[allow(clippy::must_use_candidate, clippy::return_self_not_must_use)] // the last call ends the test
impl<R: Row> ProjectionTest<R> {
    /// Tests a projection, as it is described before it is started.
    ///
    /// # Panics
    /// It does not start.
    #[must_use = "it says nothing unless something is expected of it"]
    #[track_caller]
    pub fn of(describe: impl FnOnce(&Bus) -> ProjectionBuilder<R>) -> Self {
        let mut ground = Ground::of_trial(MAX_STEPS);
        let mut view = None;
        let bus = ground.begin(|builder| -> Result<Bus, Error> {
            let bus = builder.build()?;
            view = Some(describe(&bus).start()?);
            Ok(bus)
        });
        let (bus, view) = match (bus, view) {
            (Ok(bus), Some(view)) => (bus, view),
            (Err(error), _) => panic!("the projection could not be started: {error}"),
            (Ok(_), None) => unreachable!("what has started has a view"),
        };
        ground.run_until_idle();
        Self { ground, view, bus, failure: None }
    }

    /// An event comes.
    ///
    /// # Panics
    /// It cannot be published, or the handler of the one before has failed.
    #[must_use = "it says nothing unless something is expected of it"]
    #[track_caller]
    pub fn when<P: Publishable>(mut self, message: P) -> Self {
        self.assert_no_failure();
        if let Err(error) = self.bus.publish(message) {
            panic!("`{}` could not be published: {}", P::Event::NAME, error.failure());
        }
        self.ground.run_until_idle();
        self.failure = self.ground.observer.take_error().map(|error| error.to_string());
        self
    }

    /// Time passes before the next event is published.
    #[must_use = "it says nothing unless something is expected of it"]
    pub fn after(self, time: Duration) -> Self {
        self.ground.sim.advance(time);
        self
    }

    /// The row with this key is this.
    ///
    /// # Panics
    /// It is not, or there is none. The message shows both.
    #[track_caller]
    pub fn then_row(self, key: impl Into<Key>, expected: &R) -> Self {
        self.assert_no_failure();
        let (key, expected) = (key.into(), json(expected));
        let found = self.rows().remove(key.as_str());
        assert!(
            found.as_ref() == Some(&expected),
            "the row `{key}` was to be {expected}, but {}",
            found.map_or("there is none".to_owned(), |row| format!("it is {row}"))
        );
        self
    }

    /// There is no row with this key.
    ///
    /// # Panics
    /// There is. The message shows it.
    #[track_caller]
    pub fn then_no_row(self, key: impl Into<Key>) -> Self {
        self.assert_no_failure();
        let key = key.into();
        if let Some(row) = self.rows().remove(key.as_str()) {
            panic!("there was to be no row `{key}`, but it is {row}");
        }
        self
    }

    /// The rows are these, and no others, in any order.
    ///
    /// # Panics
    /// They are not. The message shows all.
    #[track_caller]
    pub fn then_rows<K: Into<Key>>(self, expected: impl IntoIterator<Item = (K, R)>) -> Self {
        self.assert_no_failure();
        let expected = expected.into_iter();
        let expected = expected.map(|(key, row)| (key.into().as_str().to_owned(), json(&row)));
        let (expected, found): (BTreeMap<_, _>, _) = (expected.collect(), self.rows());
        assert!(
            found == expected,
            "the rows were to be{}\nbut they are{}",
            lines(&expected),
            lines(&found)
        );
        self
    }

    /// The handler of the last event has failed with an error or a panic whose text contains this.
    ///
    /// # Panics
    /// It has not.
    #[track_caller]
    pub fn then_fails_with(mut self, text: &str) -> Self {
        let failure = self.failure.take();
        assert!(
            failure.as_ref().is_some_and(|failure| failure.contains(text)),
            "the handler was to fail with `{text}`, but it {}",
            failure.map_or("succeeded".to_owned(), |failure| format!("failed: {failure}"))
        );
        self
    }

    /// Builds the rows anew from all events so far, as a new version would: they are as before. They are not
    /// where a handler looks at anything but its event and the rows.
    ///
    /// # Panics
    /// They are not, or building halts. The message shows both.
    #[track_caller]
    pub fn then_rebuilds_alike(self) -> Self {
        self.assert_no_failure();
        let before = self.rows();
        if let Err(error) = self.view.rebuild() {
            panic!("the rows could not be built anew: {error}");
        }
        self.ground.run_until_idle();
        if let Some(halted) = self.view.status().ok().and_then(|status| status.halted) {
            panic!("building the rows anew halted at #{}: {}", halted.position, halted.reason);
        }
        let after = self.rows();
        assert!(
            after == before,
            "built anew, the rows were to be as before:{}\nbut they are{}",
            lines(&before),
            lines(&after)
        );
        self
    }

    /// The rows as a service reads them, and [how the projection is doing](View::status).
    pub fn view(&self) -> &View<R> {
        &self.view
    }

    #[track_caller]
    fn assert_no_failure(&self) {
        if let Some(failure) = &self.failure {
            panic!("the handler of the last event has failed: {failure}");
        }
    }

    /// Compared as JSON, since rows need not be comparable.
    #[track_caller]
    fn rows(&self) -> BTreeMap<String, Value> {
        let mut rows = BTreeMap::new();
        for row in &self.view {
            match row {
                Ok((key, row)) => rows.insert(key.as_str().to_owned(), json(&row)),
                Err(error) => panic!("the rows could not be read: {error}"),
            };
        }
        rows
    }
}

impl<R: Row> Drop for ProjectionTest<R> {
    fn drop(&mut self) {
        self.ground.end();
    }
}

impl<R: Row> fmt::Debug for ProjectionTest<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionTest").field("view", &self.view).finish_non_exhaustive()
    }
}

fn lines(rows: &BTreeMap<String, Value>) -> String {
    if rows.is_empty() {
        return " none".into();
    }
    let line = |(key, row)| format!("\n  {key}: {row}");
    rows.iter().map(line).collect::<Vec<_>>().concat()
}
