//! A read model is built anew, beside the one that is served, while the shop goes on.
//!
//! ```text
//! cargo run --release --example projection_rebuild                          all in a temporary directory
//! cargo run --release --example projection_rebuild -- --data DIR --crash    dies in the middle of building
//! cargo run --release --example projection_rebuild -- --data DIR            goes on from there
//! ```
//!
//! Version 1 of the projection has a mistake: it forgets refunds. Version 2 is built from the whole log, while
//! version 1 is served and kept up to date. At the end the rows are compared with the log itself, and the exit
//! code says whether they agree.
#![allow(clippy::cast_precision_loss)]

use std::{collections::BTreeMap, env, error::Error, path::PathBuf, process, time::Duration};

use serde::{Deserialize, Serialize};
use tidings::{Bus, Event, ProjectionBuilder, View};

const CUSTOMERS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
struct OrderPlaced {
    order: u64,
    customer: u64,
    cents: i64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.refunded", key = "order")]
struct OrderRefunded {
    order: u64,
    customer: u64,
    cents: i64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    orders: u64,
    cents: i64,
}

/// What customers have spent, as code of some version has it.
fn totals(bus: &Bus, version: u32) -> ProjectionBuilder<Totals> {
    let placed = |order: &OrderPlaced, rows: &mut tidings::Rows<'_, Totals>| {
        let row = rows.at(order.customer);
        row.orders += 1;
        row.cents += order.cents;
    };
    let builder = bus.project::<Totals>("customer-totals", version).on(placed);
    builder.on(move |refund: &OrderRefunded, rows| {
        if version >= 2 {
            rows.at(refund.customer).cents -= refund.cents;
        }
    })
}

/// The same straight from the log.
fn books(bus: &Bus, version: u32) -> Result<BTreeMap<String, Totals>, Box<dyn Error>> {
    let mut books: BTreeMap<u64, Totals> = BTreeMap::new();
    bus.history().of::<OrderPlaced>().each(|order, _| {
        let row = books.entry(order.customer).or_default();
        row.orders += 1;
        row.cents += order.cents;
    })?;
    if version >= 2 {
        bus.history().of::<OrderRefunded>().each(|refund, _| {
            books.entry(refund.customer).or_default().cents -= refund.cents;
        })?;
    }
    Ok(books.into_iter().map(|(customer, row)| (customer.to_string(), row)).collect())
}

/// Compares rows and log.
fn check(bus: &Bus, view: &View<Totals>, version: u32) -> Result<(), Box<dyn Error>> {
    if !bus.wait_idle(PATIENCE) {
        return Err("the shop does not come to rest".into());
    }
    let rows = view.iter().map(|row| row.map(|(key, row)| (key.as_str().to_owned(), row)));
    let rows: BTreeMap<_, _> = rows.collect::<Result<_, _>>()?;
    let books = books(bus, version)?;
    let cents: i64 = rows.values().map(|row| row.cents).sum();
    println!("version {version}: {} customers have spent {cents} cents", rows.len());
    if rows != books {
        return Err(format!("version {version} DOES NOT AGREE with the log").into());
    }
    Ok(())
}

/// Orders with numbers from `first` on; every tenth is refunded.
fn trade(bus: &Bus, first: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let cents = |order: u64| i64::try_from(order % 5000).unwrap_or_default() + 100;
    let (orders, refunds) = (bus.publisher::<OrderPlaced>()?, bus.publisher::<OrderRefunded>()?);
    let (mut placed, mut refunded) = (Vec::new(), Vec::new());
    for order in first..first + count {
        let customer = (order * 7919) % CUSTOMERS;
        placed.push(OrderPlaced { order, customer, cents: cents(order) });
        if order % 10 == 0 {
            refunded.push(OrderRefunded { order, customer, cents: cents(order) });
        }
        if placed.len() == 1000 || order + 1 == first + count {
            orders.publish_batch(&mut placed)?;
            refunds.publish_batch(&mut refunded)?;
        }
    }
    Ok(())
}

struct Options {
    data: Option<PathBuf>,
    crash: bool,
    orders: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { data: None, crash: false, orders: 500_000 };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--data" => options.data = Some(value()?.into()),
            "--crash" => options.crash = true,
            "--orders" => options.orders = value()?.parse().map_err(|_| "no such number")?,
            _ => return Err(format!("unknown option {argument}")),
        }
    }
    if options.crash && options.data.is_none() {
        return Err("--crash needs --data, or nothing would be left to go on with".into());
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let bus = Bus::open(options.data.as_deref().unwrap_or(temporary.path()))?;
    let is_new = bus.history().of::<OrderPlaced>().into_iter().next().is_none();
    if is_new {
        let view = totals(&bus, 1).start()?;
        trade(&bus, 0, options.orders)?;
        check(&bus, &view, 1)?;
    }

    // The code of version 2 is deployed. Where that of version 1 is still there, its rows stay up to date.
    let (start, end) = (std::time::Instant::now(), bus.end());
    let view = totals(&bus, 2).start()?;
    let from = view.status()?.building.map_or(end, |building| building.position);
    println!("version 2 is built from position {from} of {end}");
    while let Some(building) = view.status()?.building {
        if options.crash && building.position.since(from) > end.since(from) / 2 {
            println!("the process dies at position {}", building.position);
            process::abort();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let (took, built) = (start.elapsed().as_secs_f64(), end.since(from));
    println!("{built} events in {took:.2} s, {:.0} events/s", built as f64 / took);
    if options.crash {
        return Err("it was built before it could die; try more --orders".into());
    }

    trade(&bus, 10 * options.orders, 1000)?;
    check(&bus, &view, 2)?;
    bus.shutdown(Duration::from_secs(10))?;
    Ok(())
}

fn main() -> process::ExitCode {
    match options().map_err(Into::into).and_then(|options| run(&options)) {
        Ok(()) => {
            println!("The rows agree with the log.");
            process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            process::ExitCode::FAILURE
        }
    }
}
