//! What was published, by whom it may be, and what was stored.

use tidings::{Key, Message};

use crate::shop::{OrderPlaced, PaymentTaken, order, shop};

#[test]
fn nothing_happens_before_the_bus_runs() {
    let bus = shop();
    bus.publish(order(1)).unwrap();
    bus.assert_published_times::<OrderPlaced>(1);
    bus.assert_nothing_published::<PaymentTaken>();
    assert!(bus.handler_calls("billing").is_empty());

    bus.run_until_idle();
    bus.assert_published::<PaymentTaken>(|taken| taken.order == 1);
}

#[test]
fn everything_published_is_there_in_the_order_of_the_journal_with_its_envelope() {
    let bus = shop();
    for n in 1..=3 {
        bus.publish(Message::new(order(n)).header("tenant", "acme")).unwrap();
        bus.run_until_idle();
    }
    let orders: Vec<_> = bus.published::<OrderPlaced>();
    assert_eq!(orders, [order(1), order(2), order(3)]);

    let payments = bus.published_messages::<PaymentTaken>();
    assert_eq!(payments.iter().map(|one| one.position.get()).collect::<Vec<_>>(), [2, 4, 6]);
    let cause = &bus.published_messages::<OrderPlaced>()[0].envelope;
    assert_eq!(payments[0].envelope.causation, Some(cause.id));
    assert_eq!(cause.headers.get("tenant"), Some("acme"));
}

#[test]
fn what_a_failed_handler_wanted_to_publish_is_not_there() {
    let bus = shop();
    bus.publish(OrderPlaced { cents: 0, ..order(1) }).unwrap();
    bus.run_until_idle();
    bus.assert_nothing_published::<PaymentTaken>();
    assert_eq!(bus.dead_letters("billing").list().unwrap().len(), 1);
}

#[test]
fn state_is_as_of_the_last_commit_and_by_key() {
    let bus = shop();
    assert_eq!(bus.state::<u64>("billing", 11_u64, "count"), None);
    for n in [1, 4, 2] {
        bus.publish(order(n)).unwrap();
    }
    bus.run_until_idle();
    assert_eq!(bus.state("billing", 11_u64, "count"), Some(2_u64));
    assert_eq!(bus.state("billing", 12_u64, "count"), Some(1_u64));
    assert_eq!(bus.state::<u64>("billing", None::<Key>, "count"), None);
}
