//! Running a flow once.

use std::{
    any::Any,
    cell::Cell,
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{Arc, Once},
};

use super::{
    MAX_STEPS, Run,
    fate::Fate,
    fault::{Fault, Place},
    faults::Faults,
    sight::Sight,
    story::Story,
    world::{Called, World},
};

/// What a run is to be.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(super) seed: u64,
    pub(super) faults: Faults,
    pub(super) max_steps: u64,
    /// These faults strike, and no others.
    pub(super) given: Option<BTreeSet<Fault>>,
    /// Its story is wanted.
    pub(super) is_told: bool,
    /// Its panics are not printed.
    pub(super) is_quiet: bool,
    /// What it leaves behind is wanted.
    pub(super) is_watched: bool,
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Why it failed, if it did.
    pub(crate) error: Option<String>,
    pub(super) struck: Vec<Fault>,
    /// How many moments there were at which something may go wrong, by their kind.
    pub(super) moments: [u64; Place::COUNT],
    pub(super) steps: u64,
    pub(super) trace_hash: u64,
    pub(crate) story: Option<String>,
    pub(crate) calls: Vec<Called>,
    pub(crate) sight: Option<Sight>,
}

impl Attempt {
    pub(super) fn of(seed: u64, faults: &Faults, max_steps: u64) -> Self {
        Self {
            seed,
            faults: faults.for_seed(seed),
            max_steps,
            given: None,
            is_told: false,
            is_quiet: false,
            is_watched: false,
        }
    }

    /// In which nothing goes wrong.
    pub(crate) fn calm() -> Self {
        Self::of(0, &Faults::none(), MAX_STEPS)
    }

    /// The same with these faults instead of what is drawn.
    pub(crate) fn given(self, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { given: Some(faults.into_iter().collect()), ..self }
    }

    pub(crate) fn told(self) -> Self {
        Self { is_told: true, ..self }
    }

    pub(crate) fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    pub(crate) fn watched(self) -> Self {
        Self { is_watched: true, ..self }
    }

    pub(crate) fn run(&self, flow: &dyn Fn(&Run)) -> Outcome {
        let fate = Fate::new(self.seed, self.faults.clone(), self.given.clone());
        let world = World::new(self.seed, fate, Story::new(self.is_told), self.is_watched);
        let run = Run { world: Arc::new(world), max_steps: self.max_steps };
        let world = &*run.world;
        let whole = || {
            flow(&run);
            self.is_watched.then(|| Sight::of(&run))
        };
        let ended = hushed(self.is_quiet, || catch_unwind(AssertUnwindSafe(whole)));
        let (error, sight) = match ended {
            Ok(sight) => (None, sight),
            Err(panic) => (Some(text_of(&*panic)), None),
        };
        world.end();
        let fate = world.fate.lock();
        Outcome {
            error,
            sight,
            struck: fate.struck.clone(),
            moments: fate.counts,
            steps: world.simulator.steps(),
            trace_hash: world.trace_hash(),
            story: world.story.text(),
            calls: world.calls.as_ref().map(|calls| calls.lock().clone()).unwrap_or_default(),
        }
    }
}

impl Outcome {
    pub(super) fn crash_points(&self) -> u64 {
        self.moments[Place::CrashPoint as usize]
    }

    /// What is left behind that was not in another run, and what is missing. Both are watched.
    pub(crate) fn differences(&self, plain: &Self) -> Vec<String> {
        if let Some(error) = &self.error {
            return vec![format!("a flow that fails: {error}")];
        }
        match (&plain.sight, &self.sight) {
            (Some(plain), Some(other)) => plain.differences(other),
            _ => Vec::new(),
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the flow panicked".into())
}

thread_local! {
    static HUSHED: Cell<bool> = const { Cell::new(false) };
}

/// Does something whose panics are expected, and not printed: those of this thread.
fn hushed<R>(is_quiet: bool, act: impl FnOnce() -> R) -> R {
    static HOOK: Once = Once::new();

    if !is_quiet {
        return act();
    }
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !HUSHED.get() {
                before(info);
            }
        }));
    });
    let before = HUSHED.replace(true);
    let result = act();
    HUSHED.set(before);
    result
}
