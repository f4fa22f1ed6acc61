//! The log under `loom`, which tries every order in which threads can get on: who waits for a commit,
//! and who makes it.
//!
//! One who waits for ever is a deadlock, and `loom` says so.

use std::sync::Mutex as Plain;

use loom::thread;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    runtime::{Step, models::Queue, sync::AtomicBool},
    storage::{Commit, KeyValue, MemoryStorage, Page, Query},
};

#[derive(Debug, Serialize, Deserialize)]
struct Number(u64);

impl Event for Number {
    const NAME: &'static str = "log.number";
}

/// In memory, and told which of its commits are to fail.
#[derive(Debug, Default)]
struct Flaky {
    memory: MemoryStorage,
    failing: Option<usize>,
    /// How many records were to be committed each time.
    commits: Plain<Vec<usize>>,
}

impl Storage for Flaky {
    fn end(&self) -> Position {
        self.memory.end()
    }

    fn first(&self) -> Position {
        self.memory.first()
    }

    fn commit(&self, commit: Commit) -> Result<Position, StorageError> {
        let mut commits = self.commits.lock().unwrap();
        commits.push(commit.records.len());
        if Some(commits.len()) == self.failing {
            return Err(StorageError::Full { bytes: 0 });
        }
        self.memory.commit(commit)
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        self.memory.read(query)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.memory.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.memory.scan(prefix, after, max)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.memory.close()
    }
}

struct Stage {
    queue: Arc<Queue>,
    journal: Arc<Journal>,
    storage: Arc<Flaky>,
}

/// What became of an event: its position, unless its commit has failed.
type Answer = (MessageId, Result<Position, PublishFailure>);

impl Stage {
    fn new(failing: Option<usize>) -> Self {
        let queue = Queue::new();
        let storage = Arc::new(Flaky { failing, ..Flaky::default() });
        let shared = Arc::clone(&storage) as Arc<dyn Storage>;
        let window = Window::default();
        let journal = Journal::durable(
            queue.runtime(),
            4,
            shared,
            Durability::Buffered,
            16,
            window,
            Planted::default(),
        );
        queue.run_all();
        Self { queue, journal, storage }
    }

    fn log(&self) -> &Log {
        self.journal.log.as_ref().unwrap()
    }

    fn draft(&self) -> Draft {
        self.journal.draft(Message::new(Number(0)), None).unwrap()
    }

    /// Publishes one after the other, as a thread does that waits for each.
    fn publisher(&self, events: usize) -> impl FnOnce() -> Vec<Answer> + Send + use<> {
        let journal = Arc::clone(&self.journal);
        let drafts: Vec<_> = (0..events).map(|_| self.draft()).collect();
        move || drafts.into_iter().map(|draft| publish(&journal, draft)).collect()
    }

    /// What was answered is what is stored, and nobody is left.
    fn check(&self, answers: impl IntoIterator<Item = Answer>) {
        let answers: Vec<_> = answers.into_iter().collect();
        let page = self.storage.read(&Query::from(Position::FIRST)).unwrap();
        let stored = page.records.iter().map(|(at, record)| (*at, record.envelope.id));
        let told = answers.into_iter().filter_map(|(id, answer)| Some((answer.ok()?, id)));
        let mut told: Vec<_> = told.collect();
        told.sort_unstable();
        assert_eq!(stored.collect::<Vec<_>>(), told);
        assert!(self.log().is_flushed());
        assert_eq!(self.journal.end(), self.storage.end(), "what is stored is shown");
    }
}

fn publish(journal: &Journal, draft: Draft) -> Answer {
    let id = draft.envelope().id;
    let answer = journal.publish_all(vec![draft]);
    (id, answer.map(|places| places.first).map_err(|rejected| rejected.failure))
}

/// Tries everything that at most so many preemptions can bring about.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn each_publisher_is_told_its_own_place_and_none_waits_for_ever() {
    model(3, || {
        let stage = Stage::new(None);
        let threads = [1, 1].map(|events| thread::spawn(stage.publisher(events)));
        let own = stage.publisher(1)();
        let others = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        stage.check(others.chain(own));
    });
}

#[test]
fn what_one_thread_publishes_keeps_its_order() {
    model(3, || {
        let stage = Stage::new(None);
        let thread = thread::spawn(stage.publisher(2));
        let own = stage.publisher(2)();
        let other = thread.join().unwrap();
        for answers in [&own, &other] {
            assert!(answers[0].1.as_ref().unwrap() < answers[1].1.as_ref().unwrap());
        }
        stage.check(own.into_iter().chain(other));
    });
}

#[test]
fn a_failed_commit_is_told_to_all_that_were_in_it() {
    model(3, || {
        let stage = Stage::new(Some(1));
        let threads = [1, 1].map(|events| thread::spawn(stage.publisher(events)));
        let own = stage.publisher(1)();
        let others = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        let answers: Vec<_> = others.chain(own).collect();
        let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
        assert_eq!(failed, stage.storage.commits.lock().unwrap()[0]);
        stage.check(answers);
    });
}

#[test]
fn what_nobody_waits_for_is_committed_beside_who_does() {
    model(3, || {
        let stage = Stage::new(None);
        let is_told = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_told);
        let lane = stage.queue.task(1, move || {
            told.store(true, Ordering::Release);
            Step::Wait
        });
        let queue = Arc::clone(&stage.queue);
        let committer = thread::spawn(move || queue.serve());
        let thread = thread::spawn(stage.publisher(1));
        let drafts = [stage.draft(), stage.draft()];
        let ids = drafts.each_ref().map(|draft| draft.envelope().id);
        let submit = |draft| stage.log().submit(Transaction::publishing(vec![draft]), Some(&lane));
        let tickets = drafts.map(submit);
        let other = thread.join().unwrap();
        stage.queue.close();
        committer.join().unwrap();
        let places = tickets.map(|ticket| ticket.take().expect("it is committed").unwrap().first);
        assert!(places[0] < places[1], "what came first is committed first");
        assert!(is_told.load(Ordering::Acquire), "its lane rests");
        stage.check(other.into_iter().chain(ids.into_iter().zip(places.map(Ok))));
    });
}

#[test]
fn who_waits_while_the_log_closes_is_answered() {
    model(3, || {
        let stage = Stage::new(None);
        let threads = [1, 1].map(|events| thread::spawn(stage.publisher(events)));
        stage.log().close().unwrap();
        let answers: Vec<_> =
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let is_closed = |answer: &Answer| {
            let refused = |failure: &PublishFailure| matches!(failure, PublishFailure::Closed);
            answer.1.as_ref().is_ok() || answer.1.as_ref().is_err_and(refused)
        };
        assert!(answers.iter().all(is_closed));
        assert!(stage.log().is_flushed());
    });
}
