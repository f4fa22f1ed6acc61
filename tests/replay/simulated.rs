//! Replays and rewinds, whatever goes wrong.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidings::{
    Backoff, Bus, BusBuilder, Context, Error, HandlerError, ReplayError, Start, Subscription,
    testing::sim::{self, Faults, Run},
};

use crate::store::{Mended, Placed};

const ORDERS: u64 = 4;

const PATIENT: Backoff = Backoff::constant(Duration::from_secs(1)).max_attempts(10_000);

/// The handle of the subscription of the process that runs.
type View = Arc<Mutex<Option<Subscription>>>;

/// Mends each order, each time that it comes.
fn mend(placed: &Placed, ctx: &mut Context) -> Result<(), HandlerError> {
    ctx.publish(Mended { order: placed.order })?;
    Ok(())
}

fn start(sim: &Run) -> View {
    let view = View::default();
    let kept = Arc::clone(&view);
    sim.process(move |builder| {
        let bus = builder.build()?;
        let view = bus.subscribe("view").lanes(2).retry(PATIENT).max_crashes(10_000);
        *kept.lock() = Some(view.on(mend).start()?);
        Ok::<Bus, Error>(bus)
    });
    view
}

/// How often each order was mended, by the log.
fn mended(sim: &Run) -> Vec<usize> {
    let bus = sim.bus();
    let mended = bus.replay("look").on(|_: &Mended| ()).dry_run().unwrap();
    let keys: Vec<_> = mended.map(|one| one.unwrap().key.unwrap().to_string()).collect();
    (0..ORDERS).map(|order| keys.iter().filter(|key| **key == order.to_string()).count()).collect()
}

fn place(sim: &Run) {
    for order in 0..ORDERS {
        sim.publish(Placed { order });
    }
    sim.run_until_idle();
}

/// A replay that mends each order: once, whatever happens on the way.
fn a_replay(sim: &Run) {
    sim.process(BusBuilder::build);
    place(sim);
    loop {
        let bus = sim.bus();
        let replay = bus.replay("mend").with(|it| it.lanes(2).retry(PATIENT).max_crashes(10_000));
        let replay = replay.on(mend).start();
        sim.run_until_idle();
        let Ok(replay) = replay else { continue };
        match replay.wait(Duration::ZERO) {
            Ok(true) => break,
            Ok(false) | Err(ReplayError::Stopped { .. } | ReplayError::Storage(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    sim.settle();
    assert_eq!(mended(sim), [1; 4]);
}

#[test]
fn g1_a_replay_does_everything_once_whatever_goes_wrong() {
    sim::explore(1..=200, Faults::swarm(), a_replay);
}

#[test]
fn g1_a_replay_does_everything_once_wherever_the_process_dies() {
    sim::exhaustive(a_replay);
}

/// Everything comes once more, and nothing is left out, wherever the process dies.
fn a_rewind(sim: &Run) {
    let view = start(sim);
    place(sim);
    let handle = view.lock().clone().unwrap();
    let is_done = handle.rewind(Start::Earliest, Duration::from_secs(5)).is_ok();
    sim.settle();
    let counts = mended(sim);
    assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?}, {is_done}");
}

#[test]
fn after_a_rewind_nothing_is_left_out_whatever_goes_wrong() {
    sim::explore(1..=200, Faults::swarm(), a_rewind);
}

#[test]
fn after_a_rewind_nothing_is_left_out_wherever_the_process_dies() {
    sim::exhaustive(a_rewind);
    sim::Sim::new(1).run(|sim| {
        a_rewind(sim);
        assert_eq!(mended(sim), [2; 4]);
    });
}
