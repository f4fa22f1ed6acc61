//! Each kind of fault does what it says.

use std::time::Duration;

use tidings::{
    Backoff, Bus, BusBuilder, Context, Delivery, HandlerError, Message,
    testing::{
        Faults, Sim,
        sim::{self, Passed, Run},
    },
};

use crate::shop::{Charging, Placed, place_three, three_orders};

const SECOND: Duration = Duration::from_secs(1);

/// What a handler sees, written down as effects.
fn log(sim: &Run) -> impl Fn(BusBuilder) -> Result<Bus, tidings::Error> + Send + Sync + use<> {
    let world = sim.clone();
    move |bus| {
        let (bus, world) = (bus.build()?, world.clone());
        bus.subscribe("log")
            .retry(Backoff::constant(SECOND))
            .on(move |placed: &Placed, ctx: &mut Context| {
                world.effect(format!("{} attempt {}", placed.order, ctx.attempt()));
            })
            .start()?;
        Ok(bus)
    }
}

fn shop_with(faults: Faults) -> Passed {
    Sim::new(1).faults(faults).run(three_orders(Charging::WithKey))
}

fn struck(passed: &Passed, what: &str) -> usize {
    passed.faults.iter().filter(|fault| fault.starts_with(what)).count()
}

#[test]
fn without_faults_nothing_goes_wrong() {
    let passed = shop_with(Faults::none());
    assert_eq!(passed.faults, [""; 0]);
    assert!(!passed.story.contains('!'), "{}", passed.story);
}

#[test]
fn processes_are_killed_and_start_anew() {
    let passed = shop_with(Faults::none().kills(0.2));
    let killed = struck(&passed, "the process is killed");
    assert!(killed > 3, "{:?}", passed.faults);
    let started = passed.story.matches(" starts\n").count();
    assert_eq!(started, killed + 1, "{}", passed.story);
}

#[test]
fn power_is_lost_and_what_was_acknowledged_is_there() {
    let passed = shop_with(Faults::none().power_losses(0.2));
    assert!(struck(&passed, "the power fails") > 3, "{:?}", passed.faults);
}

#[test]
fn however_often_processes_end_no_event_is_taken_for_what_ends_them() {
    let faults = Faults::none().kills(0.3).power_losses(0.3).most(40);
    sim::explore(1..=300, faults, |sim| {
        three_orders(Charging::WithKey)(sim);
        let letters = sim.bus().dead_letters("billing").list().unwrap();
        assert!(letters.is_empty(), "{letters:?}");
    });
}

#[test]
fn disks_fail_and_the_process_starts_anew() {
    let passed = shop_with(Faults::none().disk_failures(0.2));
    assert!(struck(&passed, "the disk fails") > 1, "{:?}", passed.faults);
    assert!(passed.story.contains("because its disk has failed"), "{}", passed.story);
}

#[test]
fn handlers_fail_twice_at_most_for_one_event() {
    let passed = Sim::new(1).faults(Faults::none().handler_failures(1.0)).run(|sim| {
        sim.process(log(sim));
        sim.publish(Placed { order: 7 });
        sim.settle();
        assert!(sim.elapsed() >= 2 * SECOND, "each time a second later");
        sim.publish(Placed { order: 8 });
        sim.run_until_idle();
        assert_eq!(sim.effects(), ["7 attempt 3", "8 attempt 1"], "nothing fails after `settle`");
    });
    assert_eq!(struck(&passed, "the handler fails"), 2);
}

#[test]
fn a_script_has_the_first_attempts_fail() {
    Sim::new(1).faults(Faults::none().failing("log", 3)).run(|sim| {
        sim.process(log(sim));
        sim.publish(Placed { order: 7 });
        sim.publish(Placed { order: 8 });
        sim.run_until_idle();
        assert_eq!(sim.effects(), ["7 attempt 4", "8 attempt 4"]);
    });
}

#[test]
fn acknowledgements_are_lost_and_the_handler_is_called_again() {
    Sim::new(1).faults(Faults::none().lost_acknowledgements(1.0)).run(|sim| {
        sim.process(log(sim));
        sim.publish(Placed { order: 7 });
        sim.run_until_idle();
        assert_eq!(sim.effects(), ["7 attempt 1", "7 attempt 2", "7 attempt 3"]);
    });
}

#[test]
fn a_process_dies_at_the_moment_that_is_asked_for() {
    let moments = sim::exhaustive(|sim| place_three(Charging::WithKey, sim)).crash_points;
    assert!(moments > 100);
    for moment in [0, 5, 11] {
        let passed = shop_with(Faults::none().kill_at(moment).power_loss_at(moment + 8));
        let expected = [
            format!("the process is killed (k{moment})"),
            format!("the power fails (p{})", moment + 8),
        ];
        assert_eq!(passed.faults, expected);
    }
}

#[test]
fn messages_from_outside_come_twice_late_and_out_of_order() {
    let passed = Sim::new(1).faults(Faults::none().duplicates(0.3).delays(0.5)).run(|sim| {
        sim.process(log(sim));
        (0..20).for_each(|order| sim.deliver(Placed { order }));
        sim.run_until_idle();
        let effects = sim.effects();
        assert!(effects.len() > 20, "some came twice");
        let in_order = (0..20).map(|order| format!("{order} attempt 1"));
        assert!(in_order.clone().all(|effect| effects.contains(&effect)), "none was lost");
        let first: Vec<_> = in_order.collect();
        assert_ne!(effects[..20], first[..], "some overtook others");
        assert!(sim.elapsed() > SECOND && sim.elapsed() < 20 * SECOND);
    });
    assert!(struck(&passed, "a message arrives twice") > 0);
    assert!(struck(&passed, "a message arrives late") > 0);
}

