//! The newest part of the journal, in memory, and where each reader is in it.
//!
//! A ring of entries that all readers share; nothing is copied for a reader. A *group* of readers
//! is a subscription: it wants some kinds of events, and each of its readers is a lane that gets
//! the events of some keys. A reader at rest is not touched by events that it does not want.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Entry, PublishFailure, Rejected, Transaction};
use crate::{
    contract::NameId,
    message::Position,
    runtime::{Monitor, Runtime, Task, Tick, in_task},
};

/// A subscription's readers.
pub(crate) type GroupId = u64;

/// One reader: a lane of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReaderId {
    pub(crate) group: GroupId,
    pub(crate) lane: u32,
}

/// What a reader is up to beyond the tail, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has nothing to do.
    Settled,
    /// It only waits for the time of a retry.
    Parked,
    /// It takes nothing new until something that waits is settled.
    Blocked,
    /// It is at work.
    Working,
    /// It has stopped, or rests in a pause; nobody waits for it.
    Stopped,
    /// It can do nothing more, and holds nobody up.
    Failed,
}

/// What a reader got.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Events for this reader. Everything before `frontier` has been looked at.
    Entries { entries: Vec<Arc<Entry>>, frontier: Position },
    /// The ring has moved on: read `from` to `to` from storage, then [`Tail::advance`].
    Behind { from: Position, to: Position },
    /// The reader's group has left: it gets nothing more, and has no place in the journal.
    Gone,
}

/// How a volatile bus treats a publish when the ring is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Wait for room; fail where waiting could be for ever.
    Wait,
    /// Fail at once.
    Fail,
    /// Take it all the same: what handlers publish must not wait for handlers.
    Force,
}

pub(crate) struct Tail {
    ring: Mutex<Ring>,
    /// Notified when a volatile ring gets room.
    room: Monitor,
    /// Notified when a reader comes to rest.
    quiet: Monitor,
}

struct Ring {
    /// Dense: the last one is at `end - 1`.
    entries: VecDeque<Arc<Entry>>,
    end: Position,
    capacity: usize,
    /// Durable: at capacity the oldest entries go, read or not, since storage has them. Volatile:
    /// entries go once read, and at capacity publishers wait.
    backed: bool,
    closed: bool,
    groups: BTreeMap<GroupId, Group>,
    /// Which groups want a kind. The inverse of `Group::kinds`.
    wanted: BTreeMap<NameId, Vec<GroupId>>,
    group_count: u64,
}

struct Group {
    kinds: BTreeSet<NameId>,
    readers: Vec<Reader>,
}

struct Reader {
    /// Everything before it has been given to the reader. Stale while `idle`.
    next: Position,
    /// It has seen everything up to the end, and is woken by the next event that it wants.
    idle: bool,
    phase: Phase,
    /// It was sent something other than through the tail, and has not looked.
    poked: bool,
    task: Arc<Task>,
}

impl Tail {
    pub(super) fn new(end: Position, capacity: usize, backed: bool) -> Self {
        let ring = Ring {
            entries: VecDeque::new(),
            end,
            capacity: capacity.max(1),
            backed,
            closed: false,
            groups: BTreeMap::new(),
            wanted: BTreeMap::new(),
            group_count: 0,
        };
        Self { ring: Mutex::new(ring), room: Monitor::default(), quiet: Monitor::default() }
    }

    pub(crate) fn end(&self) -> Position {
        self.ring.lock().end
    }

    pub(super) fn quiet(&self) -> &Monitor {
        &self.quiet
    }

    pub(crate) fn new_group(&self) -> GroupId {
        let mut ring = self.ring.lock();
        ring.group_count += 1;
        ring.group_count
    }

    /// Lets a group of readers in, each at its position and with the task to wake, and wakes them.
    /// `None` stands for the end.
    pub(crate) fn join(
        &self,
        group: GroupId,
        kinds: BTreeSet<NameId>,
        readers: Vec<(Option<Position>, Arc<Task>)>,
    ) {
        let tasks: Vec<_> = readers.iter().map(|(_, task)| Arc::clone(task)).collect();
        let mut ring = self.ring.lock();
        let end = ring.end;
        for kind in &kinds {
            ring.wanted.entry(*kind).or_default().push(group);
        }
        let reader = |(at, task): (Option<Position>, _)| Reader {
            next: at.unwrap_or(end).min(end),
            idle: false,
            phase: Phase::Working,
            poked: false,
            task,
        };
        let readers = readers.into_iter().map(reader).collect();
        ring.groups.insert(group, Group { kinds, readers });
        drop(ring);
        tasks.iter().for_each(Task::wake);
    }

