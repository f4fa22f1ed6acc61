//! A channel with the face of `crossbeam_channel`'s. It orders more than that: each call takes a lock.

use std::{collections::VecDeque, sync::Arc};

use super::{Condvar, Mutex};

pub(crate) struct Sender<T>(Arc<Shared<T>>);

pub(crate) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TryRecvError {
    Empty,
    Disconnected,
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let state = Mutex::new(State { waiting: VecDeque::new(), is_closed: false });
    let shared = Arc::new(Shared { state, changed: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

impl<T> Sender<T> {
    /// Its receivers live as long.
    pub(crate) fn send(&self, value: T) -> Result<(), T> {
        self.0.state.lock().waiting.push_back(value);
        self.0.changed.notify_one();
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.0.state.lock();
        state.waiting.pop_front().ok_or(match state.is_closed {
            true => TryRecvError::Disconnected,
            false => TryRecvError::Empty,
        })
    }

    pub(crate) fn recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.0.state.lock();
        loop {
            match state.waiting.pop_front() {
                Some(value) => return Ok(value),
                None if state.is_closed => return Err(TryRecvError::Disconnected),
                None => self.0.changed.wait(&mut state),
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
