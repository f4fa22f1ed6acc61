//! What the leader does: commit what waits as one, show it to the readers, answer.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, atomic::Ordering},
};

use super::{
    Draft, Journal, Places, PublishFailure,
    log::{Log, Request},
    planted::Mistake,
    published::{PREFIX, Published},
    reading::scan,
};
use crate::{
    event::Durability,
    message::Position,
    runtime::ends_process,
    storage::{Commit, Precondition, Record, Storage, StorageError, Write},
};

/// The most payload bytes that one group takes.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What a batch costs beside its records.
const BATCH_BYTES: usize = 1024;

/// What became of what waited.
pub(super) struct Led {
    /// How many requests were answered.
    pub(super) answered: usize,
    /// False where what is left has to wait for room.
    pub(super) has_room: bool,
}

impl Log {
    /// Commits what waits. Only the leader calls it.
    pub(super) fn commit_group(&self, journal: &Journal) -> Led {
        let group = self.take_group(journal);
        let (answered, has_room) = match self.find_room(&group) {
            Ok(()) => (self.commit_all(journal, group), true),
            Err(error) => self.commit_patient(journal, group, error),
        };
        self.queue.lock().open -= answered;
        journal.quiet.notify();
        self.caretaker.committed();
        Led { answered, has_room }
    }

    /// Returns how many requests were answered.
    fn commit_all(&self, journal: &Journal, mut group: Vec<Request>) -> usize {
        let answered = group.len();
        if answered == 0 {
            return 0;
        }
        if let Err(error) = self.settle_schedule(journal, &mut group) {
            reject(error, group);
            return answered;
        }
        let sifted = match self.sift(journal, &mut group) {
            Ok(sifted) => sifted,
            Err(error) => {
                reject(error, group);
                return answered;
            }
        };
        let mut commit = self.commit_of(&mut group);
        let due = group.iter().filter_map(|request| request.due).min();
        let is_sifted = sifted.is_some();
        let mut outdone = Vec::new();
        if let Some(sifted) = sifted {
            commit.writes.extend(sifted.writes);
            commit.preconditions.push(Precondition::End(sifted.end));
            outdone = sifted.outdone;
        }
        if journal.is_planted(Mistake::CommitUnsynced) {
            commit.durability = Durability::Buffered;
        }
        if journal.is_planted(Mistake::AcknowledgeUncommitted) {
            self.show(journal, self.storage.end(), std::mem::take(&mut group));
        }
        match self.guarded(|storage| storage.commit_from(&mut commit)) {
            Ok(first) => {
                self.show(journal, first, group);
                for (request, failure) in outdone {
                    request.refuse(failure);
                }
                if let Some(due) = due {
                    journal.schedule.note(due);
                }
            }
            Err(error) => {
                if is_sifted {
                    self.published.lock().unload();
                }
                group.extend(outdone.into_iter().map(|(request, _)| request));
                reject(error, group);
            }
        }
        self.spares.keep_payloads(commit.records.into_iter().map(|record| record.payload));
        answered
    }

    /// Takes the copies of earlier messages out of a group, and refuses what only pretends to be one. Takes
    /// out, too, what something else has come before that it did not expect. `None` where there can be
    /// neither.
    fn sift(
        &self,
        journal: &Journal,
        group: &mut Vec<Request>,
    ) -> Result<Option<Sifted>, StorageError> {
        let is_marked = |request: &Request| request.transaction.drafts.iter().any(Draft::is_marked);
        let has_marks = group.iter().any(is_marked);
        if !has_marks && group.iter().all(|request| request.transaction.condition.is_none()) {
            return Ok(None);
        }
        let end = self.storage.end();
        let (mut next, mut writes, mut outdone) = (end, Vec::new(), Vec::new());
        let mut refused = Vec::new();
        let mut published = self.published.lock();
        if journal.is_planted(Mistake::ForgetMarks) {
            published.load(|| Ok(Vec::new()))?;
        }
        if has_marks {
            published.load(|| scan(&*self.storage, PREFIX))?;
        }
        for mut request in std::mem::take(group) {
            let checked = published.check(&request.transaction.drafts);
            if let Err(failure) = checked
                && !request.is_patient()
            {
                refused.push((request, failure));
                continue;
            }
            if let Some(failure) = self.outdoes(&published, &request, group) {
                outdone.push((request, failure));
                continue;
            }
            let sifted = published.sift(&mut request.transaction.drafts, next);
            next = next.plus(request.transaction.drafts.len() as u64);
            (request.copies, request.taken_out) = (sifted.places, sifted.copies);
            if journal.is_planted(Mistake::WrongReceipt) {
                request.copies.iter_mut().for_each(|(_, place)| place.0 = next);
            }
            writes.extend(sifted.writes);
            group.push(request);
        }
        drop(published);
        for (request, failure) in refused {
            request.refuse(failure);
        }
        Ok(Some(Sifted { end, writes, outdone }))
    }

    /// Why a request is not what comes next after the log and those `before` it, if it is not. What is
    /// nothing but copies has no conflict: it was published.
    fn outdoes(
        &self,
        published: &Published,
        request: &Request,
        before: &[Request],
    ) -> Option<PublishFailure> {
        let condition = request.transaction.condition.as_ref()?;
        published.fresh(&request.transaction.drafts).next()?;
        let before = before.iter().flat_map(|request| &request.transaction.drafts);
        condition.fails(&*self.storage, &before.collect::<Vec<_>>())
    }

