//! Dead letters whose event is corrected and published anew.

use tidings::{
    Backoff, Bus, Context, CorrelationId, DeadLetterError, Event, HandlerError, Headers, Message,
    OnDeadLetter, Subscription, testing::Fault,
};

use crate::{
    events::{Placed, SECOND, Seen, Shipped, placed, seen, simulated},
    store::Store,
};

/// Handles orders from 1 on; to it there is no order 0.
fn billing(bus: &Bus, handled: &Seen<u64>) -> Subscription {
    let handled = handled.clone();
    let handle = move |event: &Placed| match event.order {
        0 => Err(HandlerError::reject("there is no order 0")),
        _ => {
            handled.lock().push(event.step);
            Ok(())
        }
    };
    bus.subscribe("billing").retry(Backoff::never()).on(handle).start().unwrap()
}

fn correct(event: &mut Placed) {
    event.order = 7;
}

#[test]
fn the_corrected_event_is_a_new_one_and_names_the_old_one() {
    let (sim, bus) = simulated(1);
    let store = Store::new();
    let durable = (store.sim.clone(), store.open());
    for (sim, bus) in [(sim, bus), durable] {
        let (handled, others) = (seen(), seen());
        let billing = billing(&bus, &handled);
        let list = others.clone();
        let other = move |event: &Placed, ctx: &mut Context| {
            let header = |name| ctx.headers().get(name).map(str::to_owned);
            list.lock().push((
                (event.order, ctx.key().unwrap().to_string()),
                (ctx.causation_id(), ctx.correlation_id()),
                (header(Headers::EDITED_FROM), header("tenant"), ctx.headers().len()),
            ));
        };
        bus.subscribe("audit").on(other).start().unwrap();
        let message = Message::new(placed(0, 3)).header("tenant", "acme").correlation_id("req-1");
        let old = bus.publish(message.idempotency_key("once").expires_after(SECOND)).unwrap();
        sim.run_until_idle();
        let letters = bus.dead_letters("billing");
        let new = letters.edit_and_retry(old.position, correct).unwrap();
        assert_ne!(new.id, old.id);
        assert!(new.position > old.position);
        sim.run_until_idle();
        assert_eq!(*handled.lock(), [3]);
        let expected = (
            (7, placed(7, 0).key().unwrap().to_string()),
            (Some(old.id), CorrelationId::from("req-1")),
            (Some(old.position.get().to_string()), Some("acme".to_owned()), 2),
        );
        assert_eq!(others.lock()[1], expected, "other subscriptions get it as well");
        assert!(letters.list().unwrap().is_empty());
        assert_eq!((billing.ledger().discarded, billing.ledger().acknowledged), (1, 1));
        assert!(billing.ledger().is_balanced());
        let again = letters.edit_and_retry(old.position, correct);
        assert!(matches!(again, Err(DeadLetterError::NotFound { .. })));
    }
}

#[test]
fn a_letter_of_another_event_is_not_edited() {
    let (sim, bus) = simulated(1);
    let _billing = billing(&bus, &seen());
    let old = bus.publish(placed(0, 1)).unwrap();
    sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    let refused = letters.edit_and_retry(old.position, |_: &mut Shipped| panic!("not called"));
    let Err(error @ DeadLetterError::OtherEvent { .. }) = refused else { panic!("{refused:?}") };
    let text = "the dead letter at position 1 is an event `orders.placed`, not `orders.shipped`";
    assert_eq!(error.to_string(), text);
    assert_eq!(letters.list().unwrap().len(), 1);
}

#[test]
fn a_held_key_goes_on_with_its_next_letter() {
    let (sim, bus) = simulated(1);
    let handled = seen();
    let list = handled.clone();
    let handle = move |event: &Placed| match event.step {
        0 => Err(HandlerError::reject("no step 0")),
        step => {
            list.lock().push(step);
            Ok(())
        }
    };
    let billing = bus.subscribe("billing").on_dead_letter(OnDeadLetter::HoldKey).on(handle);
    let billing = billing.start().unwrap();
    let first = bus.publish_all((0..3).map(|step| placed(7, step))).unwrap()[0];
    sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    letters.edit_and_retry(first.position, |event: &mut Placed| event.step = 9).unwrap();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [1, 2, 9]);
    assert!(letters.list().unwrap().is_empty() && billing.ledger().is_balanced());
}

#[test]
fn the_effects_of_the_old_event_go_with_the_letter_whether_the_subscription_runs_or_not() {
    use tidings::storage::Storage;
    for runs in [true, false] {
        let store = Store::new();
        let bus = store.open();
        let charge = |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            ctx.once("charge", || Ok::<_, HandlerError>(event.order))?;
            Err(HandlerError::reject("not today"))
        };
        let billing = bus.subscribe("billing").on(charge).start().unwrap();
        let old = bus.publish(placed(0, 1)).unwrap();
        store.sim.run_until_idle();
        if !runs {
            billing.stop(SECOND);
        }
        bus.dead_letters("billing").edit_and_retry(old.position, correct).unwrap();
        store.kill(bus);
        assert!(store.storage().scan(b"effects", None, 10).unwrap().is_empty());
    }
}

/// Wherever the process ends, there is either the letter or the corrected event.
#[test]
fn either_the_letter_is_there_or_the_corrected_event() {
    let (mut edited, mut unedited) = (0, 0);
    for runs in [true, false] {
        for calls in 0..12 {
            let store = Store::new();
            let bus = store.open();
            let handled = seen();
            let subscription = billing(&bus, &handled);
            let old = bus.publish(placed(0, 3)).unwrap();
            store.sim.run_until_idle();
            if !runs {
                subscription.stop(SECOND);
            }
            store.disk.fail(Fault::at(calls).stop());
            let done = bus.dead_letters("billing").edit_and_retry(old.position, correct);
            store.kill(bus);
            store.disk.heal();

            let bus = store.open();
            let billing = billing(&bus, &handled);
            store.sim.run_until_idle();
            let letters = bus.dead_letters("billing").list().unwrap();
            let is_new_there = handled.lock().contains(&3);
            assert_ne!(letters.len() == 1, is_new_there, "after {calls} calls");
            assert!(done.is_err() || is_new_there);
            assert!(billing.ledger().is_balanced(), "{}", billing.ledger());
            *if is_new_there { &mut edited } else { &mut unedited } += 1;
        }
    }
    assert!(edited > 0 && unedited > 0, "{edited} and {unedited}");
}
