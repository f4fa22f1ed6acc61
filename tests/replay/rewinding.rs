//! Having a subscription go through events again.

use std::sync::Arc;

use tidings::{
    Backoff, Bus, Context, HandlerError, Lanes, Position, RewindError, Start, Subscription,
    Timestamp, idempotent,
};

use crate::store::{MINUTE, Placed, SECOND, Seen, Store, orders, place, replayed};

fn watch(bus: &Bus, lanes: impl Into<Lanes>, seen: &Seen) -> Subscription {
    let seen = Arc::clone(seen);
    let note = move |placed: &Placed, ctx: &mut Context| {
        seen.lock().push((placed.order, ctx.is_replay()));
    };
    bus.subscribe("view").lanes(lanes).on(note).start().unwrap()
}

fn at(position: u64) -> Start {
    Start::Position(Position::new(position).unwrap())
}

#[test]
fn what_comes_again_says_so_and_what_is_new_does_not() {
    for lanes in [1, 3] {
        let (store, seen) = (Store::new(), Seen::default());
        let bus = store.open();
        let view = watch(&bus, lanes, &seen);
        place(&bus, &store.sim, 1..=40);
        seen.lock().clear();
        let first = view.rewind(at(11), SECOND).unwrap();
        assert_eq!(first.get(), 11);
        place(&bus, &store.sim, 41..=43);
        let mut all = orders(&seen);
        all.sort_unstable();
        assert_eq!(all, (11..=43).collect::<Vec<_>>(), "{lanes} lanes");
        assert_eq!(replayed(&seen).iter().filter(|is_replay| **is_replay).count(), 30);
        assert!(seen.lock().iter().all(|(order, is_replay)| *is_replay == (*order <= 40)));
        assert!(view.ledger().is_balanced(), "{}", view.ledger());
        assert_eq!((view.ledger().acknowledged, view.lag()), (73, 0));
    }
}

/// The handle goes on being the one of the subscription, as does every clone of it.
#[test]
fn a_handle_outlives_the_rewind() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let view = watch(&bus, 2, &seen);
    let clone = view.clone();
    place(&bus, &store.sim, 1..=3);
    for _ in 0..3 {
        view.rewind(Start::Earliest, SECOND).unwrap();
        store.sim.advance(SECOND);
    }
    assert_eq!(seen.lock().len(), 12);
    clone.pause();
    place(&bus, &store.sim, [4]);
    assert_eq!(view.lag(), 1);
    view.resume();
    store.sim.advance(SECOND);
    assert!(clone.stop(SECOND));
    assert!(matches!(view.rewind(Start::Earliest, SECOND), Err(RewindError::Closed)));
    assert_eq!(bus.rewind("view", Start::Earliest).unwrap(), Position::FIRST);
    watch(&bus, 2, &seen);
    store.sim.advance(SECOND);
    assert_eq!(seen.lock().len(), 17);
}

#[test]
fn what_comes_again_says_so_in_the_next_process_too() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let view = watch(&bus, 2, &seen);
    place(&bus, &store.sim, 1..=40);
    view.pause();
    view.rewind(at(11), SECOND).unwrap();
    store.sim.crash();
    drop(bus);
    seen.lock().clear();
    let bus = store.open();
    watch(&bus, 2, &seen);
    place(&bus, &store.sim, [41]);
    assert_eq!(seen.lock().len(), 31);
    assert!(seen.lock().iter().all(|(order, is_replay)| *is_replay == (*order <= 40)));
}

#[test]
fn a_change_of_lanes_forgets_no_rewind() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let view = watch(&bus, Lanes::adaptive(1..=4), &seen);
    place(&bus, &store.sim, 1..=10);
    view.rewind(at(3), SECOND).unwrap();
    view.pause();
    view.ask_for_lanes(4);
    store.sim.advance(SECOND / 2);
    assert_eq!(view.status().lanes, 4);
    store.sim.crash();
    drop(bus);
    seen.lock().clear();
    let bus = store.open();
    watch(&bus, 4, &seen);
    place(&bus, &store.sim, [11]);
    assert_eq!(seen.lock().len(), 9);
    assert!(seen.lock().iter().all(|(order, is_replay)| *is_replay == (*order <= 10)));
}

#[test]
fn it_goes_back_and_never_ahead() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let view = watch(&bus, 1, &seen);
    view.pause();
    place(&bus, &store.sim, 1..=5);
    assert_eq!(view.rewind(Start::Latest, SECOND).unwrap(), Position::FIRST);
    store.sim.advance(SECOND);
    assert_eq!(orders(&seen), [1, 2, 3, 4, 5]);
}

#[test]
fn it_goes_back_to_a_time() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let view = watch(&bus, 1, &seen);
    place(&bus, &store.sim, 1..=3);
    let receipts = bus.history_time();
    place(&bus, &store.sim, 4..=6);
    seen.lock().clear();
    view.rewind(Start::Time(receipts), SECOND).unwrap();
    store.sim.advance(SECOND);
    assert_eq!(orders(&seen), [4, 5, 6]);
}

/// The time of the test's clock.
trait Now {
    fn history_time(&self) -> Timestamp;
}

