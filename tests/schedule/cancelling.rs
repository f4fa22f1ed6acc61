//! Taking back what was scheduled.

use std::{sync::Arc, time::Duration};

use tidings::{Bus, Context, Error, HandlerError, testing::TestBus};

use crate::events::{Due, HOUR, Joined, Seen, WEEK, in_hours, noting, on_both};

#[test]
fn what_is_cancelled_does_not_come() {
    on_both(|bus, sim, seen| {
        let scheduled = bus.schedule(in_hours(7, 1)).unwrap();
        bus.schedule(in_hours(8, 1)).unwrap();
        assert!(bus.cancel(&scheduled).unwrap());
        assert!(!bus.cancel(&scheduled).unwrap(), "only once");
        sim.advance(WEEK);
        assert_eq!(*seen.lock(), [8]);
    });
}

#[test]
fn what_has_come_cannot_be_cancelled() {
    on_both(|bus, sim, seen| {
        let scheduled = bus.schedule(in_hours(7, 1)).unwrap();
        sim.advance(HOUR);
        assert!(!bus.cancel(&scheduled).unwrap());
        assert_eq!(*seen.lock(), [7]);
    });
}

/// A handler that remembers what it has scheduled takes it back with its acknowledgement.
#[test]
fn a_handler_cancels_what_another_has_scheduled() {
    on_both(|bus, sim, seen| {
        let joined = Arc::clone(seen);
        bus.subscribe("reminders")
            .on(move |event: &Joined, ctx: &mut Context| -> Result<(), HandlerError> {
                if let Some(earlier) = ctx.state().get("reminder")? {
                    ctx.cancel(&earlier);
                }
                let scheduled = ctx.schedule(in_hours(event.user, 2))?;
                ctx.state().put("reminder", &scheduled)?;
                joined.lock().push(0);
                Ok(())
            })
            .start()
            .unwrap();
        for _ in 0..3 {
            bus.publish(Joined { user: 7 }).unwrap();
            sim.advance(HOUR);
        }
        sim.advance(WEEK);
        assert_eq!(*seen.lock(), [0, 0, 0, 7]);
    });
}

/// What a failed attempt has cancelled still comes.
#[test]
fn an_attempt_that_fails_cancels_nothing() {
    let seen = Seen::default();
    let start = noting(&seen);
    let bus = TestBus::start(move |builder| {
        let bus = start(builder)?;
        bus.subscribe("reminders")
            .on(|joined: &Joined, ctx: &mut Context| -> Result<(), HandlerError> {
                let scheduled = ctx.state().get("reminder")?;
                match scheduled {
                    None => {
                        let scheduled = ctx.schedule(in_hours(joined.user, 2))?;
                        ctx.state().put("reminder", &scheduled)?;
                        Ok(())
                    }
                    Some(scheduled) => {
                        ctx.cancel(&scheduled);
                        Err(HandlerError::reject("no"))
                    }
                }
            })
            .start()?;
        Ok::<Bus, Error>(bus)
    })
    .unwrap();
    bus.publish(Joined { user: 7 }).unwrap();
    bus.publish(Joined { user: 7 }).unwrap();
    bus.advance(WEEK);
    assert_eq!(*seen.lock(), [7]);
}

/// At the very moment: it is published or cancelled, never both, never neither.
#[test]
fn an_event_is_either_published_or_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let (bus, seen) = (Bus::open(dir.path()).unwrap(), Seen::default());
    let kept = Arc::clone(&seen);
    bus.subscribe("notes").on(move |due: &Due| kept.lock().push(due.user)).start().unwrap();
    let mut cancelled = Vec::new();
    for user in 0..300 {
        let delay = Duration::from_micros(user * 7);
        let scheduled = bus.schedule(tidings::Message::new(Due { user }).delay(delay)).unwrap();
        if bus.cancel(&scheduled).unwrap() {
            cancelled.push(user);
        }
    }
    assert!(bus.wait_idle(Duration::from_secs(10)));
    while bus.scheduled().count() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(bus.wait_idle(Duration::from_secs(10)));
    let mut all = [seen.lock().clone(), cancelled].concat();
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    bus.shutdown(Duration::from_secs(5)).unwrap();
}
