//! A shop's day: 100,000 orders through payment, stock, shipping and refunds, on the durable log.
//!
//! ```text
//! cargo run --release --example orders                          a day in a temporary directory
//! cargo run --release --example orders -- --data DIR            the same, and the log stays
//! cargo run --release --example orders -- --data DIR --crash    aborts the process midway
//! cargo run --release --example orders -- --data DIR            resumes, and the books balance
//! ```
//!
//! 5 % of the payments time out and are retried, one order is poison and becomes a dead letter, and
//! where the stock is short the payment is refunded. At the end the books are drawn up from the log;
//! if they do not balance, the exit code says so.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
#![allow(missing_docs, unreachable_pub)]

mod books;
mod day;
mod events;
mod flow;
mod latency;
mod report;

use std::{
    collections::{BTreeSet, VecDeque},
    env,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use books::Books;
use events::OrderPlaced;
use flow::Finished;
use report::{Progress, Run, grouped};
use tidings::{Bus, Error, Pending};

/// Orders that may be on their way at once: as many as a shop that is busy, not drowned.
const UNDER_WAY: u64 = 2000;

struct Options {
    data: Option<PathBuf>,
    crash: bool,
    orders: u64,
}

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\nusage: orders [--orders N] [--data DIR [--crash]]");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(problems) if problems.is_empty() => {
            println!("\nThe books balance: money taken = orders shipped + refunds.");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            println!("\nTHE BOOKS DO NOT BALANCE: {} problems", problems.len());
            problems.iter().take(10).for_each(|problem| println!("  {problem}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { data: None, crash: false, orders: 100_000 };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--data" => options.data = Some(value()?.into()),
                "--crash" => options.crash = true,
                "--orders" => {
                    let number = value()?;
                    options.orders =
                        number.parse().map_err(|_| format!("{number} is no number"))?;
                }
                _ => return Err(format!("unknown option {argument}")),
            }
        }
        if options.crash && options.data.is_none() {
            return Err("--crash needs --data, or nothing would be left to resume".into());
        }
        Ok(options)
    }
}

/// Returns what is wrong with the books.
fn run(options: &Options) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = options.data.as_deref().unwrap_or(temporary.path());
    let bus = Bus::open(directory)?;
    let published = Books::read(&bus)?.orders.len() as u64;
    if published > 0 {
        println!("{} orders are on the log already; going on from there", grouped(published));
    }
    let (start, before) = (Instant::now(), bus.end());
    let finished = Finished::watch(&bus)?;
    let subscriptions = flow::start(&bus, options.orders)?;
    publish_the_day(&bus, published, options, &finished)?;
    if !bus.wait_idle(Duration::from_mins(10)) {
        return Err("the shop does not come to rest".into());
    }
    let (took, added) = (start.elapsed(), bus.end().since(before));

    let books = Books::read(&bus)?;
    let latencies = &finished.latencies;
    Run { subscriptions: &subscriptions, books: &books, latencies, added, took }.print();
    let dead = dead_orders(&bus)?;
    bus.shutdown(Duration::from_secs(10))?;
    Ok(books.problems(options.orders, &dead))
}

/// Publishes the orders from `first` on, with a bounded number on their way.
fn publish_the_day(
    bus: &Bus,
    first: u64,
    options: &Options,
    finished: &Finished,
) -> Result<(), Error> {
    let total = options.orders;
    let mut progress = Progress::new(total);
    let mut unanswered: VecDeque<Pending<OrderPlaced>> = VecDeque::new();
    for id in first..total {
        while id - first > finished.count() + UNDER_WAY {
            std::thread::sleep(Duration::from_micros(200));
        }
        unanswered.push_back(bus.enqueue(OrderPlaced(day::order(id, total)))?);
        if unanswered.len() > 256
            && let Some(oldest) = unanswered.pop_front()
        {
            oldest.wait()?;
        }
        if options.crash && id > total / 2 {
            eprintln!("\ncrashing on purpose after {} orders", grouped(id));
            std::process::abort();
        }
        progress.show(id);
    }
    for pending in unanswered {
        pending.wait()?;
    }
    progress.finish(total);
    Ok(())
}

/// The orders whose payment could not be handled, as the dead letters tell.
fn dead_orders(bus: &Bus) -> Result<BTreeSet<u64>, Box<dyn std::error::Error>> {
    let mut orders = BTreeSet::new();
    for letter in bus.dead_letters("payments").list()? {
        let OrderPlaced(order) = serde_json::from_slice(letter.payload())?;
        println!(
            "\ndead letter: {} {} ({}), {}",
            letter.event(),
            order.id,
            letter.reason(),
            letter.error()
        );
        orders.insert(order.id);
    }
    Ok(orders)
}