impl Now for Bus {
    fn history_time(&self) -> Timestamp {
        let scheduled =
            self.schedule(tidings::Message::new(Placed { order: 0 }).delay(MINUTE * 60)).unwrap();
        self.cancel(&scheduled).unwrap();
        Timestamp::from_nanos(scheduled.due().as_nanos() - 3_600_000_000_000)
    }
}

/// It survives the process: what has not come again yet comes then.
#[test]
fn a_rewind_outlives_the_process() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    watch(&bus, 3, &seen);
    place(&bus, &store.sim, 1..=20);
    store.sim.crash();
    drop(bus);
    let bus = store.open();
    bus.rewind("view", at(6)).unwrap();
    store.sim.crash();
    drop(bus);
    seen.lock().clear();
    let bus = store.open();
    watch(&bus, 2, &seen);
    store.sim.advance(MINUTE);
    let mut all = orders(&seen);
    all.sort_unstable();
    assert_eq!(all, (6..=20).collect::<Vec<_>>());
    assert!(replayed(&seen).iter().all(|is_replay| *is_replay));
}

/// What waits for a retry before the position goes on waiting; dead letters from there on are tried
/// anew, and are none any more.
#[test]
fn what_is_open_stays_open_and_the_dead_are_tried_anew() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let kept = Arc::clone(&seen);
    let view = bus
        .subscribe("view")
        .retry(Backoff::constant(MINUTE * 10).max_attempts(100))
        .on(move |placed: &Placed, ctx: &mut Context| match placed.order {
            2 if ctx.attempt() < 3 => Err(HandlerError::retry("later")),
            4 | 1 if !ctx.is_replay() => Err(HandlerError::reject("never")),
            order => {
                kept.lock().push((order, ctx.is_replay()));
                Ok(())
            }
        })
        .start()
        .unwrap();
    place(&bus, &store.sim, 1..=5);
    assert_eq!(bus.dead_letters("view").list().unwrap().len(), 2);
    view.rewind(at(3), SECOND).unwrap();
    store.sim.advance(SECOND);
    assert_eq!(orders(&seen), [3, 5, 3, 4, 5]);
    let letters = bus.dead_letters("view").list().unwrap();
    assert_eq!(letters.iter().map(|it| it.position().get()).collect::<Vec<_>>(), [1]);
    store.sim.advance(MINUTE * 60);
    assert_eq!(orders(&seen), [3, 5, 3, 4, 5, 2]);
    let ledger = view.ledger();
    assert!(ledger.is_balanced(), "{ledger}");
    assert_eq!((ledger.dead, ledger.discarded), (1, 0));
}

/// It is the same event, not a copy of it.
#[test]
fn an_idempotent_handler_is_called_again() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let kept = Arc::clone(&seen);
    let note = move |placed: &Placed, ctx: &mut Context| {
        kept.lock().push((placed.order, ctx.is_replay()));
    };
    let view = bus.subscribe("view").on(idempotent(note)).start().unwrap();
    place(&bus, &store.sim, 1..=3);
    view.rewind(at(2), SECOND).unwrap();
    store.sim.advance(SECOND);
    assert_eq!(orders(&seen), [1, 2, 3, 2, 3]);
}

#[test]
fn g2_a_handler_may_have_nothing_to_do_with_replays() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let kept = Arc::clone(&seen);
    let note = move |placed: &Placed| kept.lock().push((placed.order, false));
    let mails = bus.subscribe("mails").on(note).skip_replays::<Placed>().start().unwrap();
    place(&bus, &store.sim, 1..=3);
    mails.rewind(Start::Earliest, SECOND).unwrap();
    place(&bus, &store.sim, [4]);
    assert_eq!(orders(&seen), [1, 2, 3, 4]);
    assert_eq!((mails.ledger().filtered, mails.ledger().acknowledged), (3, 4));
}

#[test]
fn what_leaves_nothing_behind_has_nowhere_to_go_back_to() {
    let store = Store::new();
    let bus = store.open();
    let fleeting = bus.subscribe("fleeting").ephemeral().on(|_: &Placed| ()).start().unwrap();
    let error = fleeting.rewind(Start::Earliest, SECOND).unwrap_err();
    assert!(matches!(error, RewindError::NotStored { .. }), "{error}");
    let error = bus.rewind("unknown", Start::Earliest).unwrap_err();
    assert!(matches!(error, RewindError::NotStored { .. }), "{error}");
    let pulled = bus.subscribe("pulled").stream::<Placed>().unwrap();
    let error = bus.rewind("pulled", Start::Earliest).unwrap_err();
    assert!(matches!(error, RewindError::Running { .. }), "{error}");
    drop(pulled);
}

/// The key of what is called outside is the same as the first time.
#[test]
fn g2_keys_for_the_outside_are_the_same() {
    let store = Store::new();
    let bus = store.open();
    let keys = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let kept = Arc::clone(&keys);
    let view = bus
        .subscribe("view")
        .on(move |_: &Placed, ctx: &mut Context| kept.lock().push(ctx.idempotency_key("charge")))
        .start()
        .unwrap();
    place(&bus, &store.sim, [1]);
    view.rewind(Start::Earliest, SECOND).unwrap();
    store.sim.advance(SECOND);
    let keys = keys.lock();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}