    /// Forgets a group. Its readers are stopped.
    pub(crate) fn leave(&self, group: GroupId) {
        let mut ring = self.ring.lock();
        let Some(left) = ring.groups.remove(&group) else {
            return;
        };
        for groups in ring.wanted.values_mut() {
            groups.retain(|other| *other != group);
        }
        let dropped = ring.trim();
        drop(ring);
        left.readers.iter().for_each(|reader| reader.task.stop());
        self.room.notify();
        self.quiet.notify();
        drop(dropped);
    }

    /// Appends what storage has committed, at the positions that storage gave. Returns the entries
    /// that need not be kept any more, to be dropped when all is done.
    pub(super) fn append(&self, entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
        let mut woken = Vec::new();
        let mut ring = self.ring.lock();
        for entry in entries {
            ring.push(entry, &mut woken);
        }
        let dropped = ring.trim();
        drop(ring);
        woken.iter().for_each(Task::wake);
        dropped
    }

    /// Appends on a volatile bus.
    pub(super) fn append_new(
        &self,
        runtime: &Runtime,
        transaction: Transaction,
        admission: Admission,
    ) -> Result<Position, Rejected> {
        let wanted = transaction.drafts.len();
        loop {
            let mut ring = self.ring.lock();
            if ring.closed && admission != Admission::Force {
                return Err(Rejected {
                    failure: PublishFailure::Closed,
                    drafts: transaction.drafts,
                });
            }
            if admission == Admission::Force || ring.has_room(wanted) {
                let mut woken = Vec::new();
                let first = ring.end;
                for draft in transaction.drafts {
                    let entry = Arc::new(draft.into_entry(ring.end));
                    ring.push(entry, &mut woken);
                }
                let dropped = ring.trim();
                drop(ring);
                woken.iter().for_each(Task::wake);
                drop(dropped);
                return Ok(first);
            }
            if admission == Admission::Fail || in_task() {
                let failure = PublishFailure::Full { capacity: ring.capacity };
                return Err(Rejected { failure, drafts: transaction.drafts });
            }
            let capacity = ring.capacity;
            drop(ring);
            let changed = runtime.wait(&self.room, None, || {
                let ring = self.ring.lock();
                ring.closed || ring.has_room(wanted)
            });
            if !changed {
                // Nobody is left who could make room, as only a simulator can tell.
                let failure = PublishFailure::Full { capacity };
                return Err(Rejected { failure, drafts: transaction.drafts });
            }
        }
    }

    /// Gives a reader the next events that it wants, up to `max`.
    pub(crate) fn take(&self, reader: ReaderId, max: usize) -> Taken {
        let mut ring = self.ring.lock();
        let taken = ring.take(reader, max);
        let dropped = if ring.backed { Vec::new() } else { ring.trim() };
        drop(ring);
        if !dropped.is_empty() {
            self.room.notify();
        }
        taken
    }

    /// Moves a reader on, after it has read from storage.
    pub(crate) fn advance(&self, reader: ReaderId, next: Position) {
        if let Some(reader) = self.ring.lock().reader(reader) {
            reader.next = next;
        }
    }

    /// Everything before this position has been given to the reader. `None` if it has left.
    pub(crate) fn frontier(&self, reader: ReaderId) -> Option<Position> {
        let mut ring = self.ring.lock();
        let end = ring.end;
        ring.reader(reader).map(|reader| if reader.idle { end } else { reader.next })
    }

    pub(crate) fn set_phase(&self, reader: ReaderId, phase: Phase) {
        if let Some(reader) = self.ring.lock().reader(reader) {
            reader.phase = phase;
        }
        if phase != Phase::Working {
            self.quiet.notify();
        }
    }

    /// Says that a reader was sent something other than through the tail. It is not at rest until
    /// it has looked.
    pub(crate) fn poke(&self, reader: ReaderId) {
        if let Some(reader) = self.ring.lock().reader(reader) {
            reader.poked = true;
        }
    }

    /// A reader begins its turn: it is at work, and looks at what it was sent.
    pub(crate) fn begin(&self, reader: ReaderId) {
        if let Some(reader) = self.ring.lock().reader(reader) {
            reader.poked = false;
            reader.phase = Phase::Working;
        }
    }

    /// Whether every reader is at rest, all at one moment.
    pub(crate) fn is_quiet(&self, parked_is_quiet: bool) -> bool {
        let ring = self.ring.lock();
        let rests = |reader: &Reader| match reader.phase {
            Phase::Stopped | Phase::Failed => true,
            Phase::Settled => reader.idle,
            Phase::Parked => parked_is_quiet && reader.idle,
            Phase::Blocked => parked_is_quiet,
            Phase::Working => false,
        };
        let mut readers = ring.groups.values().flat_map(|group| &group.readers);
        readers.all(|reader| rests(reader) && !reader.poked)
    }