#[test]
fn what_a_publisher_names_once_is_published_once_however_often_it_comes() {
    Sim::new(1).faults(Faults::none().duplicates(1.0).kills(0.1)).run(|sim| {
        let world = sim.clone();
        sim.process(move |bus| -> Result<_, tidings::Error> {
            let (bus, world) = (bus.build()?, world.clone());
            let seen = move |placed: &Placed| world.note(format!("order {}", placed.order));
            bus.subscribe("log").on(seen).start()?;
            Ok(bus)
        });
        for order in 0..5 {
            sim.deliver(Message::new(Placed { order }).idempotency_key(format!("order {order}")));
        }
        sim.settle();
        assert_eq!(sim.bus().end().get(), 6);
    });
}

#[test]
fn time_jumps_and_handlers_take_theirs() {
    let jumps = Faults::none().clock_jumps(0.3).slow_handlers(0.5);
    let passed = Sim::new(2).faults(jumps).run(|sim| {
        sim.process(log(sim));
        (0..10).for_each(|order| _ = sim.publish(Placed { order }));
        sim.settle();
        assert_eq!(sim.effects().len(), 10);
    });
    for what in ["time passes", "the wall clock is set back", "the handler takes its time"] {
        assert!(struck(&passed, what) > 0, "{what}: {:?}", passed.faults);
    }
}

#[test]
fn a_flow_asks_about_faults_of_its_own() {
    let passed = Sim::new(5).run(|sim| {
        let world = sim.clone();
        sim.process(move |bus| -> Result<_, tidings::Error> {
            let (bus, world) = (bus.build()?, world.clone());
            bus.subscribe("billing")
                .on(move |placed: &Placed, _: &mut Context| -> Result<(), HandlerError> {
                    if world.chance("the gateway is down", 0.5) {
                        return Err(HandlerError::retry("the gateway is down"));
                    }
                    world.effect(format!("charge {}", placed.order));
                    Ok(())
                })
                .start()?;
            Ok(bus)
        });
        (0..5).for_each(|order| _ = sim.publish(Placed { order }));
        sim.settle();
        assert_eq!(sim.effects().len(), 5);
    });
    assert!(struck(&passed, "what the flow asked about") > 0);
    assert!(passed.story.contains("! the gateway is down"), "{}", passed.story);
}

#[test]
fn a_process_is_killed_shut_down_and_started_by_the_flow() {
    Sim::new(1).run(|sim| {
        sim.process(log(sim));
        sim.publish(Placed { order: 1 });
        sim.kill();
        sim.publish(Placed { order: 2 });
        sim.restart(SECOND);
        sim.publish(Placed { order: 3 });
        sim.lose_power();
        sim.settle();
        let mut effects = sim.effects();
        effects.dedup();
        assert_eq!(effects, ["1 attempt 1", "2 attempt 1", "3 attempt 1"]);
    });
}

#[test]
#[should_panic(expected = "the process does not start: no configuration")]
fn a_process_that_does_not_start_is_no_fault() {
    Sim::new(1)
        .run(|sim| sim.process(|_| -> Result<Bus, String> { Err("no configuration".into()) }));
}

#[test]
#[should_panic(expected = "begins with `sim.process(..)`")]
fn a_run_needs_a_process() {
    Sim::new(1).run(|sim| drop(sim.bus()));
}

#[test]
fn async_handlers_run_by_the_virtual_clock_and_die_with_their_process() {
    let flow = |sim: &Run| {
        let world = sim.clone();
        sim.process(move |bus| -> Result<_, tidings::Error> {
            let (bus, world) = (bus.build()?, world.clone());
            bus.subscribe("mail")
                .on_async(move |placed: Delivery<Placed>| {
                    let world = world.clone();
                    async move {
                        world.effect(format!("begin {}", placed.order));
                        tokio::time::sleep(Duration::from_mins(1)).await;
                        world.effect(format!("end {}", placed.order));
                    }
                })
                .start()?;
            Ok(bus)
        });
        (0..3).for_each(|order| _ = sim.publish(Placed { order }));
        sim.settle();
        for order in 0..3 {
            assert!(sim.count_effect(format!("end {order}")) >= 1, "{:?}", sim.effects());
        }
        assert!(sim.elapsed() >= Duration::from_mins(1));
    };
    let explored = sim::explore(0..50, Faults::none().kills(0.05).lost_acknowledgements(0.1), flow);
    assert!(explored.faults.len() == 2, "{explored}");
    Sim::new(1).run(|sim| {
        flow(sim);
        let begun = sim.effects().iter().filter(|effect| effect.starts_with("begin")).count();
        assert_eq!(begun, 3);
        sim.publish(Placed { order: 7 });
        sim.advance(Duration::from_secs(30));
        sim.kill();
        sim.advance(Duration::from_secs(40));
        assert_eq!(sim.count_effect("end 7"), 0, "it died with its process");
        sim.settle();
        assert_eq!((sim.count_effect("begin 7"), sim.count_effect("end 7")), (2, 1));
    });
}
