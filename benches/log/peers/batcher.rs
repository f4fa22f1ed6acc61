//! What a careful user writes around a store without group commit: a queue and one writer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::{
    store::{Payloads, Pipeline, Publish},
    timing::{Window, keep_in_flight},
};

/// The most events in one transaction.
const MOST: usize = 1024;

/// A store behind one thread that commits everything queued, and wakes those who wait.
pub(crate) struct Batcher {
    queue: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

struct Request {
    payload: Vec<u8>,
    answer: Arc<Answer>,
}

struct Answer {
    done: AtomicBool,
    waiter: Thread,
}

impl Answer {
    fn wait(&self) {
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
    pub(crate) fn around(store: impl Publish + 'static) -> Self {
        let (queue, requests) = unbounded();
        let writer = thread::spawn(move || write(&store, &requests));
        Self { queue: Some(queue), writer: Some(writer) }
    }

    fn begin(&self, payload: &[u8]) -> Arc<Answer> {
        let answer = Arc::new(Answer { done: AtomicBool::new(false), waiter: thread::current() });
        let request = Request { payload: payload.to_vec(), answer: Arc::clone(&answer) };
        self.queue.as_ref().unwrap().send(request).unwrap();
        answer
    }
}

fn write(store: &impl Publish, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(MOST - 1));
        let payloads: Vec<&[u8]> = batch.iter().map(|request| &*request.payload).collect();
        store.append_all(&payloads);
        for request in batch {
            request.answer.give();
        }
    }
}

impl Publish for Batcher {
    fn append(&self, payload: &[u8]) {
        self.begin(payload).wait();
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let answers: Vec<_> = payloads.iter().map(|payload| self.begin(payload)).collect();
        for answer in answers {
            answer.wait();
        }
    }
}

impl Pipeline for Batcher {
    fn pipeline(&self, in_flight: usize, payloads: &Payloads, window: Window) -> u64 {
        let begin = |number| self.begin(payloads.get(number));
        keep_in_flight(in_flight, window, begin, |answer: Arc<Answer>| answer.wait())
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
    }
}
