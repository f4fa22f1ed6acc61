//! What was scheduled outlives the process, and comes once, whatever happens.

use std::{sync::Arc, time::Duration};

use tidings::{
    Backoff, Bus, Context, Error, Event, HandlerError, Message,
    storage::{Commit, MemoryStorage, Storage, Write},
    testing::{
        Simulator, TestBus,
        sim::{self, Faults, Run, Sim},
    },
};

use crate::events::{Due, HOUR, Joined, Seen, in_hours, note, noting};

#[test]
fn it_outlives_the_process() {
    let seen = Seen::default();
    let mut bus = TestBus::start(noting(&seen)).unwrap();
    bus.bus().schedule(in_hours(7, 2)).unwrap();
    bus.kill();
    bus.advance(HOUR);
    bus.restart();
    bus.advance(Duration::from_secs(3598));
    assert!(seen.lock().is_empty());
    bus.advance(Duration::from_secs(2));
    assert_eq!(*seen.lock(), [7]);
    bus.kill();
    bus.advance(HOUR);
    assert_eq!(*seen.lock(), [7]);
}

/// It comes to subscriptions that start later, to those whose handler the process that scheduled it
/// did not know, and from the log as from memory.
#[test]
fn a_process_that_does_not_know_the_event_publishes_it_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    bus.schedule(Message::new(Due { user: 7 }).delay(Duration::from_millis(50))).unwrap();
    bus.shutdown(Duration::from_secs(5)).unwrap();

    let bus = Bus::open(dir.path()).unwrap();
    while bus.scheduled().count() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    for name in ["in-memory", "from-the-log"] {
        let seen = Seen::default();
        let kept = Arc::clone(&seen);
        let bus = match name {
            "in-memory" => bus.clone(),
            _ => {
                bus.shutdown(Duration::from_secs(5)).unwrap();
                Bus::open(dir.path()).unwrap()
            }
        };
        bus.subscribe(name)
            .start_at(tidings::Start::Earliest)
            .on(move |due: &Due| kept.lock().push(due.user))
            .start()
            .unwrap();
        assert!(bus.wait_idle(Duration::from_secs(5)));
        assert_eq!(*seen.lock(), [7], "{name}");
    }
}

/// A user joins, and is to be reminded an hour later, unless the reminder is cancelled by a second event
/// half an hour after the first one.
fn reminders(sim: &Run) {
    let world = sim.clone();
    sim.process(move |builder| {
        let bus = builder.build()?;
        let patient = Backoff::constant(Duration::from_secs(1)).max_attempts(1000);
        bus.subscribe("reminders")
            .lanes(2)
            .retry(patient.clone())
            .max_crashes(1000)
            .on(|joined: &Joined, ctx: &mut Context| -> Result<(), HandlerError> {
                match ctx.state().get("reminder")? {
                    Some(reminder) => ctx.cancel(&reminder),
                    None => {
                        let scheduled = ctx.schedule(in_hours(joined.user, 1))?;
                        ctx.state().put("reminder", &scheduled)?;
                    }
                }
                Ok(())
            })
            .start()?;
        let world = world.clone();
        bus.subscribe("mails")
            .retry(patient)
            .max_crashes(1000)
            .on(move |due: &Due, ctx: &mut Context| -> Result<(), HandlerError> {
                let count = ctx.state().get::<u64>("mails")?.unwrap_or(0) + 1;
                ctx.state().put("mails", &count)?;
                ctx.publish(Mailed { user: due.user, count })?;
                world.note(format!("{} is reminded", due.user));
                Ok(())
            })
            .start()?;
        Ok::<Bus, Error>(bus)
    });
    for user in 0..4 {
        sim.publish(Joined { user });
    }
    sim.advance(HOUR / 2);
    for user in 2..4 {
        sim.publish(Joined { user });
    }
    sim.settle();
    let published: Vec<_> = sim.bus().scheduled().collect();
    assert!(published.is_empty(), "{published:?}");
    for user in 0..4 {
        let count = mails(sim, user);
        assert!(count <= 1, "{user} was reminded {count} times");
        if user < 2 {
            assert_eq!(count, 1, "{user} was not reminded");
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, Event)]
#[event(name = "mails.sent", key = "user")]
struct Mailed {
    user: u64,
    count: u64,
}

/// How many mails a user got, by the log.
fn mails(sim: &Run, user: u64) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let bus = sim.bus();
    let counting = bus
        .subscribe("audit")
        .ephemeral()
        .start_at(tidings::Start::Earliest)
        .on(move |mailed: &Mailed| {
            counted.fetch_add(u64::from(mailed.user == user), Ordering::Relaxed);
        })
        .start()
        .unwrap();
    sim.run_until_idle();
    counting.stop(Duration::from_secs(1));
    count.load(Ordering::Relaxed)
}

#[test]
fn a_reminder_comes_once_whatever_goes_wrong() {
    sim::explore(1..=400, Faults::swarm(), reminders);
}

#[test]
fn a_reminder_comes_once_wherever_the_process_dies() {
    sim::exhaustive(reminders);
}

#[test]
fn a_calm_run_reminds_those_who_did_not_cancel() {
    Sim::new(1).run(|sim| {
        reminders(sim);
        let counts: Vec<_> = (0..4).map(|user| mails(sim, user)).collect();
        assert_eq!(counts, [1, 1, 0, 0]);
    });
}

/// What does not decode is kept for whoever can tell what it was, and is in nobody's way.
#[test]
fn what_is_damaged_is_set_aside_and_the_rest_is_published() {
    let (sim, seen, storage) = (Simulator::new(1), Seen::default(), MemoryStorage::new());
    let open = |storage: &MemoryStorage| {
        Bus::builder().runtime(sim.runtime()).storage(storage.clone()).build().unwrap()
    };
    let bus = open(&storage);
    bus.schedule(in_hours(7, 2)).unwrap();
    bus.schedule(in_hours(8, 3)).unwrap();
    bus.shutdown(Duration::from_secs(1)).unwrap();

    let storage = storage.reopened();
    let (key, _) = storage.scan(b"scheduled\0", None, 1).unwrap().remove(0);
    let damage = vec![Write::put(key, b"no event".to_vec())];
    storage.commit(Commit { writes: damage, ..Commit::default() }).unwrap();
    let bus = open(&storage);
    note(&bus, &seen).unwrap();
    sim.advance(3 * HOUR);
    assert_eq!((&*seen.lock(), bus.scheduled().count()), (&vec![8], 0));
    let aside = storage.scan(b"scheduled-damaged\0", None, 10).unwrap();
    assert_eq!(aside.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), [b"no event"]);
}

/// More than is published at once: they come in portions.
#[test]
fn large_events_that_are_due_at_once_all_come() {
    let (sim, seen) = (Simulator::new(1), Seen::default());
    let bus = Bus::builder().runtime(sim.runtime()).storage(MemoryStorage::new()).build().unwrap();
    let kept = Arc::clone(&seen);
    let note = move |letter: &Letter| kept.lock().push(letter.number);
    bus.subscribe("letters").on(note).start().unwrap();
    for number in 0..6 {
        let text = "x".repeat(3 << 20);
        bus.schedule(Message::new(Letter { number, text }).delay(HOUR)).unwrap();
    }
    sim.advance(HOUR);
    sim.run_until_idle();
    let mut numbers = seen.lock().clone();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

#[derive(Debug, serde::Serialize, serde::Deserialize, Event)]
#[event(name = "letters")]
struct Letter {
    number: u64,
    text: String,
}
