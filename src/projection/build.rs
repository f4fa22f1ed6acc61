//! Building rows in bulk: reading history in chunks, and committing the rows that a chunk has changed
//! together with the place that it came to, as one. While a chunk commits, the next is folded.
//!
//! 1. *Fold*, until the end is near.
//! 2. *Close*: where older rows are kept up to date, their subscription stops, and the rest is folded, so that
//!    the new rows never know less than the old ones did.
//! 3. *Switch*: one commit has the new rows served, and the subscription begin where they stop.
//! 4. *Start* the subscription, and *clean* what is old away.
//!
//! A process that ends between any two commits goes on after the first of them.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use super::{
    chunk::{Chunk, Folder},
    keys,
    model::Model,
    rows::Row,
    status::Halted,
    stored::{Building, Stored},
};
use crate::{
    bus::{Bus, Reservation, SubscribeError, Subscription},
    delivery::{adopt, checkpoint, forget_checkpoint},
    event::Durability,
    journal::{Busy, Ticket, Transaction},
    message::Position,
    runtime::{Step, Task, Tick},
    storage::{StorageError, Write},
};

/// So close to the end the subscription takes over, in chunks.
const NEAR: usize = 64;
/// How many rows are removed at once.
const REMOVED: usize = 1024;
/// How long to wait after storage has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for handlers of the older rows.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

/// A build under way.
pub(super) struct Build<R> {
    model: Arc<Model<R>>,
    stored: Stored,
    /// The name of the projection, where no older rows are kept up to date under it.
    name: Option<Reservation>,
    /// Dropped with the build.
    _reader: Reservation,
    _busy: Busy,
    task: Arc<OnceLock<Weak<Task>>>,
    stage: Stage,
    folder: Folder<R>,
    /// What is folded and not sent.
    chunk: Option<Chunk>,
    /// What is sent, and where it came to.
    commit: Option<(Arc<Ticket>, Option<Position>)>,
}

enum Stage {
    /// To be found out from storage.
    Unknown,
    Fold,
    Close,
    Stop(Subscription, Tick),
    /// Fold up to there.
    Finish(Position),
    Switch,
    Start,
    /// The last key that was removed.
    Clean(Option<Vec<u8>>),
    Over,
}

impl<R: Row> Build<R> {
    /// Sets it going. It is kept with the bus.
    pub(super) fn spawn(
        bus: &Bus,
        model: &Arc<Model<R>>,
        stored: Stored,
        (name, reader): (Option<Reservation>, Reservation),
    ) {
        let journal = &model.journal;
        model.state.lock().building = stored.building;
        model.state.lock().halted = None;
        let (runtime, task) = (journal.runtime(), Arc::new(OnceLock::new()));
        let reader_name = Arc::clone(reader.name());
        let mut build = Self {
            folder: Folder::new(model, 0, Position::FIRST),
            model: Arc::clone(model),
            stored,
            name,
            _reader: reader,
            _busy: journal.busy(),
            task: Arc::clone(&task),
            stage: Stage::Unknown,
            chunk: None,
            commit: None,
        };
        build.begin();
        let pool = runtime.find_pool(&model.pool).unwrap_or_else(|| runtime.pool(&model.pool, 1));
        let building = runtime.task(pool, move || build.step());
        task.get_or_init(|| Arc::downgrade(&building));
        bus.keep_starting(&reader_name, Arc::clone(&building));
        building.wake();
    }

    /// Finds out what is to be done.
    fn begin(&mut self) {
        self.stage = match &self.stored.building {
            Some(Building { generation, position }) => {
                self.folder = Folder::new(&self.model, generation.number, *position);
                Stage::Fold
            }
            None if self.is_live() => Stage::Clean(None),
            None => Stage::Start,
        };
    }

    /// Whether the rows that are served are kept up to date.
    fn is_live(&self) -> bool {
        let state = self.model.state.lock();
        let live = state.live.as_ref().map(|(generation, _)| *generation);
        live.is_some() && live == self.stored.served.map(|served| served.number)
    }

    fn step(&mut self) -> Step {
        self.go_on().unwrap_or_else(|error| self.fail(error))
    }

