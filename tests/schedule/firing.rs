//! When a scheduled event is published, and as what.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidings::{
    Bus, Context, Durability, Error, HandlerError, Message, MessageId, PublishFailure, Timestamp,
    storage::FileStorage,
    testing::{Call, MemoryDisk, Simulator, TestBus},
};

use crate::events::{Due, HOUR, Joined, Seen, WEEK, in_hours, note, noting, on_both};

#[test]
fn it_comes_when_its_time_has_come_and_not_before() {
    on_both(|bus, sim, seen| {
        bus.schedule(in_hours(7, 2)).unwrap();
        sim.advance(HOUR + Duration::from_secs(3598));
        assert!(seen.lock().is_empty());
        sim.advance(Duration::from_secs(2));
        assert_eq!(*seen.lock(), [7]);
        sim.advance(WEEK);
        assert_eq!(*seen.lock(), [7]);
    });
}

#[test]
fn what_is_due_already_comes_at_once() {
    on_both(|bus, sim, seen| {
        bus.schedule(Message::new(Due { user: 7 }).deliver_at(Timestamp::UNIX_EPOCH)).unwrap();
        sim.advance(Duration::from_secs(1));
        assert_eq!(*seen.lock(), [7]);
    });
}

#[test]
fn they_come_in_the_order_of_their_times() {
    on_both(|bus, sim, seen| {
        for (user, hours) in [(1, 9), (2, 3), (3, 6), (4, 1), (5, 3)] {
            bus.schedule(in_hours(user, hours)).unwrap();
        }
        sim.advance(WEEK);
        let (mut seen, order) = (seen.lock().clone(), [4, 2, 5, 3, 1]);
        seen[1..3].sort_unstable(); // at one time
        assert_eq!(seen, order);
    });
}

#[test]
fn one_that_is_scheduled_later_may_be_due_earlier() {
    on_both(|bus, sim, seen| {
        bus.schedule(in_hours(1, 24)).unwrap();
        sim.advance(HOUR);
        bus.schedule(in_hours(2, 1)).unwrap();
        sim.advance(HOUR);
        assert_eq!(*seen.lock(), [2]);
    });
}

