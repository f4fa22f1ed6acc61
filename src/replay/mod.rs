//! Reading what was published before.

mod error;
mod history;
mod past;
mod select;

pub use error::HistoryError;
pub use history::{History, Pasts};
pub use past::{AnyOf, Encoded, Past};
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
}
