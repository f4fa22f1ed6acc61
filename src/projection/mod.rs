//! Projections: read models of typed rows, which are what their events make of them.
//!
//! A projection is a subscription with rows: they commit together with the acknowledgement. Before it
//! is up to date for the first time, and when it is built anew, a [`build`] reads history in bulk, and commits
//! rows and checkpoint as one; close to the end the subscription takes over from the checkpoint. The rows
//! of one build are a *generation*. Which one is served is one small value in storage ([`stored`]), so that
//! readers change over at once.

mod build;
mod builder;
mod chunk;
mod error;
mod fold;
mod keys;
mod lateness;
mod live;
mod model;
mod rows;
mod sink;
mod status;
mod stored;
mod view;

pub use builder::ProjectionBuilder;
pub use error::{ProjectError, ViewError};
pub use lateness::{Late, LateCounts};
pub use rows::{Row, Rows};
pub use sink::{Sink, SinkBuilder, SinkFeed, SinkStatus};
pub use status::{BuildProgress, Halted, ProjectionStatus};
pub use view::{RowsIter, View};

use crate::bus::Bus;

impl Bus {
    /// Begins a projection: a read model of rows by key, which events change.
    ///
    /// The name is that of the subscription that keeps the rows up to date, and is durable. Raise the version
    /// when the events or what is made of them change: the rows are then built anew from the
    /// beginning of the log, beside the old ones, which are served until the new ones have caught up.
    ///
    /// Rows are committed with the acknowledgement of their event, so that each event counts once, whatever
    /// happens. A handler does nothing but change rows, so that building anew repeats no effect.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidings::storage::MemoryStorage;
    /// use serde::{Deserialize, Serialize};
    /// use tidings::{Bus, Event};
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(name = "orders.placed", key = "order_id")]
    /// struct OrderPlaced { order_id: u64, customer_id: u64, cents: u64 }
    ///
    /// #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    /// struct CustomerTotals { orders: u64, cents: u64 }
    ///
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// let totals = bus
    ///     .project::<CustomerTotals>("customer-totals", 1)
    ///     .on(|order: &OrderPlaced, rows| {
    ///         let row = rows.at(order.customer_id);
    ///         row.orders += 1;
    ///         row.cents += order.cents;
    ///     })
    ///     .start()?;
    ///
    /// let order = bus.publish(OrderPlaced { order_id: 1, customer_id: 7, cents: 1999 })?;
    /// order.settled_by(&bus, "customer-totals", Duration::from_secs(5))?;
    /// assert_eq!(totals.get(7)?, Some(CustomerTotals { orders: 1, cents: 1999 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn project<R: Row>(&self, name: &str, version: u32) -> ProjectionBuilder<R> {
        ProjectionBuilder::new(self.clone(), name, version)
    }
}