    fn go_on(&mut self) -> Result<Step, StorageError> {
        let is_free = self.settle_commit()?;
        let is_folding = matches!(self.stage, Stage::Fold) && self.chunk.is_none();
        let may_go_on = is_free || is_folding && self.folder.remembers();
        if !may_go_on {
            return Ok(Step::Wait);
        }
        match std::mem::replace(&mut self.stage, Stage::Unknown) {
            Stage::Unknown => self.look(),
            Stage::Fold => self.fold(None),
            Stage::Finish(target) => self.fold(Some(target)),
            Stage::Close => Ok(self.close()),
            Stage::Stop(older, deadline) => Ok(self.stop(older, deadline)),
            Stage::Switch => self.switch(),
            Stage::Start => self.start(),
            Stage::Clean(after) => self.clean(after.as_deref()),
            Stage::Over => Ok(self.end()),
        }
    }

    fn turn_to(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Again
    }

    fn now(&self) -> Tick {
        self.model.journal.runtime().now()
    }

    fn wake_in(&self, time: Duration) -> Step {
        if let Some(task) = self.task.get().and_then(Weak::upgrade) {
            let runtime = self.model.journal.runtime();
            runtime.wake_at(runtime.now().saturating_add(time), &task);
        }
        Step::Wait
    }

    fn look(&mut self) -> Result<Step, StorageError> {
        self.stored = Stored::load(&self.model.journal, &self.model.name)?;
        self.begin();
        Ok(Step::Again)
    }

    /// Storage has failed. Whatever was in memory is read anew, unless there is no hope.
    fn fail(&mut self, error: StorageError) -> Step {
        (self.chunk, self.commit) = (None, None);
        match error {
            StorageError::Closed => self.turn_to(Stage::Over),
            StorageError::Io { .. } | StorageError::Full { .. } => {
                let projection = &*self.model.name;
                tracing::warn!(projection, %error, "building fails, and is tried again");
                self.stage = Stage::Unknown;
                self.wake_in(PAUSE)
            }
            error => {
                let position =
                    self.stored.building.map_or(self.folder.next(), |building| building.position);
                self.model.halt(Halted { position, reason: error.to_string() });
                self.turn_to(Stage::Over)
            }
        }
    }

    fn end(&mut self) -> Step {
        self.stage = Stage::Over;
        if let Some(task) = self.task.get().and_then(Weak::upgrade) {
            task.stop();
        }
        Step::Wait
    }

    /// True once no commit is on its way.
    fn settle_commit(&mut self) -> Result<bool, StorageError> {
        let Some((ticket, reached)) = &self.commit else { return Ok(true) };
        let Some(answer) = ticket.take() else { return Ok(false) };
        let reached = *reached;
        self.commit = None;
        answer.map_err(|rejected| rejected.failure.into_storage())?;
        if let Some(reached) = reached
            && let Some(building) = &mut self.model.state.lock().building
        {
            building.position = reached;
        }
        Ok(true)
    }

    /// Sends a commit on its way. `durability` is what it is to survive, if not what the bus promises.
    fn send(&mut self, writes: Vec<Write>, durability: Option<Durability>) {
        let Some(task) = self.task.get().and_then(Weak::upgrade) else { return };
        let reached = self.stored.building.map(|building| building.position);
        let transaction = Transaction { writes, durability, ..Transaction::default() };
        let ticket = self.model.journal.commit(transaction, &task);
        self.commit = ticket.map(|ticket| (ticket, reached));
    }

    /// Folds a chunk, up to a target or until the end is near.
    fn fold(&mut self, target: Option<Position>) -> Result<Step, StorageError> {
        self.stage = target.map_or(Stage::Fold, Stage::Finish);
        if self.chunk.is_none() {
            self.chunk = self.folder.chunk()?;
        }
        if self.commit.is_some() {
            return Ok(Step::Wait);
        }
        let Some(Chunk { mut writes, next }) = self.chunk.take() else { return Ok(Step::Again) };
        if let Some(building) = &mut self.stored.building {
            building.position = next;
        }
        writes.push(self.stored.write(&self.model.name)?);
        writes.push(checkpoint(&keys::reader(&self.model.name), next)?);
        // Lost to a power failure, it is folded again.
        self.send(writes, Some(Durability::Buffered));
        let is_done = match target {
            Some(target) => next >= target,
            None => next.plus((self.model.most / NEAR) as u64) >= self.model.journal.end(),
        };
        if is_done || self.folder.broken().is_some() {
            self.stage = if target.is_some() { Stage::Switch } else { Stage::Close };
        }
        Ok(Step::Again)
    }

