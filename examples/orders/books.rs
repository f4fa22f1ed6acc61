//! The books, drawn up from the log alone: what the handlers believe does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidings::{Bus, Error};

use crate::{
    day,
    events::{
        OrderPlaced, OrderShipped, PaymentRefunded, PaymentTaken, StockRequested, StockReserved,
        StockShort,
    },
};

/// Every event of the log, added up.
#[derive(Debug, Default, Clone)]
pub struct Books {
    pub orders: BTreeMap<u64, OrderBook>,
    pub events: BTreeMap<&'static str, u64>,
    pieces_reserved: BTreeMap<u32, u32>,
}

/// What happened with one order: how often, and for how much.
#[derive(Debug, Default, Clone)]
pub struct OrderBook {
    placed: u32,
    taken: Vec<u64>,
    shipped: Vec<u64>,
    refunded: Vec<u64>,
}

impl Books {
    /// Reads the whole log.
    pub fn read(bus: &Bus) -> Result<Self, Error> {
        let shared = Shared::default();
        let books = bus
            .subscribe("books")
            .ephemeral()
            .on(shared.add(|books, OrderPlaced(order)| {
                books.order("orders.placed", order.id).placed += 1;
            }))
            .on(shared.add(|books, event: &PaymentTaken| {
                books.order("payments.taken", event.order).taken.push(event.cents);
            }))
            .on(shared.add(|books, StockRequested(order)| {
                books.order("stock.requested", order.id);
            }))
            .on(shared.add(|books, StockReserved(order)| {
                books.order("stock.reserved", order.id);
                *books.pieces_reserved.entry(order.product).or_default() += order.pieces;
            }))
            .on(shared.add(|books, StockShort(order)| {
                books.order("stock.short", order.id);
            }))
            .on(shared.add(|books, event: &OrderShipped| {
                books.order("orders.shipped", event.order).shipped.push(event.cents);
            }))
            .on(shared.add(|books, event: &PaymentRefunded| {
                books.order("payments.refunded", event.order).refunded.push(event.cents);
            }))
            .start()?;
        while books.lag() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        books.stop(Duration::from_mins(1));
        Ok(shared.take())
    }

    fn order(&mut self, event: &'static str, id: u64) -> &mut OrderBook {
        *self.events.entry(event).or_default() += 1;
        self.orders.entry(id).or_default()
    }

    pub fn count(&self, event: &str) -> u64 {
        self.events.get(event).copied().unwrap_or(0)
    }

    pub fn published(&self) -> u64 {
        self.events.values().sum()
    }

    pub fn taken(&self) -> u64 {
        self.orders.values().flat_map(|order| &order.taken).sum()
    }

    pub fn shipped(&self) -> u64 {
        self.orders.values().flat_map(|order| &order.shipped).sum()
    }

    pub fn refunded(&self) -> u64 {
        self.orders.values().flat_map(|order| &order.refunded).sum()
    }

    /// Everything that is wrong with the books of a day of `total` orders, of which `dead` never
    /// got past the payment.
    pub fn problems(&self, total: u64, dead: &BTreeSet<u64>) -> Vec<String> {
        let mut problems = Vec::new();
        if self.orders.len() as u64 != total {
            problems.push(format!("{} orders are on the log, not {total}", self.orders.len()));
        }
        for (id, order) in &self.orders {
            if let Some(problem) = order.problem(dead.contains(id)) {
                problems.push(format!("order {id}: {problem}: {order:?}"));
            }
        }
        for (product, pieces) in &self.pieces_reserved {
            let stock = day::stock(*product, total);
            if *pieces > stock {
                problems.push(format!("product {product}: {pieces} of {stock} pieces reserved"));
            }
        }
        if self.taken() != self.shipped() + self.refunded() {
            problems.push("money taken is not orders shipped + refunds".into());
        }
        problems
    }
}

impl OrderBook {
    fn problem(&self, dead: bool) -> Option<&'static str> {
        if self.placed != 1 {
            return Some("not placed exactly once");
        }
        let ended = self.shipped.len() + self.refunded.len();
        match (dead, self.taken.len(), ended) {
            (true, 0, 0) => None,
            (true, ..) => Some("went on although its payment is a dead letter"),
            (false, 1, 1) => {
                let same = self.shipped.iter().chain(&self.refunded).eq(&self.taken);
                (!same).then_some("another amount was shipped or refunded than taken")
            }
            (false, 1, _) => Some("paid, and not exactly once shipped or refunded"),
            (false, ..) => Some("not paid exactly once"),
        }
    }
}

/// Books that several handlers write.
#[derive(Default)]
struct Shared(Arc<Mutex<Books>>);

impl Shared {
    fn add<E>(
        &self,
        entry: impl Fn(&mut Books, &E) + Send + Sync + 'static,
    ) -> impl Fn(&E) + Send + Sync + 'static {
        let books = Arc::clone(&self.0);
        move |event: &E| entry(&mut books.lock().unwrap_or_else(PoisonError::into_inner), event)
    }

    fn take(&self) -> Books {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