    /// Refuses everything that does not wait for room, and commits the rest if there is any left.
    /// Returns how many requests were answered, and whether there was room for the rest.
    fn commit_patient(
        &self,
        journal: &Journal,
        group: Vec<Request>,
        error: StorageError,
    ) -> (usize, bool) {
        let passing = matches!(error, StorageError::Full { .. } | StorageError::Io { .. });
        if !passing {
            let answered = group.len();
            reject(error, group);
            return (answered, true);
        }
        let (patient, mut refused): (Vec<_>, Vec<_>) =
            group.into_iter().partition(Request::is_patient);
        refused.extend(self.take_impatient());
        let (refused, free): (Vec<_>, Vec<_>) = refused.into_iter().partition(Request::needs_room);
        let mut answered = refused.len();
        reject(error, refused);
        answered += self.commit_all(journal, free);
        if !patient.is_empty() && self.find_room(&patient).is_err() {
            self.put_back(patient);
            return (answered, false);
        }
        (answered + self.commit_all(journal, patient), true)
    }

    fn find_room(&self, group: &[Request]) -> Result<(), StorageError> {
        if !group.iter().any(Request::needs_room) {
            return Ok(());
        }
        let bytes: usize = group.iter().map(|request| request.bytes).sum();
        let urgent = group.iter().all(|request| request.urgent);
        self.guarded(|storage| storage.make_room((bytes + BATCH_BYTES) as u64, urgent))
    }

    /// A storage that panics is taken to have failed midway: the leader must live on to answer.
    fn guarded<T>(
        &self,
        call: impl FnOnce(&dyn Storage) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(StorageError::Poisoned);
        }
        let called = catch_unwind(AssertUnwindSafe(|| call(&*self.storage)));
        called.unwrap_or_else(|panic| {
            if ends_process(&*panic) {
                resume_unwind(panic);
            }
            self.broken.store(true, Ordering::Release);
            let source = Arc::new(io::Error::other("the storage panicked"));
            Err(StorageError::Indeterminate { doing: "committing", source })
        })
    }

    fn take_group(&self, journal: &Journal) -> Vec<Request> {
        let mut queue = self.queue.lock();
        if journal.is_planted(Mistake::NewestFirst) {
            queue.waiting.make_contiguous().reverse();
        }
        let one = [Mistake::OutputsFirst, Mistake::OutputsLast];
        let is_alone = one.into_iter().any(|mistake| journal.is_planted(mistake));
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(next) = queue.waiting.front() {
            bytes += next.bytes;
            if (bytes > GROUP_BYTES || is_alone) && !group.is_empty() {
                break;
            }
            queue.events -= next.transaction.drafts.len();
            group.extend(queue.waiting.pop_front());
        }
        group
    }

    /// Takes everything out of the queue that does not wait for room.
    fn take_impatient(&self) -> Vec<Request> {
        let mut queue = self.queue.lock();
        let (patient, impatient): (Vec<_>, Vec<_>) =
            queue.waiting.drain(..).partition(Request::is_patient);
        queue.waiting = patient.into();
        let events = |request: &Request| request.transaction.drafts.len();
        queue.events -= impatient.iter().map(events).sum::<usize>();
        impatient
    }

    fn put_back(&self, group: Vec<Request>) {
        let mut queue = self.queue.lock();
        if queue.closed {
            queue.open -= group.len();
            drop(queue);
            return reject(StorageError::Closed, group);
        }
        for request in group.into_iter().rev() {
            queue.events += request.transaction.drafts.len();
            queue.waiting.push_front(request);
        }
    }

    fn commit_of(&self, group: &mut [Request]) -> Commit {
        let mut commit = Commit { durability: Durability::Buffered, ..Commit::default() };
        for Request { transaction, .. } in group {
            commit.durability = commit.durability.max(transaction.level(self.durability));
            commit.writes.append(&mut transaction.writes);
            commit.records.extend(transaction.drafts.iter_mut().map(|draft| Record {
                envelope: Arc::clone(&draft.envelope),
                payload: std::mem::take(&mut draft.payload),
            }));
        }
        commit
    }

    /// Shows a group to the readers, and answers.
    fn show(&self, journal: &Journal, mut first: Position, group: Vec<Request>) {
        let mut answers = Vec::with_capacity(group.len());
        let (mut drafts, mut lists) = (Vec::with_capacity(group.len()), Vec::new());
        let mut cells = Vec::new();
        for Request { ticket, transaction, copies, taken_out, .. } in group {
            cells.extend(taken_out.into_iter().map(Draft::into_cell));
            let mut own = transaction.drafts;
            answers.push((ticket, Places { first, copies }));
            first = first.plus(own.len() as u64);
            let is_single = own.len() == 1;
            drafts.append(&mut own);
            if is_single {
                lists.push(own);
            }
        }
        journal.show(self, drafts);
        self.spares.keep_lists(lists);
        if !cells.is_empty() {
            self.spares.keep_cells(cells);
        }
        for (ticket, places) in answers {
            ticket.complete(Ok(places));
        }
    }
}

/// What a group is besides its requests.
struct Sifted {
    /// Where it begins.
    end: Position,
    /// What is to be written for messages that may be copied later.
    writes: Vec<Write>,
    /// What something else has come before, which may be of this group: to be answered after it.
    outdone: Vec<(Request, PublishFailure)>,
}

fn reject(error: StorageError, group: Vec<Request>) {
    let failure = match error {
        StorageError::Closed => PublishFailure::Closed,
        error => {
            tracing::error!(%error, "a commit failed");
            PublishFailure::Storage(error)
        }
    };
    for request in group {
        request.refuse(failure.share());
    }
}
