//! The examples `saga_orchestrated` and `saga_choreographed`, whose processes die, and what the docs show.

#[allow(dead_code, clippy::duplicate_mod)] // the shop is in both
#[path = "../../examples/saga_choreographed.rs"]
mod choreographed;
#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../../examples/saga_orchestrated.rs"]
mod orchestrated;

use tidings::{
    Bus, Event,
    saga::Saga,
    testing::{
        Faults,
        sim::{self, Run},
    },
};

/// An order that goes well, one whose payment is refused, and one whose article is out of stock.
const ORDERS: [u64; 3] = [0, 3, 7];

type Start = fn(&Bus) -> Result<(), Box<dyn std::error::Error>>;

fn shop<E: Event + Clone>(sim: &Run, orders: &[u64], start: Start, placed: fn(u64) -> E) {
    sim.process(move |builder| -> Result<Bus, String> {
        let bus = builder.build().map_err(|error| error.to_string())?;
        start(&bus).map_err(|error| error.to_string())?;
        Ok(bus)
    });
    for order in orders.iter().copied() {
        sim.deliver(placed(order));
    }
    sim.settle();
    let bus = sim.bus();
    for order in orders.iter().copied() {
        let past = bus.history().key(order).into_iter().map(Result::unwrap);
        let names: Vec<_> = past.map(|past| past.envelope().name.to_string()).collect();
        let count = |event: &str| names.iter().filter(|name| **name == *event).count();
        let (paid, shipped) = (count("payments.taken"), count("orders.shipped"));
        let (refunded, refused) = (count("payments.refunded"), count("payments.refused"));
        assert_eq!((shipped, paid + refused), (usize::from(order == 0), 1), "{order}: {names:?}");
        assert_eq!(refused, usize::from(order == 3), "order {order}: {names:?}");
        assert!(paid == shipped + refunded.min(1), "order {order}: {names:?}");
    }
}

fn orchestrated(sim: &Run, orders: &[u64]) {
    use orchestrated::fulfilment_shop::OrderPlaced;
    shop(sim, orders, orchestrated::start, |order| OrderPlaced { order });
}

fn choreographed(sim: &Run, orders: &[u64]) {
    use choreographed::fulfilment_shop::OrderPlaced;
    shop(sim, orders, choreographed::start, |order| OrderPlaced { order });
}

#[test]
fn g5_both_shops_ship_or_undo_whenever_the_process_dies() {
    for order in ORDERS {
        sim::exhaustive(move |sim| orchestrated(sim, &[order]));
        sim::exhaustive(move |sim| choreographed(sim, &[order]));
    }
}

#[test]
fn g5_both_shops_ship_or_undo_whatever_goes_wrong() {
    let faults = || Faults::none().kills(0.05).power_losses(0.05).duplicates(0.3).delays(0.5);
    sim::explore(1..=20, faults(), |sim| orchestrated(sim, &ORDERS));
    sim::explore(1..=20, faults(), |sim| choreographed(sim, &ORDERS));
}

#[test]
fn the_picture_in_the_docs_is_what_the_saga_is() {
    let drawn = orchestrated::Fulfilment::graph().to_mermaid();
    let docs = include_str!("../../docs/patterns.md");
    assert!(docs.contains(&format!("```mermaid\n{drawn}```")), "{drawn}");
}