    /// The new rows are nearly there, or cannot get there.
    fn close(&mut self) -> Step {
        if let Some(broken) = self.folder.broken().filter(|_| self.stored.served.is_some()) {
            self.model.halt(broken.clone());
            return self.turn_to(Stage::Over);
        }
        if self.name.is_some() {
            return self.turn_to(Stage::Switch);
        }
        let Some(bus) = self.model.bus.upgrade() else { return self.turn_to(Stage::Over) };
        if let Some(older) = bus.running_one(&self.model.name) {
            self.name = Some(bus.reserve_next(&self.model.name));
            older.begin_stop();
            let deadline = self.now().saturating_add(PATIENCE);
            return self.turn_to(Stage::Stop(older, deadline));
        }
        match bus.reserve(&self.model.name) {
            Ok(name) => {
                self.name = Some(name);
                self.turn_to(Stage::Switch)
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &SubscribeError) -> Step {
        if !matches!(error, SubscribeError::Closed) {
            self.model.halt(Halted { position: self.folder.next(), reason: error.to_string() });
        }
        self.turn_to(Stage::Over)
    }

    /// Waits for the subscription of the older rows.
    fn stop(&mut self, older: Subscription, deadline: Tick) -> Step {
        if older.end_stop(self.now() < deadline) {
            return self.turn_to(Stage::Finish(self.model.journal.end()));
        }
        self.stage = Stage::Stop(older, deadline);
        self.wake_in(POLL)
    }

    fn switch(&mut self) -> Result<Step, StorageError> {
        let writes = switch(&self.model, &mut self.stored, self.folder.next())?;
        self.send(writes, None);
        Ok(self.turn_to(Stage::Start))
    }

    fn start(&mut self) -> Result<Step, StorageError> {
        let bus = self.model.bus.upgrade();
        let (Some(bus), Some(served)) = (bus, self.stored.served) else {
            return Ok(self.turn_to(Stage::Over));
        };
        let name = self.name.take().map_or_else(|| bus.reserve(&self.model.name), Ok);
        let started = name.and_then(|name| {
            let started = self.model.go_live(&bus, served.number, &name);
            self.name = Some(name);
            started
        });
        match started {
            Ok(()) => {
                self.name = None;
                self.model.state.lock().building = None;
                self.model.journal.quiet().notify();
                Ok(self.turn_to(Stage::Clean(None)))
            }
            Err(SubscribeError::Storage(error)) => Err(error),
            Err(error) => Ok(self.give_up(&error)),
        }
    }

    /// Removes rows that are not served any more.
    fn clean(&mut self, after: Option<&[u8]>) -> Result<Step, StorageError> {
        let (journal, name) = (&self.model.journal, &*self.model.name);
        let Some(old) = self.stored.old.first().copied() else {
            return Ok(self.turn_to(Stage::Over));
        };
        let page = journal.scan_page(&keys::rows(name, old), after, REMOVED)?;
        let last = page.last().map(|(key, _)| key.clone());
        let mut writes: Vec<_> = page.into_iter().map(|(key, _)| Write::remove(key)).collect();
        if last.is_none() {
            self.stored.old.remove(0);
            writes.push(Write::remove(keys::clock(name, old)));
            writes.push(self.stored.write(name)?);
        }
        self.send(writes, Some(Durability::Buffered));
        Ok(self.turn_to(Stage::Clean(last)))
    }
}

/// Has the generation that was being built served, and the subscription begin where it stops. It must not be
/// running.
pub(super) fn switch<R: Row>(
    model: &Model<R>,
    stored: &mut Stored,
    next: Position,
) -> Result<Vec<Write>, StorageError> {
    let name = &*model.name;
    let mut writes = adopt(&model.journal, name, model.events(), next)?;
    writes.extend(stored.switch().map(|built| built.write_served(name)));
    writes.push(stored.write(name)?);
    writes.push(forget_checkpoint(&keys::reader(name)));
    Ok(writes)
}
