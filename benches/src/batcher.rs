//! What a careful user writes around a store without group commit: a queue and one writer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// The most events in one transaction.
const MOST: usize = 1024;

/// A store behind one thread that commits everything queued, and wakes those who wait.
#[derive(Debug)]
pub struct Batcher {
    queue: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Request {
    payload: Vec<u8>,
    answer: Arc<Answer>,
}

/// Says when an event is stored.
#[derive(Debug)]
pub struct Answer {
    done: AtomicBool,
    waiter: Thread,
}

impl Answer {
    /// Waits until the event is stored. For the thread that gave it.
    pub fn wait(&self) {
        while !self.done.load(Ordering::Acquire) {
            thread::park();
        }
    }

    fn give(&self) {
        self.done.store(true, Ordering::Release);
        self.waiter.unpark();
    }
}

impl Batcher {
    /// A batcher around `commit`, which stores events as one and returns when they are stored.
    pub fn around(commit: impl FnMut(&[&[u8]]) + Send + 'static) -> Self {
        let (queue, requests) = unbounded();
        let writer = thread::spawn(move || write(commit, &requests));
        Self { queue: Some(queue), writer: Some(writer) }
    }

    /// Queues an event.
    #[allow(clippy::missing_panics_doc, clippy::expect_used)]
    pub fn begin(&self, payload: impl Into<Vec<u8>>) -> Arc<Answer> {
        let answer = Arc::new(Answer { done: AtomicBool::new(false), waiter: thread::current() });
        let request = Request { payload: payload.into(), answer: Arc::clone(&answer) };
        let queue = self.queue.as_ref().expect("it is there until the end");
        queue.send(request).expect("the writer lives until the end");
        answer
    }
}

fn write(mut commit: impl FnMut(&[&[u8]]), requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(MOST - 1));
        let payloads: Vec<&[u8]> = batch.iter().map(|request| &*request.payload).collect();
        commit(&payloads);
        for request in batch {
            request.answer.give();
        }
    }
}

/// Everything queued is stored first.
impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue = None;
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            eprintln!("error: the writer of a batch panicked");
        }
    }
}
