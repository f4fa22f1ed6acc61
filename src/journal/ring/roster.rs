//! Who reads, and who has to be waited for: the slow side of the ring, under a lock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    CellRef, Ring, Route, Wants,
    claim::Incoming,
    sync::{Apart, AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering},
};
use crate::runtime::Task;

/// A subscription's readers.
pub(crate) type GroupId = u64;

/// How far ahead of its cursor a reader may have events open.
pub(super) const SPAN: u64 = 1024;

/// The cursor of a reader that has no place in the ring: it reads from storage, or has left.
pub(super) const OUT: u64 = u64::MAX;

/// Set in a cursor that somebody else has taken over, and maybe moved on.
pub(super) const SKIPPED: u64 = 1 << 63;

/// What is done about a reader that is so far behind that the ring is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overrun {
    /// Publishers wait for it.
    Wait,
    /// Publishing fails.
    Fail,
    /// It misses the oldest events, and is told how many.
    Skip,
    /// It reads on in storage.
    Leave,
}

/// What a reader is up to, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Phase {
    /// It is at work.
    Working,
    /// It has nothing to do.
    Settled,
    /// It only waits for the time of a retry.
    Parked,
    /// It takes nothing new until something that waits is settled.
    Blocked,
    /// It has stopped, or rests in a pause; nobody waits for it.
    Stopped,
    /// It can do nothing more, and holds nobody up.
    Failed,
}

/// What a reader runs on.
pub(crate) trait Rouse: Send + Sync {
    /// Has it run soon.
    fn rouse(self: Arc<Self>);
    /// Ends it.
    fn stop(&self);
}

impl Rouse for Task {
    fn rouse(self: Arc<Self>) {
        self.wake();
    }

    fn stop(&self) {
        Task::stop(self);
    }
}

/// A reader's place in the ring: what its seat and the roster share.
pub(super) struct Place {
    /// Everything before it is given back to the ring. See [`SKIPPED`] and [`OUT`].
    pub(super) cursor: Apart<AtomicU64>,
    /// It has seen everything and holds nothing in the ring; the next event that it wants wakes it.
    pub(super) asleep: AtomicBool,
    /// It was sent something other than through the ring, and has not looked.
    pub(super) poked: AtomicBool,
    pub(super) group: AtomicU64,
    /// Where it began; before that nothing is for it.
    pub(super) start: AtomicU64,
    /// Everything before it is done with, or taken out of the ring. Stale while it is asleep.
    pub(super) frontier: AtomicU64,
    phase: AtomicU32,
    pub(super) displaced: Mutex<Displaced>,
}

/// What a reader has to know that others have moved on.
#[derive(Default)]
pub(super) struct Displaced {
    /// Shares of what it may have had open.
    pub(super) kept: Vec<CellRef>,
    /// Events that it wants and that were passed over.
    pub(super) missed: u64,
    pub(super) left: bool,
}

impl Place {
    /// A place of a reader that has not joined yet.
    pub(super) fn new() -> Self {
        Self {
            cursor: Apart(AtomicU64::new(OUT)),
            asleep: AtomicBool::new(false),
            poked: AtomicBool::new(false),
            group: AtomicU64::new(0),
            start: AtomicU64::new(0),
            frontier: AtomicU64::new(0),
            phase: AtomicU32::new(Phase::Working as u32),
            displaced: Mutex::new(Displaced::default()),
        }
    }

    /// The reader begins at `start`, with its cursor there if it has one.
    pub(super) fn begin(&self, group: GroupId, start: u64, cursor: Option<u64>) {
        self.group.store(group, Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.frontier.store(start, Ordering::Relaxed);
        if let Some(cursor) = cursor {
            self.cursor.store(cursor, Ordering::Release);
        }
    }

    pub(super) fn phase(&self) -> u32 {
        self.phase.load(Ordering::Relaxed)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Relaxed);
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase() == phase as u32
    }

    /// The position from which on it holds the ring up, if it does.
    pub(super) fn holds(&self) -> Option<u64> {
        if self.asleep.load(Ordering::Relaxed) {
            return None;
        }
        // Acquire: what the reader has read before it moved on may be written over.
        match self.cursor.load(Ordering::SeqCst) {
            OUT => None,
            cursor => Some(cursor & !SKIPPED),
        }
    }
}

/// A subscription's readers, and what they want.
pub(super) struct Group {
    pub(super) routes: Vec<Arc<Route>>,
    pub(super) wants: Arc<Wants>,
    pub(super) overrun: Overrun,
    /// Whether publishers are to hash keys for it.
    pub(super) divided: bool,
    pub(super) readers: Vec<Reader>,
    /// How far each of the readers had come whose work these go on with; the latest ones come last.
    pub(super) before: Vec<Vec<u64>>,
}

pub(super) struct Reader {
    pub(super) place: Arc<Place>,
    pub(super) task: Arc<dyn Rouse>,
}

impl Group {
    pub(super) fn lanes(&self) -> u32 {
        u32::try_from(self.readers.len()).unwrap_or(u32::MAX)
    }
}

/// The places of readers that have not joined yet.
pub(crate) struct Seats {
    pub(super) routes: Vec<Arc<Route>>,
    pub(super) wants: Arc<Wants>,
    pub(super) places: Vec<Arc<Place>>,
    pub(super) divided: bool,
}

impl Seats {
    /// So many, for readers that share what is on these routes.
    pub(crate) fn new(routes: Vec<Arc<Route>>, lanes: u32) -> Self {
        let wants = Arc::new(Wants::new(routes.iter().map(|route| route.kind)));
        let places = (0..lanes).map(|_| Arc::new(Place::new())).collect();
        Self { routes, wants, places, divided: lanes > 1 }
    }

    /// The same where there may be several later on, even if there is one now.
    pub(crate) fn divided(mut self) -> Self {
        self.divided = true;
        self
    }
}

/// Everything that a look at all readers at once needs.
pub(super) struct Roster {
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) group_count: u64,
    /// Positions below it may be claimed. See the invariants of the ring.
    pub(super) until: u64,
    /// Publishers are refused.
    pub(super) closed: bool,
    /// What readers have published while there was no room.
    pub(super) overflow: VecDeque<Incoming>,
    /// Lets in what overflowed where no reader will.
    pub(super) tender: Option<Arc<dyn Rouse>>,
}

impl Roster {
    pub(super) fn new(until: u64) -> Self {
        Self {
            groups: BTreeMap::new(),
            group_count: 0,
            until,
            closed: false,
            overflow: VecDeque::new(),
            tender: None,
        }
    }

    pub(super) fn floor(&self, ring: &Ring) -> u64 {
        self.until - ring.capacity
    }

    /// Wakes a reader that sleeps. See invariant 6.
    pub(super) fn wake(&self, ring: &Ring, group: &Group, place: &Place) {
        if !place.asleep.load(Ordering::Relaxed) {
            return;
        }
        for route in &group.routes {
            route.asleep.fetch_sub(1, Ordering::Relaxed);
        }
        let cursor = place.cursor.load(Ordering::Relaxed);
        if cursor != OUT {
            place.cursor.store(cursor.max(self.floor(ring)), Ordering::Relaxed);
        }
        place.set_phase(Phase::Working);
        place.asleep.store(false, Ordering::Release);
    }
}
