//! What a simulated run consists of: a clock, a disk, a process that may end, and fate.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    fate::Fate,
    fault::{Fault, Kind, Place},
    link::Link,
    store::Watched,
    story::Story,
};
#[cfg(feature = "tokio")]
use crate::testing::bus::{OwnRuntime, Watch};
use crate::{
    bus::{Bus, BusBuilder},
    message::Position,
    runtime::{ProcessEnded, mix, simulator::Simulator},
    storage::FileStorage,
    testing::MemoryDisk,
};

/// Small, so that runs meet the ends of segments.
const SEGMENT_BYTES: u64 = 64 << 10;

/// How many steps a process takes whose disk has failed, before it is started anew.
const AILING_STEPS: u64 = 20;

/// How a process of the user's starts.
type Start = dyn Fn(BusBuilder) -> Result<Bus, Box<dyn StdError + Send + Sync>> + Send + Sync;

/// Something that is looked at when the run is over.
type View = Box<dyn Fn() -> String + Send + Sync>;

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) simulator: Simulator,
    pub(super) disk: MemoryDisk,
    pub(super) fate: Mutex<Fate>,
    pub(super) story: Story,
    pub(super) link: Link,
    /// What handlers have done outside.
    pub(super) effects: Mutex<Vec<String>>,
    pub(super) views: Mutex<BTreeMap<String, View>>,
    /// Which handlers were called, if anybody is to know.
    pub(super) calls: Option<Mutex<Vec<Called>>>,
    start: Mutex<Option<Arc<Start>>>,
    bus: Mutex<Option<Bus>>,
    #[cfg(feature = "tokio")]
    tokio: Mutex<Option<Arc<OwnRuntime>>>,
    /// The handlers that are at work.
    pub(super) under_way: Mutex<BTreeSet<(String, Position)>>,
    /// The process has ended. Nobody hears of what it still does.
    is_over: AtomicBool,
    /// Its disk has failed.
    is_ailing: AtomicBool,
    /// How many steps it has taken since then.
    ailed: AtomicU64,
    processes: AtomicU64,
    /// A hash of what was written.
    trace: AtomicU64,
    drawn: AtomicU64,
    steps: AtomicU64,
}

/// A handler that was called, and has done its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) subscription: String,
    pub(crate) event: String,
    /// Of that success.
    pub(crate) success: u64,
    pub(crate) crash_point: u64,
}

