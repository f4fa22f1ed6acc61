//! The past: reading what was published before, and going through it again.

mod builder;
mod comparison;
mod dry;
mod error;
mod history;
mod past;
mod running;
mod select;

pub use builder::ReplayBuilder;
pub use comparison::{Comparison, Difference};
pub use dry::DryReplay;
pub use error::{HistoryError, ReplayError};
pub use history::{History, Pasts};
pub use past::{AnyOf, Encoded, Past};
pub use running::{Replay, Speed};
pub use select::Select;
pub(crate) use select::sealed::{Told, Types};

use std::sync::Arc;

use crate::bus::Bus;

impl Bus {
    /// What was published before: every event that the log keeps, up to those that were published
    /// when reading begins. On a durable bus alone.
    ///
    /// Filters come in any order, and [`of`](History::of) says which events; then it is an iterator, or
    /// [`each`](History::each) visits without copying. Names, keys and times are looked up in the
    /// log's index, so that what does not match is hardly read.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, storage::MemoryStorage};
    /// #[derive(Debug, Serialize, Deserialize, Event)]
    /// #[event(name = "orders.placed", key = "order_id")]
    /// struct OrderPlaced { order_id: u64, cents: u64 }
    ///
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// bus.publish(OrderPlaced { order_id: 7, cents: 1999 })?;
    /// bus.publish(OrderPlaced { order_id: 8, cents: 500 })?;
    ///
    /// for order in bus.history().of::<OrderPlaced>().key(7) {
    ///     let order = order?;
    ///     println!("{}: {} cents", order.position(), order.cents);
    /// }
    ///
    /// let mut cents = 0;
    /// bus.history().of::<OrderPlaced>().each(|order, _| cents += order.cents)?;
    /// assert_eq!(cents, 2499);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn history(&self) -> History {
        History::new(Arc::clone(self.journal()))
    }

    /// Goes through a part of the past with handlers of its own: a subscription that ends. Its name is
    /// as durable as that of any other, so that it goes on after a restart where it stopped; but it is
    /// another name than that of the subscription whose work it repairs, whose cursor stays where it
    /// is while live traffic goes on.
    ///
    /// [`Context::is_replay`](crate::Context::is_replay) is true. What its handlers publish and store is
    /// done in earnest, each once; [`dry_run`](ReplayBuilder::dry_run) shows it before that, and
    /// [`compare`](ReplayBuilder::compare) what would be different from before. Whether what they do
    /// outside is to be done anew says [`effects_of`](ReplayBuilder::effects_of).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Context, Event, HandlerError, Speed, storage::MemoryStorage};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed", key = "id")]
    /// # struct OrderPlaced { id: u64, cents: i64 }
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "invoices.corrected", key = "id")]
    /// # struct InvoiceCorrected { id: u64, cents: i64 }
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// bus.publish(OrderPlaced { id: 7, cents: -1 })?;
    ///
    /// let replay = bus
    ///     .replay("correct-invoices-2026-11")
    ///     .speed(Speed::PerSecond(1000))
    ///     .on(|order: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
    ///         if order.cents < 0 {
    ///             ctx.publish(InvoiceCorrected { id: order.id, cents: 0 })?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .start()?;
    /// assert!(replay.wait(Duration::from_secs(10))?);
    /// assert_eq!(bus.end().get(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replay(&self, name: &str) -> ReplayBuilder {
        ReplayBuilder::new(self, name)
    }
}
