//! Projections into what somebody else keeps: a sink gets events in bulk, and keeps how far it has come itself.

mod builder;
mod feed;
mod handle;

pub use builder::SinkBuilder;
pub use handle::{SinkFeed, SinkStatus};

use std::sync::Arc;

use crate::{
    bus::Bus,
    error::BoxError,
    message::Position,
    replay::{Past, Select},
};

/// Where events go that somebody else keeps, such as tables of a database.
///
/// Exactly once, if [`apply`](Self::apply) commits what the events change and the place to go on at in one
/// transaction: that place alone decides where the next call begins.
pub trait Sink: Send + 'static {
    /// Which events it gets: one type, or a tuple of up to eight.
    type Events: Select;

    /// What can go wrong.
    type Error: Into<BoxError>;

    /// Where to go on: what was last given to [`apply`](Self::apply) and committed, or `None` for the beginning of
    /// the log. Asked at the start, and again after every failure.
    ///
    /// # Errors
    /// It cannot be found out now. It is asked again.
    fn checkpoint(&mut self) -> Result<Option<Position>, Self::Error>;

    /// Takes events, in the order of the journal, and with them `next`, the place to go on at.
    ///
    /// # Errors
    /// They could not be taken, or nobody knows. After a while the sink is asked for its place, and gets what comes
    /// from there on. A panic is an error.
    fn apply(
        &mut self,
        events: &[Past<<Self::Events as Select>::Event>],
        next: Position,
    ) -> Result<(), Self::Error>;
}

/// What a sink gets of each event.
type Batch<S> = Past<<<S as Sink>::Events as Select>::Event>;

impl Bus {
    /// Begins to feed a sink: a read model that somebody else keeps. On a durable bus alone.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, storage::MemoryStorage};
    /// use tidings::{Past, Position, Sink};
    ///
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { cents: u64 }
    /// # struct Database { total: u64, next: Option<Position> }
    /// # struct Transaction<'a>(&'a mut Database, u64, Option<Position>);
    /// # impl Database { fn begin(&mut self) -> Transaction<'_> { Transaction(self, 0, None) } }
    /// # impl Transaction<'_> {
    /// #     fn add(&mut self, cents: u64) { self.1 += cents; }
    /// #     fn keep(&mut self, next: Position) { self.2 = Some(next); }
    /// #     fn commit(self) { self.0.total += self.1; self.0.next = self.2; }
    /// # }
    /// struct Turnover(Database);
    ///
    /// impl Sink for Turnover {
    ///     type Events = OrderPlaced;
    ///     type Error = Infallible;
    ///
    ///     fn checkpoint(&mut self) -> Result<Option<Position>, Infallible> {
    ///         Ok(self.0.next)
    ///     }
    ///
    ///     fn apply(&mut self, orders: &[Past<OrderPlaced>], next: Position) -> Result<(), Infallible> {
    ///         let mut transaction = self.0.begin();
    ///         for order in orders {
    ///             transaction.add(order.cents);
    ///         }
    ///         transaction.keep(next);
    ///         transaction.commit();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// let order = bus.publish(OrderPlaced { cents: 1999 })?;
    /// let feed = bus.project_into("turnover", Turnover(Database { total: 0, next: None })).start()?;
    /// assert!(feed.wait_applied(order.position, Duration::from_secs(5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn project_into<S: Sink>(&self, name: &str, sink: S) -> SinkBuilder<S> {
        SinkBuilder::new(self.clone(), Arc::from(name), sink)
    }
}