impl World {
    pub(super) fn new(seed: u64, fate: Fate, story: Story, notes_calls: bool) -> Self {
        Self {
            seed,
            simulator: Simulator::new(seed),
            disk: MemoryDisk::new(),
            fate: Mutex::new(fate),
            story,
            link: Link::default(),
            effects: Mutex::default(),
            views: Mutex::default(),
            calls: notes_calls.then(Mutex::default),
            start: Mutex::default(),
            bus: Mutex::default(),
            #[cfg(feature = "tokio")]
            tokio: Mutex::default(),
            under_way: Mutex::default(),
            is_over: false.into(),
            is_ailing: false.into(),
            ailed: 0.into(),
            steps: 0.into(),
            processes: 0.into(),
            trace: seed.into(),
            drawn: 0.into(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.simulator.elapsed()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// A random number for the flow. It depends on no schedule and on no fault.
    pub(super) fn draw(&self) -> u64 {
        mix(self.seed ^ mix(self.drawn.fetch_add(1, Relaxed)))
    }

    /// Whether something goes wrong at a moment of this kind.
    pub(super) fn strikes(&self, place: Place) -> Option<Fault> {
        self.fate.lock().strikes(place)
    }

    /// A moment at which the process may end.
    pub(super) fn crash_point(&self, moment: impl FnOnce() -> String) {
        if self.is_over() {
            return;
        }
        if let Some(fault) = self.strikes(Place::CrashPoint) {
            self.end_process(fault.kind, moment);
        }
    }

    /// The process ends here and now, and the stack of a handler of it with it.
    pub(super) fn end_process(&self, how: Kind, moment: impl FnOnce() -> String) {
        let number = self.processes.load(Relaxed);
        self.story.warn(self.now(), || match how {
            Kind::PowerLoss => format!("POWER LOSS {}: process {number} has ended", moment()),
            _ => format!("KILLED {}: process {number} has ended", moment()),
        });
        self.is_over.store(true, Relaxed);
        self.fate.lock().crashed();
        match how {
            Kind::PowerLoss => self.disk.crash(mix(self.seed ^ mix(number))),
            _ => self.disk.kill(),
        }
        self.stop();
        ProcessEnded::unwind_handler();
    }

    /// The disk fails, at once or a little later.
    pub(super) fn break_disk(&self, fault: Fault) {
        let later = self.fate.lock().drawn(fault) % 4;
        self.story.warn(self.now(), || "THE DISK FAILS, and goes on failing".into());
        self.disk.fail_after(later);
        self.is_ailing.store(true, Relaxed);
    }

    pub(super) fn start_by(&self, start: Arc<Start>) {
        *self.start.lock() = Some(start);
    }

    /// The bus of the process that runs. Starts one where none does.
    pub(super) fn bus(self: &Arc<Self>) -> Bus {
        if self.is_over() {
            self.bury();
        }
        if let Some(bus) = &*self.bus.lock() {
            return bus.clone();
        }
        let bus = self.begin();
        *self.bus.lock() = Some(bus.clone());
        bus
    }

    pub(super) fn is_ailing(&self) -> bool {
        self.is_ailing.load(Relaxed)
    }

    /// A process whose disk has failed goes on for a while.
    pub(super) fn ail(&self) {
        if self.is_ailing() && self.ailed.fetch_add(1, Relaxed) >= AILING_STEPS {
            self.end_ailing();
        }
    }

    pub(super) fn count_step(&self) -> u64 {
        self.steps.fetch_add(1, Relaxed) + 1
    }

    /// A process whose disk has failed is ended, since it comes to nothing any more.
    pub(super) fn end_ailing(&self) {
        if self.is_ailing() && !self.is_over() {
            self.end_process(Kind::Kill, || "because its disk has failed".into());
        }
    }

    /// Ends the process as it should be.
    pub(super) fn shut_down(&self, timeout: Duration) {
        let bus = self.bus.lock().clone();
        let Some(bus) = bus.filter(|_| !self.is_over()) else { return };
        let report = bus.shutdown(timeout);
        if self.is_over() {
            return;
        }
        let number = self.processes.load(Relaxed);
        self.story.tell(self.now(), || match report {
            Ok(report) => format!("process {number} shuts down, {} left", report.left),
            Err(error) => format!("process {number} shuts down: {error}"),
        });
        self.is_over.store(true, Relaxed);
        self.stop();
        self.disk.kill();
    }

    /// Nothing of the process runs any more.
    fn stop(&self) {
        self.simulator.crash();
        #[cfg(feature = "tokio")]
        self.simulator.accompany(None);
        self.under_way.lock().clear();
    }

    /// Takes away what is left of a process.
    fn bury(&self) {
        self.let_go();
        self.disk.heal();
        self.is_ailing.store(false, Relaxed);
        self.ailed.store(0, Relaxed);
        self.is_over.store(false, Relaxed);
    }

    fn let_go(&self) {
        let bus = self.bus.lock().take();
        drop(bus);
        #[cfg(feature = "tokio")]
        {
            let tokio = self.tokio.lock().take();
            drop(tokio);
        }
    }

    /// Starts a process where async handlers find a runtime to run on.
    #[cfg(feature = "tokio")]
    fn inside<R>(self: &Arc<Self>, start: impl FnOnce() -> R) -> R {
        let tokio = Arc::new(OwnRuntime::new(&self.simulator, Arc::clone(self) as _));
        self.simulator.accompany(Some(Arc::clone(&tokio) as _));
        let handle = tokio.handle().clone();
        *self.tokio.lock() = Some(tokio);
        let _entered = handle.enter();
        start()
    }

    #[cfg(not(feature = "tokio"))]
    #[allow(clippy::unused_self)] // the same in both builds
    fn inside<R>(&self, start: impl FnOnce() -> R) -> R {
        start()
    }

    fn begin(self: &Arc<Self>) -> Bus {
        let start = self.start.lock().clone();
        let Some(start) = start else {
            panic!(
                "a simulated run begins with `sim.process(..)`, which says how its process starts"
            )
        };
        loop {
            let number = self.processes.fetch_add(1, Relaxed) + 1;
            self.story.tell(self.now(), || format!("process {number} starts"));
            let started = self.inside(|| start(self.builder()));
            if self.is_over() {
                drop(started);
                self.bury();
                continue;
            }
            match started {
                Ok(bus) => return bus,
                Err(_) if self.is_ailing() => {
                    self.end_ailing();
                    self.bury();
                }
                Err(error) => panic!("the process does not start: {error}"),
            }
        }
    }

    fn builder(self: &Arc<Self>) -> BusBuilder {
        let store = FileStorage::builder("store").disk(self.disk.clone());
        let store = match store.segment_bytes(SEGMENT_BYTES).open() {
            Ok(store) => store,
            Err(error) => panic!("the store does not open after a crash: {error}"),
        };
        let probe = Arc::clone(self) as Arc<_>;
        Bus::builder()
            .runtime(self.simulator.runtime())
            .storage(Watched::new(store, Arc::clone(self)))
            .probe(probe)
    }

    /// What was written becomes part of the trace.
    pub(super) fn trace(&self, bytes: &[u8]) {
        let written = self.trace.load(Relaxed) ^ u64::from(crc32c::crc32c(bytes));
        self.trace.store(mix(written), Relaxed);
    }

    pub(super) fn trace_hash(&self) -> u64 {
        mix(self.trace.load(Relaxed) ^ self.simulator.trace_hash())
    }

    /// Lets go of everything, since handlers may hold what holds the world.
    pub(super) fn end(&self) {
        self.is_over.store(true, Relaxed);
        self.stop();
        self.link.clear();
        self.let_go();
        drop(self.start.lock().take());
        drop(std::mem::take(&mut *self.views.lock()));
    }
}

#[cfg(feature = "tokio")]
impl Watch for World {
    fn is_busy(&self) -> bool {
        !self.under_way.lock().is_empty()
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Whether every event of every running subscription is accounted for.
pub(super) fn unbalanced(bus: &Bus) -> Option<String> {
    let wrong = bus.ledgers().into_iter().find(|(_, ledger)| !ledger.is_balanced());
    wrong.map(|(name, ledger)| format!("the ledger of `{name}` does not balance: {ledger}"))
}
