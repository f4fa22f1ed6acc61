//! What is not idempotent is found, with few faults and a story that says what happened.

use tidings::testing::{
    Faults, Sim,
    sim::{self, try_exhaustive, try_explore},
};

use crate::shop::{Charging, three_orders};

#[test]
fn a_careful_shop_survives_whatever_happens() {
    let explored = sim::explore(0..300, Faults::swarm(), three_orders(Charging::WithKey));
    assert_eq!(explored.runs, 300);
    assert!(explored.faults.len() >= 6, "{explored}");
    println!("{explored}");
}

#[test]
fn a_careful_shop_survives_every_moment_at_which_its_process_may_die() {
    let explored = sim::exhaustive(three_orders(Charging::WithKey));
    assert!(explored.runs > 50, "{explored}");
    println!("{explored}");
}

#[test]
fn a_careless_shop_is_found_with_one_fault_and_a_story() {
    let found = try_explore(0..300, Faults::swarm(), three_orders(Charging::Carelessly));
    let failure = found.unwrap_err();
    assert!(failure.message.contains("is charged 2 times"), "{failure}");
    assert_eq!(failure.faults.len(), 1, "{failure}");
    assert!(failure.found >= 1);
    let twice = failure.story.matches("| charge ").count();
    assert!((4..=6).contains(&twice), "three charges, and one or more once more: {failure}");
    assert!(failure.rerun.starts_with(&format!("TIDINGS_SIM={}:", failure.seed)), "{failure}");
    assert!(
        failure
            .rerun
            .ends_with("cargo test finding::a_careless_shop_is_found_with_one_fault_and_a_story")
    );
}

#[test]
fn a_careless_shop_is_found_by_dying_at_every_moment() {
    let failure = try_exhaustive(1, three_orders(Charging::Carelessly)).unwrap_err();
    assert!(failure.message.contains("is charged 2 times"), "{failure}");
    assert_eq!((failure.faults.len(), failure.found), (1, 1));
    assert!(failure.story.contains(" after `billing` has handled #"), "{failure}");
}

#[test]
fn what_fails_without_a_fault_takes_none() {
    let failure = Sim::new(3)
        .faults(Faults::all())
        .try_run(|sim| {
            crate::shop::place_three(Charging::WithKey, sim);
            panic!("it is Monday");
        })
        .unwrap_err();
    assert_eq!((failure.message.as_str(), failure.faults.len()), ("it is Monday", 0));
    assert!(failure.to_string().contains("It takes no"), "{failure}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| Sim::new(seed).faults(Faults::all()).run(three_orders(Charging::WithKey));
    let hashes: Vec<_> = (0..20).map(|seed| run(seed).trace_hash).collect();
    let again: Vec<_> = (0..20).map(|seed| run(seed).trace_hash).collect();
    assert_eq!(hashes, again);
    let different: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), 20, "seeds matter");
    assert_eq!(run(7), run(7), "down to the story");
}

/// The number is the same on every machine, in every profile, and changes with what the bus does in a run.
#[test]
fn the_same_seed_gives_the_same_run_on_every_machine() {
    let run = |seed| Sim::new(seed).faults(Faults::all()).run(three_orders(Charging::WithKey));
    let trace = (0..50).fold(0_u64, |all, seed| all.rotate_left(1) ^ run(seed).trace_hash);
    assert_eq!(trace, 0x7e37_1b35_05ab_81c7, "{trace:#018x}");
}

#[test]
#[should_panic(expected = "the same seed gave two different runs")]
fn a_flow_that_is_not_deterministic_is_found_out() {
    let runs = std::cell::Cell::new(0);
    sim::explore(0..5, Faults::none(), |sim| {
        runs.set(runs.get() + 1);
        crate::shop::place_three(Charging::WithKey, sim);
        (0..runs.get()).for_each(|order| _ = sim.publish(crate::shop::Placed { order }));
    });
}

#[test]
#[should_panic(expected = "the run does not come to its rest")]
fn a_run_that_never_rests_is_found_out() {
    Sim::new(1).max_steps(10_000).run(|sim| {
        let world = sim.clone();
        sim.process(move |bus| -> Result<_, tidings::Error> {
            let bus = bus.build()?;
            let world = world.clone();
            bus.subscribe("echo")
                .on(move |placed: &crate::shop::Placed| world.deliver(placed.clone()))
                .start()?;
            Ok(bus)
        });
        sim.publish(crate::shop::Placed { order: 1 });
        sim.run_until_idle();
    });
}
