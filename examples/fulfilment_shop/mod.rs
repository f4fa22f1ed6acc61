//! What the two order fulfilments share: the events, the services, the day, and the books.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, ExitCode},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{Bus, Context, Event, Message, MessageId};

macro_rules! events {
    ($($name:ident = $text:literal),* $(,)?) => { $(
        #[derive(Debug, Clone, Serialize, Deserialize, Event)]
        #[event(name = $text, key = "order")]
        pub struct $name {
            pub order: u64,
        }
    )* };
}

events! {
    OrderPlaced = "orders.placed",
    PaymentTaken = "payments.taken",
    PaymentRefused = "payments.refused",
    PaymentRefunded = "payments.refunded",
    StockReserved = "stock.reserved",
    OutOfStock = "stock.out",
    OrderShipped = "orders.shipped",
}

pub type Problem = Box<dyn std::error::Error>;

const ORDERS: u64 = 1000;

/// Every tenth payment is refused, and every tenth article is out of stock.
pub fn is_refused(order: u64) -> bool {
    order % 10 == 3
}

pub fn is_out_of_stock(order: u64) -> bool {
    order % 10 == 7
}

/// What has happened, as the log has it: each message counts once.
#[derive(Clone, Default)]
struct Books(Arc<Mutex<BTreeMap<MessageId, (String, u64)>>>);

impl Books {
    fn note<E: Event, F: Fn(&E) -> u64>(&self, order: F) -> impl Fn(&E, &mut Context) + use<E, F> {
        let books = self.clone();
        move |event, ctx| {
            let line = (E::NAME.to_owned(), order(event));
            books.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ctx.id(), line);
        }
    }

    /// How often each thing has happened to an order.
    fn counts(&self) -> BTreeMap<(u64, String), u64> {
        let mut counts = BTreeMap::new();
        for (name, order) in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            *counts.entry((*order, name.clone())).or_default() += 1;
        }
        counts
    }

    /// Goes through the whole log. The books balance if every order is shipped and paid, or neither.
    fn draw_up(bus: &Bus) -> Result<(u64, u64, Vec<String>), Problem> {
        let books = Self::default();
        bus.subscribe("books")
            .ephemeral()
            .on(books.note(|taken: &PaymentTaken| taken.order))
            .on(books.note(|refused: &PaymentRefused| refused.order))
            .on(books.note(|refunded: &PaymentRefunded| refunded.order))
            .on(books.note(|shipped: &OrderShipped| shipped.order))
            .start()?;
        if !bus.wait_idle(Duration::from_mins(1)) {
            return Err("the books are not done".into());
        }
        let counts = books.counts();
        let count = |order, name: &str| counts.get(&(order, name.to_owned())).copied().unwrap_or(0);
        let (mut shipped, mut refunded, mut problems) = (0, 0, Vec::new());
        for order in 0..ORDERS {
            let found = [
                PaymentTaken::NAME,
                PaymentRefused::NAME,
                PaymentRefunded::NAME,
                OrderShipped::NAME,
            ];
            let found = found.map(|name| count(order, name));
            let right = match order {
                order if is_refused(order) => [0, 1, 0, 0],
                order if is_out_of_stock(order) => [1, 0, 1, 0],
                _ => [1, 0, 0, 1],
            };
            if found != right {
                problems.push(format!("order {order}: {found:?} instead of {right:?}"));
            }
            (refunded, shipped) = (refunded + found[2], shipped + found[3]);
        }
        Ok((shipped, refunded, problems))
    }
}

/// Runs a day of orders: with `--crash`, another process dies in the middle of it before.
pub fn main(start: fn(&Bus) -> Result<(), Problem>) -> ExitCode {
    match day(start) {
        Ok((shipped, refunded, problems)) if problems.is_empty() => {
            println!("{shipped} shipped, {refunded} refunded: the books balance");
            ExitCode::SUCCESS
        }
        Ok((.., problems)) => {
            println!("THE BOOKS DO NOT BALANCE:\n{}", problems.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn day(start: fn(&Bus) -> Result<(), Problem>) -> Result<(u64, u64, Vec<String>), Problem> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [die, data] = &*arguments
        && die == "--die"
    {
        die_midway(Path::new(data), start)?;
    }
    let data = env::temp_dir().join(format!("tidings-fulfilment-{}", process::id()));
    if arguments.iter().any(|argument| argument == "--crash") {
        let child = Command::new(env::current_exe()?).arg("--die").arg(&data).status()?;
        println!("a process has died midway ({child}); another one goes on");
    }
    let books = open(&data, start).and_then(|bus| {
        place(&bus, ORDERS)?;
        if !bus.wait_idle(Duration::from_mins(1)) {
            return Err("the orders are not done".into());
        }
        let books = Books::draw_up(&bus)?;
        bus.shutdown(Duration::from_secs(5))?;
        Ok(books)
    });
    fs::remove_dir_all(&data)?;
    books
}

fn open(data: &PathBuf, start: fn(&Bus) -> Result<(), Problem>) -> Result<Bus, Problem> {
    let bus = Bus::open(data)?;
    start(&bus)?;
    Ok(bus)
}

/// The idempotency key has an order placed once, also by the process that goes on.
fn place(bus: &Bus, orders: u64) -> Result<(), Problem> {
    let place =
        |order| Message::new(OrderPlaced { order }).idempotency_key(format!("order-{order}"));
    let placed: Result<Vec<_>, _> = (0..orders).map(|order| bus.enqueue(place(order))).collect();
    for pending in placed? {
        pending.wait()?;
    }
    Ok(())
}

fn die_midway(data: &Path, start: fn(&Bus) -> Result<(), Problem>) -> Result<(), Problem> {
    let bus = open(&data.to_path_buf(), start)?;
    bus.subscribe("death")
        .on(|shipped: &OrderShipped| {
            if shipped.order > ORDERS / 4 {
                process::abort();
            }
        })
        .start()?;
    place(&bus, ORDERS / 2)?;
    std::thread::sleep(Duration::from_mins(1));
    Err("nobody has died".into())
}
