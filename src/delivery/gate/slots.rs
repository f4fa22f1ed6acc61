//! How many handlers of a subscription are at work at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use crate::runtime::{Task, sync::Mutex};

/// How many handlers of a subscription are at work at once.
///
/// A place that becomes free while lanes wait is promised to the one that has waited longest, so that
/// none has to be quicker than those that are at work already.
#[derive(Debug)]
pub(super) struct Slots {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Lanes, by number, that are woken once there is a place for them.
    waiting: VecDeque<(u32, Weak<Task>)>,
    /// Lanes that have a place and have not taken it yet.
    promised: Vec<u32>,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Slots>);

impl Slots {
    /// So many places, from 1.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), state: Mutex::default() })
    }

    /// Whether there is no place for that lane.
    pub(super) fn is_full(&self, lane: u32) -> bool {
        !self.has_place(&self.state.lock(), lane)
    }

    pub(super) fn take(self: &Arc<Self>, lane: u32) -> Option<Permit> {
        let mut state = self.state.lock();
        if !self.has_place(&state, lane) {
            return None;
        }
        state.promised.retain(|other| *other != lane);
        state.taken += 1;
        Some(Permit(Arc::clone(self)))
    }

    /// Has the lane woken once there is a place for it. False if there is one.
    pub(super) fn wait(&self, lane: u32, task: &Arc<Task>) -> bool {
        let mut state = self.state.lock();
        if self.has_place(&state, lane) {
            return false;
        }
        if state.waiting.iter().all(|(other, _)| *other != lane) {
            state.waiting.push_back((lane, Arc::downgrade(task)));
        }
        true
    }

    /// The lane needs no place any more: one that it was promised goes to the next.
    pub(super) fn forget(&self, lane: u32) {
        let mut state = self.state.lock();
        state.waiting.retain(|(other, _)| *other != lane);
        state.promised.retain(|other| *other != lane);
        let next = self.promise(&mut state);
        drop(state);
        wake(next);
    }

    fn has_place(&self, state: &State, lane: u32) -> bool {
        state.taken + state.promised.len() < self.most || state.promised.contains(&lane)
    }

    /// Promises a place that is free to a lane that waits. It is to be woken.
    fn promise(&self, state: &mut State) -> Option<Arc<Task>> {
        if state.taken + state.promised.len() >= self.most {
            return None;
        }
        while let Some((lane, task)) = state.waiting.pop_front() {
            if let Some(task) = task.upgrade() {
                state.promised.push(lane);
                return Some(task);
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.taken -= 1;
        let next = self.0.promise(&mut state);
        drop(state);
        wake(next);
    }
}

fn wake(task: Option<Arc<Task>>) {
    if let Some(task) = task {
        task.wake();
    }
}

/// Under `loom`, which tries every order in which threads can get on.
#[cfg(all(test, tidings_loom))]
mod models {
    use std::sync::atomic::Ordering::{Acquire, Release};

    use loom::{sync::atomic::AtomicBool, thread};

    use super::*;
    use crate::runtime::{Step, models::Queue};

    /// A lane that wants one place, and works for a moment.
    fn lane(queue: &Arc<Queue>, slots: &Arc<Slots>, number: u32) -> (Arc<Task>, Arc<AtomicBool>) {
        let done = Arc::new(AtomicBool::new(false));
        let (slots, has_worked) = (Arc::clone(slots), Arc::clone(&done));
        let own: Arc<std::sync::OnceLock<Arc<Task>>> = Arc::default();
        let this = Arc::clone(&own);
        let task = queue.task(u64::from(number), move || {
            if has_worked.load(Acquire) {
                return Step::Wait;
            }
            match (slots.take(number), this.get()) {
                (Some(permit), _) => {
                    has_worked.store(true, Release);
                    drop(permit);
                    Step::Wait
                }
                (None, Some(task)) if slots.wait(number, task) => Step::Wait,
                _ => Step::Again,
            }
        });
        own.get_or_init(|| Arc::clone(&task));
        (task, done)
    }

    #[test]
    fn a_lane_that_waits_for_a_place_is_woken_for_it() {
        loom::model(|| {
            let (queue, slots) = (Queue::new(), Slots::new(1));
            let lanes = [0, 1].map(|number| lane(&queue, &slots, number));
            lanes.iter().for_each(|(task, _)| task.wake());
            let pool = Arc::clone(&queue);
            let thread = thread::spawn(move || _ = pool.run_one());
            queue.run_one();
            thread.join().unwrap();
            queue.run_all();
            for (_, done) in &lanes {
                assert!(done.load(Acquire), "a lane rests, though there is a place");
            }
            lanes.iter().for_each(|(task, _)| task.stop());
        });
    }
}

#[cfg(all(test, not(tidings_loom)))]
mod tests {
    use super::*;
    use crate::runtime::{Runtime, Step, simulator::Simulator};

    fn task(sim: &Simulator) -> Arc<Task> {
        let runtime = sim.runtime();
        runtime.task(runtime.pool(Runtime::DEFAULT_POOL, 1), || Step::Wait)
    }

    #[test]
    fn a_place_that_becomes_free_is_for_the_lane_that_waited_longest() {
        let sim = Simulator::new(1);
        let tasks = [0, 1, 2].map(|_| task(&sim));
        let slots = Slots::new(1);
        let permit = slots.take(0);
        assert!(permit.is_some());
        assert!(slots.wait(1, &tasks[1]) && slots.wait(2, &tasks[2]));
        assert!(slots.wait(1, &tasks[1]), "once is enough");
        drop(permit);
        assert!(sim.step() && !sim.step(), "one of them is woken");
        assert!(slots.take(0).is_none() && slots.take(2).is_none());
        let permit = slots.take(1);
        assert!(permit.is_some());
        drop(permit);
        assert!(sim.step() && slots.take(2).is_some());
    }

    #[test]
    fn a_lane_that_needs_its_place_no_more_makes_room_for_the_next() {
        let sim = Simulator::new(1);
        let tasks = [0, 1, 2].map(|_| task(&sim));
        let slots = Slots::new(1);
        let permit = slots.take(0);
        assert!(slots.wait(1, &tasks[1]) && slots.wait(2, &tasks[2]));
        drop(permit);
        slots.forget(1);
        assert!(!slots.is_full(2) && slots.is_full(0));
        slots.forget(2);
        assert!(!slots.is_full(0));
    }

    #[test]
    fn a_lane_that_is_gone_is_passed_over() {
        let sim = Simulator::new(1);
        let (gone, here) = (task(&sim), task(&sim));
        let slots = Slots::new(1);
        let permit = slots.take(0);
        assert!(slots.wait(1, &gone) && slots.wait(2, &here));
        drop(gone);
        drop(permit);
        assert!(!slots.is_full(2));
    }
}
