//! Replays beside live traffic.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidings::{
    Bus, Context, HandlerError, Position, ReplayBuilder, Speed, Start, SubscribeError,
    storage::MemoryStorage,
};

use crate::store::{MINUTE, Mended, Placed, SECOND, Seen, Store, orders, place, replayed};

fn noting(replay: ReplayBuilder, seen: &Seen) -> ReplayBuilder {
    let seen = Arc::clone(seen);
    replay.on(move |placed: &Placed, ctx: &mut Context| {
        seen.lock().push((placed.order, ctx.is_replay()));
    })
}

#[test]
fn it_goes_through_what_there_was_when_it_began_and_no_further() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    place(&bus, &store.sim, 1..=30);
    let replay = noting(bus.replay("again"), &seen).start().unwrap();
    bus.publish(Placed { order: 31 }).unwrap();
    assert!(replay.wait(MINUTE).unwrap());
    place(&bus, &store.sim, [32]);
    assert_eq!(orders(&seen), (1..=30).collect::<Vec<_>>());
    assert!(replayed(&seen).iter().all(|is_replay| *is_replay));
    assert!(replay.is_over() && replay.position() == replay.end());
}

/// Its own cursor: that of the live subscription stays where it is.
#[test]
fn g1_live_traffic_goes_on_beside_it() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    let live = Seen::default();
    let kept = Arc::clone(&live);
    let billing = bus
        .subscribe("billing")
        .on(move |placed: &Placed, ctx: &mut Context| {
            kept.lock().push((placed.order, ctx.is_replay()));
        })
        .start()
        .unwrap();
    place(&bus, &store.sim, 1..=30);
    let slow = noting(bus.replay("again"), &seen).speed(Speed::PerSecond(1)).start().unwrap();
    place(&bus, &store.sim, 31..=35);
    assert_eq!((orders(&live), billing.lag()), ((1..=35).collect::<Vec<_>>(), 0));
    assert!(seen.lock().len() < 10);
    assert!(slow.wait(MINUTE).unwrap());
    assert_eq!(seen.lock().len(), 30);
    assert!(live.lock().iter().all(|(_, is_replay)| !is_replay));
}

#[test]
fn a_part_of_the_past_is_chosen_by_position_and_by_key() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    place(&bus, &store.sim, (0..40).map(|order| order % 4));
    let end = Position::new(31).unwrap();
    let from = Start::Position(Position::new(11).unwrap());
    let replay = noting(bus.replay("part").from(from).to(end).key(3), &seen).start().unwrap();
    assert!(replay.wait(MINUTE).unwrap());
    assert_eq!(orders(&seen), [3; 5]);
    assert_eq!(replay.end(), end);
}

/// It goes on where it stopped, to the end that it had when it began.
#[test]
fn it_goes_on_after_a_restart() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    place(&bus, &store.sim, 1..=30);
    let slowly =
        |bus: &Bus| noting(bus.replay("again"), &seen).speed(Speed::PerSecond(1)).start().unwrap();
    let replay = slowly(&bus);
    assert!(!replay.wait(5 * SECOND).unwrap());
    store.sim.crash();
    drop((bus, replay));
    let bus = store.open();
    place(&bus, &store.sim, 31..=33);
    let replay = slowly(&bus);
    assert!(replay.wait(MINUTE).unwrap());
    let mut all = orders(&seen);
    all.dedup();
    assert_eq!(all, (1..=30).collect::<Vec<_>>());
    drop((bus, replay));

    // It is over, and stays so.
    let bus = store.open();
    let replay = slowly(&bus);
    assert!(replay.is_over() && replay.subscription().is_none());
    assert!(replay.wait(Duration::ZERO).unwrap());
    assert_eq!(seen.lock().len(), all.len());
}

