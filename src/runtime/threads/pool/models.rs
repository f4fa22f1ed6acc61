//! Pools under `loom`, which tries every order in which threads can get on.
//!
//! A task that never runs, or a thread that never ends, is a deadlock, and `loom` says so.

use std::sync::atomic::Ordering::Acquire;

use super::*;
use crate::runtime::{
    Monitor, Step,
    models::Queue,
    sync::{AtomicUsize, Instant},
};

/// How many tasks have run, and whoever waits for them.
#[derive(Default)]
struct Done {
    count: AtomicUsize,
    changed: Monitor,
}

impl Done {
    fn note(&self) {
        self.count.fetch_add(1, SeqCst);
        self.changed.notify();
    }

    fn wait_for(&self, count: usize) {
        self.changed.sleep_until(None, &mut || self.count.load(Acquire) >= count);
    }
}

struct Stage {
    /// What tasks are told to be queued by. The pool itself gets them by hand.
    queue: Arc<Queue>,
    timer: Arc<Timer>,
    pool: Arc<Pool>,
    done: Arc<Done>,
}

impl Stage {
    fn new(size: PoolSize) -> Self {
        Instant::reset();
        let timer = Timer::new();
        let pool = Pool::new("models", size, 1, &timer);
        Self { queue: Queue::new(), timer, pool, done: Arc::default() }
    }

    /// A task that counts once it has run, which takes until so many others have.
    fn task(&self, after: usize) -> Arc<Task> {
        let done = Arc::clone(&self.done);
        self.queue.ready(move || {
            done.wait_for(after);
            done.note();
            Step::Wait
        })
    }

    fn push(&self, after: usize) {
        self.pool.push(self.task(after));
    }
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn all_that_is_queued_runs_before_the_threads_of_a_pool_end() {
    model(2, || {
        let Stage { queue: _queue, timer, pool, done } = {
            let stage = Stage::new(PoolSize::fixed(1));
            stage.push(0);
            stage.push(0);
            stage
        };
        drop(pool);
        done.wait_for(2);
        timer.close();
    });
}

#[test]
fn what_is_queued_while_a_thread_goes_to_rest_runs() {
    model(2, || {
        let stage = Stage::new(PoolSize::fixed(1));
        stage.push(0);
        stage.done.wait_for(1);
        let (pool, task) = (Arc::clone(&stage.pool), stage.task(0));
        let other = thread::spawn(move || pool.push(task));
        stage.push(0);
        stage.done.wait_for(3);
        other.join().unwrap();
        stage.timer.close();
    });
}

#[test]
fn a_task_behind_one_that_blocks_gets_a_thread() {
    model(1, || {
        let stage = Stage::new(PoolSize::adaptive(1..=2));
        stage.push(0);
        stage.done.wait_for(1);
        stage.push(2);
        stage.push(0);
        stage.done.wait_for(3);
        stage.timer.close();
    });
}