/// More than are published at once.
#[test]
fn many_that_are_due_together_all_come() {
    on_both(|bus, sim, seen| {
        for user in 0..1000 {
            bus.schedule(in_hours(user, 1)).unwrap();
        }
        sim.advance(HOUR);
        let mut seen = seen.lock().clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_due_while_the_disk_is_full_comes_when_there_is_room() {
    let (disk, sim, seen) = (MemoryDisk::new(), Simulator::new(1), Seen::default());
    let storage = FileStorage::builder("store").disk(disk.clone()).segment_bytes(64 << 10);
    let builder = Bus::builder().runtime(sim.runtime()).storage(storage.open().unwrap());
    let bus = builder.build().unwrap();
    note(&bus, &seen).unwrap();
    bus.schedule(in_hours(7, 1)).unwrap();
    let used = disk.files().iter().map(|path| disk.contents(path).unwrap().len() as u64).sum();
    disk.set_capacity(Some(used));
    while bus.publish(Joined { user: 1 }).is_ok() {}
    sim.advance(2 * HOUR);
    assert!(seen.lock().is_empty());
    assert_eq!(bus.scheduled().count(), 1);
    disk.set_capacity(None);
    sim.advance(HOUR);
    assert_eq!(*seen.lock(), [7]);
}

#[test]
fn what_it_is_to_survive_is_what_its_message_says() {
    let is_synced = |message: Message<Due>| {
        let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
        let storage = FileStorage::builder("store").disk(disk.clone()).open().unwrap();
        let builder = Bus::builder().runtime(sim.runtime()).storage(storage);
        let bus = builder.durability(Durability::Buffered).build().unwrap();
        bus.schedule(message.delay(HOUR)).unwrap();
        sim.advance(Duration::from_secs(3599));
        disk.record_trace();
        while bus.end().get() == 1 {
            assert!(sim.step());
        }
        matches!(disk.trace().last(), Some(Call::Sync(_)))
    };
    assert!(!is_synced(Message::new(Due { user: 7 })), "as the bus promises");
    assert!(is_synced(Message::new(Due { user: 7 }).durability(Durability::Synced)));
}

/// Id, key, conversation and headers are those of the message, and the time is the one it was
/// scheduled for.
#[test]
fn it_is_published_as_it_was_scheduled() {
    let contexts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&contexts);
    let bus = TestBus::start(move |builder| {
        let (bus, kept) = (builder.build()?, Arc::clone(&kept));
        bus.subscribe("notes")
            .on(move |_: &Due, ctx: &mut Context| {
                let header = ctx.headers().get("tenant").map(str::to_owned);
                let key = ctx.key().map(ToString::to_string);
                let conversation = ctx.correlation_id().to_string();
                kept.lock().push((ctx.id(), key, conversation, header, ctx.published_at()));
            })
            .start()?;
        Ok::<Bus, Error>(bus)
    })
    .unwrap();
    let message = Message::new(Due { user: 7 }).id(MessageId::from_bytes([7; 16]));
    let message = message.key("other").correlation_id("talk").header("tenant", "acme");
    let scheduled = bus.bus().schedule(message.delay(HOUR)).unwrap();
    assert_eq!(scheduled.id(), MessageId::from_bytes([7; 16]));
    bus.advance(HOUR);
    let expected = (
        scheduled.id(),
        Some("other".to_owned()),
        "talk".to_owned(),
        Some("acme".to_owned()),
        scheduled.due(),
    );
    assert_eq!(*contexts.lock(), [expected]);
}

/// It is committed with the acknowledgement, or not at all.
#[test]
fn a_handler_schedules_as_it_publishes() {
    on_both(|bus, sim, seen| {
        let attempts = Mutex::new(0);
        bus.subscribe("reminders")
            .on(move |joined: &Joined, ctx: &mut Context| {
                ctx.schedule(in_hours(joined.user, 1))?;
                *attempts.lock() += 1;
                if *attempts.lock() < 3 {
                    return Err(HandlerError::retry("not yet"));
                }
                Ok(())
            })
            .start()
            .unwrap();
        bus.publish(Joined { user: 7 }).unwrap();
        sim.advance(HOUR / 2);
        assert_eq!(bus.scheduled().count(), 1);
        sim.advance(HOUR);
        assert_eq!(*seen.lock(), [7]);
    });
}

/// The conversation is inherited, and the event that caused it is named.
#[test]
fn what_a_handler_schedules_belongs_to_the_conversation() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let bus = TestBus::start(move |builder| {
        let (bus, kept) = (builder.build()?, Arc::clone(&kept));
        bus.subscribe("reminders")
            .on(|joined: &Joined, ctx: &mut Context| {
                ctx.schedule(in_hours(joined.user, 1)).map(drop)
            })
            .on(move |_: &Due, ctx: &mut Context| {
                kept.lock().push((ctx.correlation_id().to_string(), ctx.causation_id()));
            })
            .start()?;
        Ok::<Bus, Error>(bus)
    })
    .unwrap();
    let cause = bus.publish(Message::new(Joined { user: 7 }).correlation_id("talk")).unwrap();
    bus.run_until_idle();
    bus.advance(HOUR);
    assert_eq!(*seen.lock(), [("talk".to_owned(), Some(cause.id))]);
}

/// What goes round with a pause does no harm, so it has no limit; without one it has.
#[test]
fn a_handler_may_schedule_its_own_event_for_ever() {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let bus = TestBus::start(move |builder| {
        let (bus, kept) = (builder.max_hops(5).build()?, Arc::clone(&kept));
        bus.subscribe("clockwork")
            .on(move |due: &Due, ctx: &mut Context| -> Result<(), HandlerError> {
                kept.lock().push(due.user);
                let pause = if due.user == 1 { HOUR } else { Duration::ZERO };
                ctx.schedule(Message::new(due.clone()).delay(pause))?;
                Ok(())
            })
            .start()?;
        Ok::<Bus, Error>(bus)
    })
    .unwrap();
    bus.publish(Due { user: 1 }).unwrap();
    bus.advance(100 * HOUR);
    assert!(seen.lock().len() >= 100, "{}", seen.lock().len());
    bus.publish(Due { user: 2 }).unwrap();
    bus.advance(HOUR);
    let hot = seen.lock().iter().filter(|user| **user == 2).count();
    assert!((5..=7).contains(&hot), "{hot}");
    assert_eq!(bus.bus().dead_letters("clockwork").list().unwrap().len(), 1);
}

/// Of two with one idempotency key, the second is not published.
#[test]
fn copies_are_known_when_they_are_due() {
    let seen = Seen::default();
    let bus = TestBus::start(noting(&seen)).unwrap();
    for hours in [1, 2] {
        let message = Message::new(Due { user: 7 }).idempotency_key("remind-7");
        bus.bus().schedule(message.delay(hours * HOUR)).unwrap();
    }
    bus.advance(3 * HOUR);
    assert_eq!((seen.lock().clone(), bus.bus().scheduled().count()), (vec![7], 0));
}

/// The event is handed back.
#[test]
fn what_cannot_be_published_cannot_be_scheduled() {
    on_both(|bus, _, _| {
        let message = Message::new(Due { user: 7 }).header("", "no name");
        let error = bus.schedule(message.delay(HOUR)).unwrap_err();
        assert!(matches!(error.failure(), PublishFailure::Header(_)), "{error}");
        assert_eq!(error.into_event(), Due { user: 7 });
        assert_eq!(bus.scheduled().count(), 0);
    });
}

#[test]
fn what_waits_is_listed_by_its_time() {
    on_both(|bus, _, _| {
        for user in (0..600).rev() {
            bus.schedule(in_hours(user, u32::try_from(user).unwrap() + 1)).unwrap();
        }
        let listed: Vec<_> = bus.scheduled().map(Result::unwrap).collect();
        let keys: Vec<_> = listed.iter().map(|one| one.key.clone().unwrap().to_string()).collect();
        assert_eq!(keys, (0..600).map(|user| user.to_string()).collect::<Vec<_>>());
        assert!(listed.iter().all(|one| &*one.name == "reminders.due"));
    });
}