    /// How many readers of a group have not stopped.
    pub(crate) fn running(&self, group: GroupId) -> usize {
        let ring = self.ring.lock();
        let running = |group: &Group| {
            let at_work =
                |reader: &&Reader| !matches!(reader.phase, Phase::Stopped | Phase::Failed);
            group.readers.iter().filter(at_work).count()
        };
        ring.groups.get(&group).map_or(0, running)
    }

    /// Waits until every reader of a group has stopped.
    pub(crate) fn wait_stopped(&self, runtime: &Runtime, group: GroupId, deadline: Tick) -> bool {
        runtime.wait(&self.quiet, Some(deadline), || self.running(group) == 0)
    }

    pub(super) fn close_intake(&self) {
        self.ring.lock().closed = true;
        self.room.notify();
    }

    /// The entries of the ring, and the position of the first one.
    pub(crate) fn entries(&self) -> (Position, Vec<Arc<Entry>>) {
        let ring = self.ring.lock();
        (ring.first(), ring.entries.iter().cloned().collect())
    }
}

impl Ring {
    fn first(&self) -> Position {
        self.entries.front().map_or(self.end, |entry| entry.position)
    }

    fn has_room(&self, wanted: usize) -> bool {
        self.entries.is_empty() || self.entries.len() + wanted <= self.capacity
    }

    fn reader(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.groups.get_mut(&id.group)?.readers.get_mut(id.lane as usize)
    }

    fn push(&mut self, entry: Arc<Entry>, woken: &mut Vec<Arc<Task>>) {
        self.end = entry.position.next();
        let groups = self.wanted.get(&entry.kind).map_or(&[][..], Vec::as_slice);
        for group in groups {
            let Some(group) = self.groups.get_mut(group) else {
                continue;
            };
            let lane = group.lane(&entry);
            let Some(reader) = group.readers.get_mut(lane).filter(|reader| reader.idle) else {
                continue;
            };
            reader.idle = false;
            reader.next = entry.position;
            woken.push(Arc::clone(&reader.task));
        }
        self.entries.push_back(entry);
    }

    fn take(&mut self, id: ReaderId, max: usize) -> Taken {
        let (first, end) = (self.first(), self.end);
        let Some(group) = self.groups.get_mut(&id.group) else { return Taken::Gone };
        let kinds = &group.kinds;
        let lanes = group.readers.len();
        let Some(reader) = group.readers.get_mut(id.lane as usize) else { return Taken::Gone };
        if reader.idle {
            return Taken::Entries { entries: Vec::new(), frontier: end };
        }
        if reader.next < first {
            return Taken::Behind { from: reader.next, to: first };
        }
        let mut entries = Vec::new();
        let skipped = usize::try_from(reader.next.since(first)).unwrap_or(usize::MAX);
        for entry in self.entries.iter().skip(skipped) {
            if entries.len() == max {
                break;
            }
            reader.next = entry.position.next();
            if kinds.contains(&entry.kind) && lane_of(entry, lanes) == id.lane as usize {
                entries.push(Arc::clone(entry));
            }
        }
        reader.idle = reader.next >= end;
        if !entries.is_empty() {
            reader.phase = Phase::Working;
        }
        Taken::Entries { entries, frontier: reader.next }
    }

    /// Removes entries that need not be kept. They are returned, to be dropped once the ring is
    /// unlocked: dropping an event runs its owner's code.
    fn trim(&mut self) -> Vec<Arc<Entry>> {
        let surplus = if self.backed {
            self.entries.len().saturating_sub(self.capacity)
        } else {
            let readers = self.groups.values().flat_map(|group| &group.readers);
            let active = readers.filter(|reader| !reader.idle && reader.phase != Phase::Failed);
            let needed = active.map(|reader| reader.next).min().unwrap_or(self.end);
            usize::try_from(needed.since(self.first())).unwrap_or(usize::MAX)
        };
        self.entries.drain(..surplus.min(self.entries.len())).collect()
    }
}

impl Group {
    fn lane(&self, entry: &Entry) -> usize {
        lane_of(entry, self.readers.len())
    }
}

fn lane_of(entry: &Entry, lanes: usize) -> usize {
    let lanes = u32::try_from(lanes).unwrap_or(u32::MAX).max(1);
    entry.envelope.lane(entry.position, lanes) as usize
}
