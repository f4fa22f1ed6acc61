//! What handlers would do with the past.

use tidings::{Context, DryVerdict, HandlerError, Message, Position, Start, SubscribeError};

use crate::store::{MINUTE, Mended, Placed, Store, place};

fn mend(placed: &Placed, ctx: &mut Context) -> Result<(), HandlerError> {
    match placed.order {
        1 => Err(HandlerError::reject("no such order")),
        2 => ctx.once("charge", || Ok::<(), HandlerError>(())),
        order => {
            let count = ctx.state().get::<u64>("count")?.unwrap_or(0) + 1;
            ctx.state().put("count", &count)?;
            ctx.publish(Mended { order })?;
            ctx.schedule(Message::new(Mended { order }).delay(MINUTE))?;
            Ok(())
        }
    }
}

#[test]
fn a_dry_run_shows_what_would_be_and_keeps_nothing() {
    let store = Store::new();
    let bus = store.open();
    place(&bus, &store.sim, [1, 2, 3, 3]);
    let end = bus.end();
    let outcomes: Vec<_> =
        bus.replay("mend").on(mend).dry_run().unwrap().map(Result::unwrap).collect();
    assert_eq!(outcomes.len(), 4);
    assert_eq!(outcomes[0].verdict, DryVerdict::WouldFail("no such order".into()));
    assert_eq!(outcomes[1].verdict, DryVerdict::ReachesEffect("charge".into()));
    assert_eq!(outcomes[2].verdict, DryVerdict::WouldSucceed);
    assert_eq!(outcomes[2].stored, [("count".to_owned(), Some("1".to_owned()))]);
    assert_eq!(outcomes[3].stored, [("count".to_owned(), Some("2".to_owned()))], "it adds up");
    let published = &outcomes[2].published;
    assert_eq!(published[0].to_string(), r#"orders.mended {"order":3}"#);
    assert_eq!((published.len(), published[1].due.is_some()), (2, true));
    assert_eq!((bus.end(), bus.scheduled().count()), (end, 0));
    assert!(bus.stored_subscriptions().unwrap().is_empty());

    // In earnest, under the same name.
    let replay = bus.replay("mend").on(mend).with(|it| it.lanes(2)).start().unwrap();
    assert!(replay.wait(MINUTE).unwrap());
    assert_eq!(bus.dead_letters("mend").list().unwrap().len(), 1);
}

#[test]
fn a_dry_run_is_of_the_part_that_is_chosen() {
    let store = Store::new();
    let bus = store.open();
    place(&bus, &store.sim, 0..40);
    let from = Start::Position(Position::new(5).unwrap());
    let replay = bus.replay("mend").from(from).to(Position::new(9).unwrap());
    let outcomes = replay.on(|_: &Placed| ()).dry_run().unwrap();
    let positions: Vec<_> = outcomes.map(|outcome| outcome.unwrap().position.get()).collect();
    assert_eq!(positions, [5, 6, 7, 8]);
    let of_key = bus.replay("mend").key(7).on(|_: &Placed| ()).dry_run().unwrap();
    let keys: Vec<_> = of_key.map(|outcome| outcome.unwrap().key.unwrap().to_string()).collect();
    assert_eq!(keys, ["7"]);
}

#[test]
fn two_versions_are_compared_and_their_differences_told() {
    let store = Store::new();
    let bus = store.open();
    place(&bus, &store.sim, 3..=22);
    let old = |placed: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        ctx.publish(Mended { order: placed.order })?;
        ctx.schedule(Message::new(Mended { order: 0 }).delay(MINUTE))?;
        Ok(())
    };
    let new = |placed: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        if placed.order != 7 {
            ctx.publish(Mended { order: placed.order.min(20) })?;
        }
        ctx.schedule(Message::new(Mended { order: 0 }).delay(MINUTE))?;
        Ok(())
    };
    let mut comparison = bus.replay("v2").on(new).compare(|other| other.on(old)).unwrap();
    let texts: Vec<_> = comparison.by_ref().map(|one| one.unwrap().to_string()).collect();
    assert_eq!((texts.len(), comparison.compared()), (3, 20));
    assert!(texts[0].starts_with("#5 orders.placed\n- publishes orders.mended {\"order\":7}"));
    assert!(texts[1].contains(r#"- publishes orders.mended {"order":21}"#), "{}", texts[1]);
    assert!(texts[1].contains(r#"+ publishes orders.mended {"order":20}"#), "{}", texts[1]);
}

/// Those that handle different events differ in each of them.
#[test]
fn an_event_that_one_of_them_does_not_handle_is_a_difference() {
    let store = Store::new();
    let bus = store.open();
    place(&bus, &store.sim, [1]);
    bus.publish(Mended { order: 2 }).unwrap();
    place(&bus, &store.sim, [3]);
    let both = bus.replay("v2").on(|_: &Placed| ()).on(|_: &Mended| ());
    let differences: Vec<_> =
        both.compare(|other| other.on(|_: &Placed| ())).unwrap().map(Result::unwrap).collect();
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].to_string(), "#2 orders.mended\n- not handled");
}

#[test]
fn what_is_only_started_in_a_lane_has_no_dry_run() {
    let store = Store::new();
    let bus = store.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let replay = bus.replay("v2").with(|it| it.on_async(|_: tidings::Delivery<Placed>| async {}));
    let error = replay.dry_run().unwrap_err();
    assert!(matches!(error, SubscribeError::Layer { .. }), "{error}");
}
