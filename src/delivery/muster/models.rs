//! Musters under `loom`, which tries every order in which threads can get on.

use std::sync::OnceLock;

use loom::thread;

use super::*;
use crate::runtime::{Step, Task, models::Queue};
use std::sync::Arc;

/// A lane that comes in as soon as it sees that it is called.
struct Worker {
    number: u32,
    is_in: bool,
}

impl Numbered for Worker {
    fn number(&self) -> u32 {
        self.number
    }

    fn is_in(&self) -> bool {
        self.is_in
    }
}

/// A muster of two lanes, their tasks, and the task of whoever calls them.
struct Stage {
    queue: Arc<Queue>,
    muster: Arc<Muster<Worker>>,
    lanes: Vec<Arc<Task>>,
    at_work: Vec<Arc<AtomicBool>>,
}

impl Stage {
    fn new(conductor: impl FnOnce(&Arc<Queue>, &Arc<Muster<Worker>>) -> Arc<Task>) -> Self {
        let (queue, muster) = (Queue::new(), Arc::new(Muster::new(2)));
        let conductor = conductor(&queue, &muster);
        let at_work: Vec<_> = (0..2).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let lanes = (0..2).zip(&at_work).map(|(number, works)| {
            muster.come_in(Worker { number, is_in: false });
            post(&queue, &muster, &conductor, number, works)
        });
        let lanes: Vec<_> = lanes.collect();
        lanes.iter().for_each(Task::wake);
        queue.run_all();
        Self { queue, muster, lanes, at_work }
    }

    fn wake(&self) {
        self.lanes.iter().for_each(Task::wake);
    }

    /// A thread of the pool, which runs two tasks if there are as many.
    fn thread(&self) -> thread::JoinHandle<()> {
        let queue = Arc::clone(&self.queue);
        thread::spawn(move || _ = queue.run_one() && queue.run_one())
    }

    fn stop(self) {
        self.lanes.iter().for_each(|lane| lane.stop());
    }
}

/// The task of a lane, which is at work or at the muster.
fn post(
    queue: &Arc<Queue>,
    muster: &Arc<Muster<Worker>>,
    conductor: &Arc<Task>,
    number: u32,
    works: &Arc<AtomicBool>,
) -> Arc<Task> {
    let (muster, conductor) = (Arc::clone(muster), Arc::clone(conductor));
    let (works, mut lane) = (Arc::clone(works), None::<Worker>);
    queue.task(u64::from(number), move || {
        if lane.is_none() {
            lane = muster.go(number, false);
        }
        let Some(mut own) = lane.take() else { return Step::Wait };
        own.is_in = muster.is_called();
        works.store(!own.is_in, Ordering::Relaxed);
        if !own.is_in {
            lane = Some(own);
        } else if muster.come_in(own) == Arrival::Completes {
            conductor.wake();
        }
        Step::Wait
    })
}

#[test]
fn when_all_lanes_are_in_whoever_called_them_is_woken() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let complete: Arc<OnceLock<usize>> = Arc::default();
        let found = Arc::clone(&complete);
        let stage = Stage::new(|queue, muster| {
            let muster = Arc::clone(muster);
            queue.task(2, move || {
                if let Some(all) = muster.take() {
                    found.set(all.len()).unwrap();
                }
                Step::Wait
            })
        });
        let thread = stage.thread();
        stage.muster.call();
        stage.wake();
        stage.queue.run_one();
        thread.join().unwrap();
        stage.queue.run_all();
        assert_eq!(complete.get(), Some(&2), "all are in, and nobody knows");
        stage.stop();
    });
}

#[test]
fn when_they_are_called_off_no_lane_stays_in() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let stage = Stage::new(|queue, _| queue.task(2, || Step::Wait));
        stage.muster.call();
        stage.wake();
        let thread = stage.thread();
        stage.muster.call_off();
        stage.wake();
        stage.queue.run_one();
        thread.join().unwrap();
        stage.queue.run_all();
        for works in &stage.at_work {
            assert!(works.load(Ordering::Relaxed), "a lane waits, and nobody needs it");
        }
        assert!(stage.muster.take().is_none());
        stage.stop();
    });
}
