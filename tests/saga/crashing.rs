//! Processes that die at any moment, messages that come twice, late and out of order: whatever happens, an
//! order is shipped, or everything is undone, and each event is sent once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidings::{
    Bus, BusBuilder, Context, Error, Event, HandlerError, Key, MessageId,
    testing::{
        Faults,
        sim::{self, Run},
    },
};

use crate::fulfilment::*;

/// Every message of the journal that anybody was told of, by its id.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<BTreeMap<MessageId, Entry>>>);

/// An event's name and key.
type Entry = (String, Option<Key>);

impl Journal {
    fn note<E: Event>(&self) -> impl Fn(&E, &mut Context) + use<E> {
        let journal = self.clone();
        move |_, ctx| {
            let entry = (ctx.event_name().to_owned(), ctx.key().cloned());
            journal.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ctx.id(), entry);
        }
    }

    fn count(&self, event: &str, order: u64) -> usize {
        let wanted = (event.to_owned(), Some(Key::from(order.to_string())));
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|entry| **entry == wanted).count()
    }
}

/// Somebody who does what the saga asks for, and says so.
fn answer<Q: Event, A: Event>(
    answer: impl Fn(&Q) -> A + Send + Sync + 'static,
) -> impl Fn(&Q, &mut Context) -> Result<(), HandlerError> + Send + Sync + 'static {
    move |asked, ctx| {
        ctx.publish(answer(asked))?;
        Ok(())
    }
}

/// Who answers is there; without payment and stock, whose answers come from elsewhere.
fn shop(builder: BusBuilder, journal: &Journal, is_full: bool) -> Result<Bus, Error> {
    let bus = builder.build()?;
    // Here processes die all the time, and no handler is to blame for that.
    bus.saga::<Fulfilment>().lanes(2).subscription(|saga| saga.max_crashes(1000)).start()?;
    let mut others = bus
        .subscribe("others")
        .max_crashes(1000)
        .on(answer(|ship: &ShipOrder| OrderShipped { order: ship.order }))
        .on(answer(|refund: &RefundPayment| PaymentRefunded { order: refund.order }));
    if is_full {
        others =
            others.on(answer(|take: &TakePayment| PaymentTaken { order: take.order })).on(stock);
    }
    others.start()?;
    bus.subscribe("journal")
        .max_crashes(1000)
        .on(journal.note::<TakePayment>())
        .on(journal.note::<RefundPayment>())
        .on(journal.note::<ReserveStock>())
        .on(journal.note::<ReleaseStock>())
        .on(journal.note::<ShipOrder>())
        .on(journal.note::<OrderShipped>())
        .start()?;
    Ok(bus)
}

/// What is ordered as number 1 is out of stock.
fn stock(reserve: &ReserveStock, ctx: &mut Context) -> Result<(), HandlerError> {
    match reserve.order {
        1 => ctx.publish(OutOfStock { order: 1 })?,
        order => ctx.publish(StockReserved { order })?,
    }
    Ok(())
}

/// An order that is over is shipped, or everything that may have happened is undone.
fn check(journal: &Journal, order: u64, sim: &Run) {
    let count = |event| journal.count(event, order);
    let (taken, refunded) = (count("payments.take"), count("payments.refund"));
    let (reserved, released) = (count("stock.reserve"), count("stock.release"));
    let shipped = count("orders.ship");
    assert_eq!(taken, 1, "order {order} is paid once");
    assert!(reserved <= 1 && released <= reserved, "order {order}: {reserved}, {released}");
    match shipped {
        1 => assert_eq!((reserved, refunded, released), (1, 0, 0), "order {order} is shipped"),
        0 => assert!(refunded >= 1 && reserved == released, "order {order} is undone"),
        more => panic!("order {order} is shipped {more} times"),
    }
    assert_eq!(count("orders.shipped"), shipped, "order {order}");
    let dead = sim.bus().dead_letters("fulfilment").list();
    assert!(dead.as_ref().is_ok_and(Vec::is_empty), "{dead:?}");
}

fn orders_go_through(sim: &Run) -> Journal {
    let journal = Journal::default();
    let noting = journal.clone();
    sim.process(move |builder| shop(builder, &noting, true));
    for order in 0..2 {
        sim.publish(OrderPlaced { order });
    }
    sim.settle();
    (0..2).for_each(|order| check(&journal, order, sim));
    journal
}

#[test]
fn g5_whenever_the_process_dies_an_order_is_shipped_or_undone_and_nothing_is_sent_twice() {
    let explored = sim::exhaustive(|sim| {
        let journal = orders_go_through(sim);
        assert_eq!(journal.count("orders.ship", 0), 1);
        assert_eq!(journal.count("payments.refund", 1), 1);
    });
    assert!(explored.crash_points > 100, "{explored}");
}

#[test]
fn g5_whatever_goes_wrong_an_order_is_shipped_or_undone() {
    let explored = sim::explore(1..=60, Faults::swarm(), |sim| {
        orders_go_through(sim);
    });
    assert_eq!(explored.runs, 60);
}

#[test]
fn g6_answers_may_come_in_any_order_and_more_than_once() {
    sim::explore(1..=60, Faults::none().duplicates(0.3).delays(0.7).kills(0.02), |sim| {
        let journal = Journal::default();
        let noting = journal.clone();
        sim.process(move |builder| shop(builder, &noting, false));
        for order in 0..3 {
            sim.deliver(StockReserved { order });
            sim.deliver(PaymentTaken { order });
            sim.deliver(OrderPlaced { order });
        }
        sim.settle();
        for order in 0..3 {
            check(&journal, order, sim);
            assert_eq!(journal.count("orders.ship", order), 1);
        }
    });
}
