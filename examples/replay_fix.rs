//! A mistake is found, mended, and what it has done is repaired from the log, while the shop goes on.
//!
//! ```text
//! cargo run --release --example replay_fix                          all in a temporary directory
//! cargo run --release --example replay_fix -- --data DIR --crash    dies in the middle of the repair
//! cargo run --release --example replay_fix -- --data DIR            goes on from there
//! ```
//!
//! Customers get a point for each euro. Version 1 of that has a mistake: it keeps the points of an order in
//! eight bits. Version 2 has none, which both on the same past shows; and a replay gives what is
//! missing, once for each order. At the end the books are drawn up from the log, and the exit code says
//! whether everybody has the points that he is to have.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{Bus, Context, DryVerdict, Event, HandlerError};

const REPAIR: &str = "repair-points-2026-11";
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "customer")]
struct OrderPlaced {
    order: u64,
    customer: u64,
    euros: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "points.granted", key = "customer")]
struct PointsGranted {
    order: u64,
    customer: u64,
    points: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "points.corrected", key = "customer")]
struct PointsCorrected {
    order: u64,
    customer: u64,
    missing: u64,
}

/// What version 1 has made of it.
fn truncated(euros: u64) -> u64 {
    euros & 0xff
}

fn points_v1(placed: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
    grant(placed, truncated(placed.euros), ctx)
}

fn points_v2(placed: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
    grant(placed, placed.euros, ctx)
}

fn grant(placed: &OrderPlaced, points: u64, ctx: &mut Context) -> Result<(), HandlerError> {
    let (order, customer) = (placed.order, placed.customer);
    ctx.publish(PointsGranted { order, customer, points })?;
    Ok(())
}

/// Gives what version 1 has kept back.
fn repair(placed: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
    let missing = placed.euros - truncated(placed.euros);
    if missing > 0 {
        let (order, customer) = (placed.order, placed.customer);
        ctx.publish(PointsCorrected { order, customer, missing })?;
    }
    Ok(())
}

/// Orders with numbers from `first` on, of up to 999 euros.
fn trade(bus: &Bus, first: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let placed = |order| OrderPlaced { order, customer: order % 97, euros: (order * 7919) % 1000 };
    bus.publish_all((first..first + count).map(placed))?;
    Ok(())
}

/// What each order has brought, by the log, beside what it is to bring. True if nothing is wrong.
fn books(bus: &Bus) -> Result<bool, Box<dyn Error>> {
    let (mut due, mut got) = (BTreeMap::new(), BTreeMap::<u64, u64>::new());
    bus.history().of::<OrderPlaced>().each(|order, _| _ = due.insert(order.order, order.euros))?;
    bus.history()
        .of::<PointsGranted>()
        .each(|it, _| *got.entry(it.order).or_default() += it.points)?;
    let mut corrected = 0;
    bus.history().of::<PointsCorrected>().each(|it, _| {
        *got.entry(it.order).or_default() += it.missing;
        corrected += 1;
    })?;
    let wrong = due.iter().filter(|(order, points)| got.get(order) != Some(points)).count();
    println!("{} orders, {corrected} corrected, {wrong} of them WRONG", due.len());
    Ok(wrong == 0)
}

/// How it began: version 1 at work, until somebody complains.
fn first_day(bus: &Bus, orders: u64) -> Result<(), Box<dyn Error>> {
    let points = bus.subscribe("points").lanes(4).on(points_v1).start()?;
    trade(bus, 0, orders)?;
    if !bus.wait_idle(PATIENCE) || !points.stop(PATIENCE) {
        return Err("the shop does not come to rest".into());
    }
    Ok(())
}

/// What a mended handler would do otherwise, and what the repair would do; nothing of it is done.
fn look_first(bus: &Bus) -> Result<(), Box<dyn Error>> {
    let mut comparison = bus.replay("points-v2").on(points_v2).compare(|old| old.on(points_v1))?;
    let differences: Vec<_> = comparison.by_ref().collect::<Result<_, _>>()?;
    println!("version 2 differs in {} of {} orders", differences.len(), comparison.compared());
    if let Some(first) = differences.first() {
        println!("{first}");
    }
    let (mut corrections, mut failures) = (0, 0);
    for outcome in bus.replay(REPAIR).on(repair).dry_run()? {
        let outcome = outcome?;
        corrections += outcome.published.len();
        failures += usize::from(outcome.verdict != DryVerdict::WouldSucceed);
    }
    println!("the repair would publish {corrections} corrections, and fail {failures} times");
    Ok(())
}

fn run(options: &Options, data: &PathBuf) -> Result<bool, Box<dyn Error>> {
    let bus = Bus::open(data)?;
    let is_new = bus.history().of::<OrderPlaced>().into_iter().next().is_none();
    if is_new {
        first_day(&bus, options.orders)?;
        look_first(&bus)?;
    }
    // Version 1 has handled everything before; what comes from now on needs no repair.
    let end = bus.end();
    let (calls, dies_at) = (AtomicU64::new(0), options.crash.then_some(options.orders / 2));
    let replay = bus.replay(REPAIR).to(end).with(|it| it.lanes(4));
    let replay = replay
        .on(move |placed: &OrderPlaced, ctx: &mut Context| {
            if Some(calls.fetch_add(1, Ordering::Relaxed)) == dies_at {
                println!("the process dies in the middle of the repair");
                process::abort();
            }
            repair(placed, ctx)
        })
        .start()?;
    bus.subscribe("points").lanes(4).on(points_v2).start()?; // the shop goes on
    if is_new {
        trade(&bus, options.orders, options.orders / 10)?;
    }
    if !replay.wait(PATIENCE)? || !bus.wait_idle(PATIENCE) {
        return Err("the repair does not come to its end".into());
    }
    let is_right = books(&bus)?;
    bus.shutdown(PATIENCE)?;
    Ok(is_right)
}

struct Options {
    data: Option<PathBuf>,
    crash: bool,
    orders: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { data: None, crash: false, orders: 20_000 };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match &*argument {
            "--data" => options.data = Some(value()?.into()),
            "--orders" => {
                options.orders = value()?.parse().map_err(|_| "--orders needs a number")?;
            }
            "--crash" => options.crash = true,
            other => return Err(format!("{other} is unknown: --data DIR, --orders N, --crash")),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let temporary = tempfile::tempdir()?;
    let data = options.data.clone().unwrap_or_else(|| temporary.path().join("shop"));
    if !run(&options, &data)? {
        return Err("the books are WRONG".into());
    }
    println!("the books are right");
    Ok(())
}