/// What its handlers publish and store is done once.
#[test]
fn a_repair_is_done_in_earnest() {
    let store = Store::new();
    let bus = store.open();
    place(&bus, &store.sim, 1..=30);
    let mend = |placed: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        if placed.order.is_multiple_of(10) {
            ctx.publish(Mended { order: placed.order })?;
        }
        Ok(())
    };
    let replay = bus.replay("mend").with(|it| it.lanes(3)).on(mend).start().unwrap();
    assert!(replay.wait(MINUTE).unwrap());
    let mended = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&mended);
    let note = move |mended: &Mended| kept.lock().push(mended.order);
    bus.subscribe("mended").on(note).start().unwrap();
    store.sim.advance(SECOND);
    let mut mended = mended.lock().clone();
    mended.sort_unstable();
    assert_eq!(mended, [10, 20, 30]);
}

/// As far from each other as they were published, divided by a number.
#[test]
fn it_goes_as_fast_as_it_was_or_so_many_times_as_fast() {
    for times in [1_u32, 10] {
        let (store, times_seen) = (Store::new(), Arc::new(Mutex::new(Vec::new())));
        let bus = store.open();
        place(&bus, &store.sim, 1..=20);
        let (kept, began, sim) = (Arc::clone(&times_seen), store.sim.elapsed(), store.sim.clone());
        let replay = bus
            .replay("again")
            .speed(Speed::Times(f64::from(times)))
            .on(move |_: &Placed| kept.lock().push(sim.elapsed()))
            .start()
            .unwrap();
        assert!(replay.wait(MINUTE).unwrap());
        for (second, seen) in (0..).zip(times_seen.lock().iter()) {
            let due = began + SECOND * second / times;
            assert!(seen.abs_diff(due) < SECOND / 5, "{second}: {seen:?} instead of {due:?}");
        }
    }
}

/// The namespace of what is done outside is chosen.
#[test]
fn g2_effects_are_those_of_a_subscription_or_its_own() {
    let store = Store::new();
    let bus = store.open();
    place(&bus, &store.sim, [1]);
    let keys = Arc::new(Mutex::new(Vec::new()));
    let noting = |kept: &Arc<Mutex<Vec<String>>>| {
        let kept = Arc::clone(kept);
        move |_: &Placed, ctx: &mut Context| kept.lock().push(ctx.idempotency_key("charge"))
    };
    bus.subscribe("billing").on(noting(&keys)).start().unwrap();
    store.sim.advance(SECOND);
    for replay in [bus.replay("same").effects_of("billing"), bus.replay("fresh")] {
        assert!(replay.on(noting(&keys)).start().unwrap().wait(MINUTE).unwrap());
    }
    let keys = keys.lock();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
}

/// The log need not keep anything for it once it is over.
#[test]
fn a_replay_that_is_over_holds_nothing_up() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    place(&bus, &store.sim, 1..=5);
    assert!(noting(bus.replay("again"), &seen).start().unwrap().wait(MINUTE).unwrap());
    let stored = bus.stored_subscriptions().unwrap();
    assert!(stored.iter().all(|one| one.lanes.is_empty()), "{stored:?}");
}

#[test]
fn a_name_is_a_subscription_or_a_replay() {
    let (store, seen) = (Store::new(), Seen::default());
    let bus = store.open();
    place(&bus, &store.sim, [1]);
    let live = bus.subscribe("live").on(|_: &Placed| ()).start().unwrap();
    live.stop(SECOND);
    let error = noting(bus.replay("live"), &seen).start().unwrap_err();
    assert!(matches!(error, SubscribeError::NoReplay { .. }), "{error}");
    assert!(noting(bus.replay("again"), &seen).start().unwrap().wait(MINUTE).unwrap());
    let error = bus.subscribe("again").on(|_: &Placed| ()).start().unwrap_err();
    assert!(matches!(error, SubscribeError::Replay { .. }), "{error}");
    bus.subscribe("live").on(|_: &Placed| ()).start().unwrap();
    let volatile = Bus::volatile();
    let error = noting(volatile.replay("again"), &seen).start().unwrap_err();
    assert!(matches!(error, SubscribeError::NoPast { .. }), "{error}");
}

#[test]
fn the_past_of_an_empty_bus_is_over_at_once() {
    let bus = Bus::builder().storage(MemoryStorage::new()).build().unwrap();
    let replay = bus.replay("nothing").on(|_: &Placed| ()).start().unwrap();
    assert!(replay.wait(SECOND).unwrap());
}
