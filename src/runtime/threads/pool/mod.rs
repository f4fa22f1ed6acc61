//! A pool: a queue of tasks, and threads that take them from it in order.
//!
//! Threads start with the first task. They live until the pool is dropped and its queue empty, or,
//! in an adaptive pool, until [`Sizing`] finds them superfluous. It is asked by alarms, which are set
//! while tasks wait or there are more threads than the least.

mod crew;
#[cfg(all(test, tidings_loom))]
mod models;
mod ranks;
#[cfg(all(test, not(tidings_loom)))]
mod tests;

use std::sync::{Arc, Weak, atomic::Ordering::SeqCst};

use super::{
    sizing::{Change, Load, Sizing},
    timer::{Alarm, Timer},
};
use crate::runtime::{
    Clock, PoolSize, PoolStatus, Task, Tick,
    sync::{
        AtomicBool, Mutex,
        channel::{Sender, unbounded},
        thread,
    },
};
use crew::{Call, Crew, Queued};

pub(super) struct Pool {
    name: Arc<str>,
    size: PoolSize,
    clock: Clock,
    timer: Arc<Timer>,
    /// Its only sender: once it is dropped, the threads end.
    queue: Sender<Queued>,
    crew: Arc<Crew>,
    /// Whether a task that finds no thread at rest needs [`Pool::watch_queue`].
    unwatched: AtomicBool,
    state: Mutex<State>,
}

struct State {
    threads: usize,
    /// Threads that were ever started, for their names.
    started: u64,
    sizing: Sizing,
    /// When alarms will ring, to look at the queue and at the threads.
    look_at: Option<Tick>,
    rest_at: Option<Tick>,
}

impl Pool {
    pub(super) fn new(name: &str, size: PoolSize, cores: usize, timer: &Arc<Timer>) -> Arc<Self> {
        let (queue, tasks) = unbounded();
        let sizing = Sizing::new(size, cores);
        let state = State { threads: 0, started: 0, sizing, look_at: None, rest_at: None };
        Arc::new(Self {
            name: name.into(),
            size,
            clock: timer.clock(),
            timer: Arc::clone(timer),
            queue,
            crew: Crew::new(tasks, size.least() < size.most(), timer.clock()),
            unwatched: AtomicBool::new(true),
            state: Mutex::new(state),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn status(&self) -> PoolStatus {
        let queued = self.queue.len();
        let waited = || self.clock.source().now().saturating_sub(self.crew.since());
        PoolStatus {
            name: Arc::clone(&self.name),
            threads: self.state.lock().threads,
            least: self.size.least(),
            most: self.size.most(),
            queued,
            oldest: (queued > 0).then(waited),
        }
    }

    pub(super) fn push(self: &Arc<Self>, task: Arc<Task>) {
        let now = self.clock.tick();
        let call = self.crew.rank(task, now);
        self.send(call, now);
        self.watch();
    }

    pub(super) fn overloaded_until(&self) -> Tick {
        self.crew.overloaded_until()
    }

    fn send(&self, call: Call, now: Tick) {
        let queued = self.crew.welcome(now, call);
        self.queue.send(queued).ok(); // the crew has the other end
    }

    /// Looks after tasks that find no thread at rest. Called when a task has come, when a thread
    /// rests no longer, and when the pool becomes unwatched: what happens last sees the rest.
    pub(super) fn watch(self: &Arc<Self>) {
        let needed = self.unwatched.load(SeqCst) && self.crew.resting() == 0;
        if needed && !self.queue.is_empty() {
            self.watch_queue();
        }
    }

    /// Starts the threads that must be there, and sets an alarm if there could be more.
    fn watch_queue(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let missing = self.size.least().saturating_sub(state.threads);
        self.start(&mut state, missing);
        if state.look_at.is_none() {
            self.look_later(&mut state);
        }
        self.note_watched(&state);
    }

    fn look_later(self: &Arc<Self>, state: &mut State) {
        state.look_at = state.sizing.next_look(&self.load(state));
        self.set_alarm(state.look_at);
    }

    fn note_watched(&self, state: &State) {
        let may_grow = self.staying(state) < self.size.most() && state.look_at.is_none();
        self.unwatched.store(may_grow || state.threads < self.size.least(), SeqCst);
    }

    fn start(self: &Arc<Self>, state: &mut State, count: usize) {
        for _ in 0..count {
            let (pool, crew) = (Arc::downgrade(self), Arc::clone(&self.crew));
            let name = format!("tidings:{}-{}", self.name, state.started);
            if let Err(error) = thread::Builder::new().name(name).spawn(move || crew.work(&pool)) {
                tracing::error!(pool = &*self.name, %error, "could not start a pool's thread");
                state.sizing.note_failure(self.clock.source().now());
                return;
            }
            state.started += 1;
            state.threads += 1;
        }
    }

    /// Counts a thread as ended, if one is to end.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        let Some(leaving) = self.crew.leaving().checked_sub(1) else {
            return false;
        };
        self.crew.set_leaving(leaving);
        state.threads -= 1;
        true
    }

    fn apply(self: &Arc<Self>, state: &mut State, change: Change) {
        let leaving = self.crew.leaving();
        match change {
            Change::Stay => {}
            Change::Grow(count) => {
                let kept = count.min(leaving);
                self.crew.set_leaving(leaving - kept);
                self.start(state, count - kept);
            }
            Change::Shrink(count) => {
                self.crew.set_leaving(leaving + count);
                // They may be at rest.
                (0..count).for_each(|_| self.send(Call::LookAround, self.clock.tick()));
            }
        }
    }

    /// The threads that are not about to end.
    fn staying(&self, state: &State) -> usize {
        state.threads - self.crew.leaving()
    }

    fn load(&self, state: &State) -> Load {
        Load {
            now: self.clock.source().now(),
            oldest: (!self.queue.is_empty()).then(|| self.crew.since()),
            threads: self.staying(state),
            resting: self.crew.resting(),
            taken: self.crew.taken(),
        }
    }

    fn look(self: &Arc<Self>, state: &mut State) {
        let load = self.load(state);
        let change = state.sizing.look(&load);
        self.apply(state, change);
        self.look_later(state);
    }

    fn look_at_rest(self: &Arc<Self>, state: &mut State) {
        let change = state.sizing.look_at_rest(self.staying(state), self.crew.take_spare());
        self.apply(state, change);
    }

    fn rest_later(self: &Arc<Self>, state: &mut State, now: Tick) {
        state.rest_at = state.sizing.next_rest(now, self.staying(state));
        self.set_alarm(state.rest_at);
    }

    fn set_alarm(self: &Arc<Self>, at: Option<Tick>) {
        if let Some(at) = at {
            self.timer.add(at, Arc::<Self>::downgrade(self) as Weak<dyn Alarm>);
        }
    }
}

impl Alarm for Pool {
    fn ring(self: Arc<Self>) {
        let now = self.clock.source().now();
        let mut state = self.state.lock();
        if state.look_at.take_if(|at| *at <= now).is_some() {
            self.look(&mut state);
        }
        if state.rest_at.take_if(|at| *at <= now).is_some() {
            self.look_at_rest(&mut state);
        }
        if state.rest_at.is_none() {
            self.rest_later(&mut state, now);
        }
        self.note_watched(&state);
        drop(state);
        self.watch();
    }
}
