//! What a retry of dead letters would come to.

use std::io;

use tidings::{
    Backoff, Bus, Context, DeadLetterError, DryVerdict, HandlerError, Letters, SubscriptionBuilder,
};

use crate::{
    events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated},
    store::Store,
};

fn billing(bus: &Bus) -> SubscriptionBuilder {
    bus.subscribe("billing").retry(Backoff::never())
}

fn verdicts(bus: &Bus) -> Vec<DryVerdict> {
    let dry_run = bus.dead_letters("billing").dry_run(&Letters::all()).unwrap();
    dry_run.verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

#[test]
fn it_says_what_would_come_of_each_letter_and_keeps_nothing() {
    let (sim, bus) = simulated(1);
    let store = Store::new();
    let durable = (store.sim.clone(), store.open());
    for (sim, bus) in [(sim, bus), durable] {
        let sums = seen();
        let list = sums.clone();
        let handle = move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            let sum: u64 = ctx.state().get("sum")?.unwrap_or_default();
            ctx.state().put("sum", &(sum + 1))?;
            ctx.publish(Shipped { order: event.order }).map_err(HandlerError::retry)?;
            assert_eq!(ctx.is_dry_run(), ctx.attempt() == 2);
            match event.step {
                1 => panic!("a bug"),
                0 if ctx.attempt() == 2 => {
                    list.lock().push(sum);
                    Ok(())
                }
                _ => Err(HandlerError::reject("not so")),
            }
        };
        let billing = billing(&bus).on(handle).start().unwrap();
        let shipped = bus.subscribe("shipping").on(|_: &Shipped| ()).start().unwrap();
        bus.publish_all([placed(7, 0), placed(7, 0), placed(7, 1)]).unwrap();
        sim.run_until_idle();
        let before = format!("{:?}", bus.dead_letters("billing").list().unwrap());
        let panicked = DryVerdict::WouldFail("the handler panicked: a bug".into());
        let expected = [DryVerdict::WouldSucceed, DryVerdict::WouldSucceed, panicked];
        assert_eq!(verdicts(&bus), expected);
        let dry_run = bus.dead_letters("billing").dry_run(&Letters::all()).unwrap();
        assert_eq!(dry_run.to_string(), "2 of 3 would now succeed");
        assert_eq!((dry_run.would_succeed(), dry_run.would_fail()), (2, 1));
        let few = bus.dead_letters("billing").dry_run(&Letters::all().at_most(1)).unwrap();
        assert_eq!(few.to_string(), "1 of 1 would now succeed");
        sim.run_until_idle();
        assert_eq!(*sums.lock(), [0; 5], "none saw what another one had stored");
        assert_eq!(format!("{:?}", bus.dead_letters("billing").list().unwrap()), before);
        assert_eq!((shipped.status().handled, billing.status().handled), (0, 0));
        assert!(billing.ledger().is_balanced());
    }
}

#[test]
fn an_effect_is_not_done_and_the_result_of_one_that_was_is_given_back() {
    let store = Store::new();
    let bus = store.open();
    let charges = seen();
    let done = charges.clone();
    let handle = move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        if event.step == 0 && !ctx.is_dry_run() {
            return Err(HandlerError::reject("before it"));
        }
        let charge = ctx.once("charge", || {
            done.lock().push(event.order);
            Ok::<_, io::Error>(event.order)
        });
        match charge {
            Ok(_) if ctx.is_dry_run() => Ok(()),
            Ok(_) => Err(HandlerError::reject("after it")),
            Err(_) => Ok(()), // it makes nothing of it
        }
    };
    let _billing = billing(&bus).on(handle).start().unwrap();
    bus.publish_all([placed(1, 0), placed(2, 1)]).unwrap();
    store.sim.run_until_idle();
    let charge = DryVerdict::ReachesEffect("charge".into());
    assert_eq!(verdicts(&bus), [charge, DryVerdict::WouldSucceed]);
    assert_eq!(*charges.lock(), [2]);
    let dry_run = bus.dead_letters("billing").dry_run(&Letters::all()).unwrap();
    assert_eq!(dry_run.to_string(), "1 of 2 would now succeed, 1 reaches an effect outside");
    assert_eq!((dry_run.would_fail(), dry_run.reach_effects()), (0, 1));
}

#[test]
fn handlers_that_were_not_given_with_on_are_refused_before_any_is_called() {
    let (sim, bus) = simulated(1);
    let calls = seen();
    let called = calls.clone();
    let handle = move |tick: &Tick| -> Result<(), HandlerError> {
        called.lock().push(tick.0);
        Err(HandlerError::reject("no"))
    };
    let reject = |_: &Placed| -> Result<(), HandlerError> { Err(HandlerError::reject("no")) };
    let _billing = billing(&bus).on(handle).on_inline(reject).start().unwrap();
    bus.publish(Tick(1)).unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    assert_eq!(letters.list().unwrap().len(), 2);
    let refused = letters.dry_run(&Letters::all());
    let Err(error @ DeadLetterError::NoDryRun { .. }) = refused else { panic!("{refused:?}") };
    let text =
        "`billing` has a handler for `orders.placed` that was not given with `on`: no dry run";
    assert_eq!((error.to_string().as_str(), calls.lock().len()), (text, 1));
    let ticks = letters.dry_run(&Letters::all().event("ticks")).unwrap();
    assert_eq!(ticks.to_string(), "0 of 1 would now succeed");

    let mut pulled = bus.subscribe("pulled").retry(Backoff::never()).stream::<Tick>().unwrap();
    bus.publish(Tick(2)).unwrap();
    pulled.next_within(SECOND).unwrap().reject("no");
    sim.run_until_idle();
    let refused = bus.dead_letters("pulled").dry_run(&Letters::all());
    assert!(matches!(refused, Err(DeadLetterError::NoDryRun { .. })));
}
