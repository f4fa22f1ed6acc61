//! The answer to a submitted transaction, now or later.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Poll, Waker},
};

use super::{Places, Rejected};
use crate::runtime::{Monitor, Task, sync::Mutex};

/// The answer to a submitted transaction, for whoever waits: a thread, a future or a task.
#[derive(Default)]
pub(crate) struct Ticket {
    state: Mutex<State>,
    changed: Monitor,
}

#[derive(Default)]
struct State {
    answer: Option<Result<Places, Rejected>>,
    /// The answer was given away.
    taken: bool,
    /// Whether the waiting thread is to perform the next commit itself.
    leads: bool,
    waker: Option<Waker>,
    task: Option<Arc<Task>>,
}

impl State {
    fn take(&mut self) -> Option<Result<Places, Rejected>> {
        let answer = self.answer.take();
        self.taken |= answer.is_some();
        answer
    }
}

impl Ticket {
    pub(super) fn new(task: Option<&Arc<Task>>) -> Arc<Self> {
        let state = State { task: task.cloned(), ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Monitor::default() })
    }

    pub(super) fn failed(rejected: Rejected) -> Arc<Self> {
        let state = State { answer: Some(Err(rejected)), ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Monitor::default() })
    }

    pub(super) fn complete(&self, answer: Result<Places, Rejected>) {
        let mut state = self.state.lock();
        state.answer = Some(answer);
        let (waker, task) = (state.waker.take(), state.task.take());
        drop(state);
        self.changed.notify();
        // Somebody else's code, which must not cost the others their answers.
        if waker.is_some_and(|waker| catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err()) {
            tracing::error!("a waker panicked");
        }
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Makes the thread that waits for this ticket the next leader.
    pub(super) fn lead(&self) {
        self.state.lock().leads = true;
        self.changed.notify();
    }

    pub(super) fn changed(&self) -> &Monitor {
        &self.changed
    }

    pub(crate) fn is_done(&self) -> bool {
        let state = self.state.lock();
        state.taken || state.answer.is_some()
    }

    pub(super) fn leads(&self) -> bool {
        self.state.lock().leads
    }

    /// The answer, once.
    pub(crate) fn take(&self) -> Option<Result<Places, Rejected>> {
        self.state.lock().take()
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Result<Places, Rejected>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.take() {
            return Poll::Ready(answer);
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }

    /// Waits for the answer. `None` where it was taken before, or can never come.
    pub(crate) fn wait(
        &self,
        runtime: &crate::runtime::Runtime,
    ) -> Option<Result<Places, Rejected>> {
        runtime.wait(&self.changed, None, || self.is_done());
        self.take()
    }
}
