//! A saga on the durable bus: how many transitions it makes a second.

use std::{path::Path, time::Instant};

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Durability, Event,
    saga::{Condition, Define, Saga, SagaState, Sagas},
};
use tidings_bench::{
    Bench, Contender, OURS, Unit,
    timing::{Window, keep_in_flight, rate},
};

const IN_FLIGHT: usize = 4096;

/// How many transitions an instance makes from its begin to its end.
const STEPS: u64 = 4;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "bench.moved", key = "instance")]
struct Moved {
    instance: u64,
    step: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Under {
    instance: u64,
    step: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Over;

#[derive(Debug, Serialize, Deserialize, SagaState)]
enum Journey {
    Under(Under),
    #[saga(terminal)]
    Over(Over),
}

impl Saga for Journey {
    const NAME: &'static str = "journey";

    fn define(saga: &mut Define<Self>) {
        saga.start(|moved: &Moved, turn| turn.enter(Under { instance: moved.instance, step: 1 }))
            .to::<Under>();
        saga.state::<Under>()
            .on(|state, moved: &Moved, turn| {
                assert_eq!(state.step + 1, moved.step);
                if moved.step == STEPS {
                    return turn.enter(Over);
                }
                turn.enter(Under { instance: state.instance, step: moved.step })
            })
            .to::<Under>()
            .to::<Over>();
    }
}

/// Transitions a second, from the first publish until the last one is committed. Each is the instance's
/// record, a line of its history and the cursor, in one commit with others.
pub(crate) fn transitions(bench: &Bench, name: &str) {
    let length = bench.milliseconds(400, 100);
    let contender = Contender::new(OURS, move || {
        let dir = bench.directory().fresh().unwrap();
        let (bus, sagas) = open(dir.path());
        let publisher = bus.publisher::<Moved>().unwrap();
        let mut total = 0;
        let begun = Instant::now();
        let window = Window::starting_now(length);
        let next = |_| {
            let moved = Moved { instance: total / STEPS, step: total % STEPS + 1 };
            total += 1;
            publisher.enqueue(moved).unwrap()
        };
        keep_in_flight(IN_FLIGHT, window, next, |pending| {
            pending.wait().unwrap();
        });
        assert!(bus.wait_idle(std::time::Duration::from_mins(1)));
        let figure = rate(total, begun.elapsed());
        verify(&sagas, total);
        figure
    });
    bench.compare(name, Unit::EventsPerSecond, vec![contender]);
}

fn open(dir: &Path) -> (Bus, Sagas<Journey>) {
    let bus = Bus::builder().durability(Durability::Synced).open(dir).unwrap();
    let sagas = bus.saga::<Journey>().lanes(2).start().unwrap();
    (bus, sagas)
}

/// Panics unless every instance is where it should be.
fn verify(sagas: &Sagas<Journey>, published: u64) {
    let instances = sagas.status().unwrap().instances;
    let over = instances.get(&Condition::Completed).copied().unwrap_or_default();
    assert_eq!(over, published / STEPS);
    let all: u64 = instances.values().sum();
    assert_eq!(all, published.div_ceil(STEPS));
}
