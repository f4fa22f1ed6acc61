//! Pools of real threads: how many they have, what they tell, and that nothing gets lost.

use std::{
    sync::{atomic::AtomicUsize, mpsc},
    time::{Duration, Instant},
};

use super::*;
use crate::runtime::{PoolId, Runtime, Step, threads::Threads};

struct Fixture {
    runtime: Runtime,
    id: PoolId,
    pool: Arc<Pool>,
}

impl Fixture {
    fn new(size: PoolSize) -> Self {
        let driver = Arc::new(Threads::new());
        let runtime = Runtime::new(Arc::clone(&driver) as _);
        let id = runtime.pool("pool", size);
        let pool = Arc::clone(&driver.pools.read()[id.0]);
        Self { runtime, id, pool }
    }

    /// A task that waits in its step until it is told, or nobody can tell it any more.
    fn gate(&self) -> (Arc<Task>, mpsc::Sender<()>) {
        let (open, opened) = mpsc::channel();
        let task = self.runtime.task(self.id, move || {
            opened.recv().ok();
            Step::Wait
        });
        (task, open)
    }

    /// Tasks that do this again and again, until told to stop.
    fn run(&self, count: usize, step: impl Fn() + Clone + Send + 'static) -> Vec<Arc<Task>> {
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let step = step.clone();
                self.runtime.task(self.id, move || {
                    step();
                    Step::Again
                })
            })
            .collect();
        tasks.iter().for_each(Task::wake);
        tasks
    }

    fn until(&self, holds: impl Fn(&PoolStatus) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !holds(&self.pool.status()) {
            assert!(Instant::now() < deadline, "{:?}", self.pool.status());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn stop(tasks: &[Arc<Task>]) {
    for task in tasks {
        task.stop();
    }
}

/// A step that blocks, and the most that ever did so at once.
fn blocking() -> (impl Fn() + Clone + Send + 'static, Arc<AtomicUsize>) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let step = move || {
        seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(20));
        now.fetch_sub(1, SeqCst);
    };
    (step, most)
}

#[test]
fn an_adaptive_pool_grows_for_tasks_that_block_and_shrinks_when_they_are_gone() {
    let fixture = Fixture::new(PoolSize::adaptive(1..=8));
    for _ in 0..2 {
        let (step, most) = blocking();
        let tasks = fixture.run(8, step);
        fixture.until(|status| most.load(SeqCst) == 8 && status.threads == 8);
        stop(&tasks);
        let stopped = Instant::now();
        fixture.until(|status| status.threads == 1);
        assert!(stopped.elapsed() > Duration::from_millis(900), "it waits a while");
    }
    fixture.until(|_| {
        let state = fixture.pool.state.lock();
        state.look_at.is_none() && state.rest_at.is_none()
    });
}

#[test]
fn a_fixed_pool_stays_as_it_is() {
    let fixture = Fixture::new(2.into());
    assert_eq!(fixture.pool.status().threads, 0, "until the first task");
    let (step, most) = blocking();
    let tasks = fixture.run(8, step);
    fixture.until(|status| status.queued == 6 && status.oldest > Some(Duration::ZERO));
    thread::sleep(Duration::from_millis(300));
    assert_eq!((fixture.pool.status().threads, most.load(SeqCst)), (2, 2));
    stop(&tasks);
}

#[test]
fn a_flood_of_fast_tasks_is_no_reason_to_grow() {
    let flood = || {
        let fixture = Fixture::new(PoolSize::adaptive(1..=64));
        let tasks = fixture.run(4, || {});
        thread::sleep(Duration::from_millis(300));
        let threads = fixture.pool.status().threads;
        stop(&tasks);
        threads
    };
    // On a machine that is busy with others, they may look like tasks that block.
    assert!((0..10).any(|_| flood() <= 2));
}

#[test]
fn a_task_behind_one_that_blocks_is_noticed_however_close_they_come() {
    for _ in 0..20 {
        let fixture = Fixture::new(PoolSize::adaptive(1..=2));
        let (gate, open) = fixture.gate();
        let opener = fixture.runtime.task(fixture.id, move || {
            open.send(()).ok();
            Step::Wait
        });
        stop(&fixture.run(1, || {}));
        fixture.until(|_| fixture.pool.crew.resting() == 1);
        gate.wake();
        opener.wake();
        fixture.until(|_| fixture.pool.crew.resting() == 2);
    }
}

#[test]
fn a_wait_is_told_from_when_the_task_came_or_the_one_before_it() {
    let fixture = Fixture::new(1.into());
    let ((running, open), (first, _first), (second, _second)) =
        (fixture.gate(), fixture.gate(), fixture.gate());
    let wake = |task: &Arc<Task>| {
        let before = Instant::now();
        task.wake();
        let after = Instant::now();
        thread::sleep(Duration::from_millis(20));
        (before, after)
    };
    let is_told = |(_, after): (_, Instant), (before, _): (Instant, _)| {
        let least = after.elapsed();
        let told = fixture.pool.status().oldest;
        told.is_some_and(|told| (least..=before.elapsed()).contains(&told))
    };
    wake(&running);
    fixture.until(|status| status.queued == 0 && status.oldest.is_none());
    let came = wake(&first);
    assert!(is_told(came, came), "{:?}", fixture.pool.status());
    let later = wake(&second);
    open.send(()).ok();
    fixture.until(|status| status.queued == 1);
    assert!(is_told(later, came), "{:?}", fixture.pool.status());
}

#[test]
fn no_wake_up_is_lost_while_threads_come_and_go() {
    let fixture = Fixture::new(PoolSize::adaptive(1..=4));
    let (ran, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let count = Arc::clone(&ran);
    let task = fixture.runtime.task(fixture.id, move || {
        count.fetch_add(1, SeqCst);
        Step::Wait
    });
    let (pool, stop) = (Arc::clone(&fixture.pool), Arc::clone(&done));
    let changer = thread::spawn(move || {
        while !stop.load(SeqCst) {
            let mut state = pool.state.lock();
            let change = match pool.staying(&state) {
                0 | 1 => Change::Grow(3),
                more => Change::Shrink(more - 1),
            };
            pool.apply(&mut state, change);
            drop(state);
            thread::yield_now();
        }
    });
    for round in 1..=2000 {
        task.wake();
        fixture.until(|_| ran.load(SeqCst) >= round);
    }
    done.store(true, SeqCst);
    assert!(changer.join().is_ok());
}

#[test]
fn threads_end_with_the_runtime() {
    let fixture = Fixture::new(PoolSize::adaptive(2..=4));
    let (tell, told) = mpsc::channel();
    let task = fixture.runtime.task(fixture.id, move || {
        tell.send(thread::current().name().map(str::to_owned)).ok();
        Step::Wait
    });
    fixture.runtime.wake_at(Duration::from_millis(1), &task);
    let name = told.recv().ok().flatten().unwrap_or_default();
    assert!(name.starts_with("tidings:pool-"), "{name}");
    task.stop();
    // Each thread holds one of these.
    let crew = Arc::downgrade(&fixture.pool.crew);
    let timer = Arc::downgrade(&fixture.pool.timer);
    drop(fixture);
    assert!(told.recv().is_err(), "the task's body is gone");
    let deadline = Instant::now() + Duration::from_mins(1);
    while crew.strong_count() + timer.strong_count() > 0 {
        assert!(Instant::now() < deadline, "a thread is still there");
        thread::yield_now();
    }
}
