//! Running a whole event flow under a seed: the user's real handlers on virtual time, with processes that
//! die, disks that fail and messages that come twice, again and again the same.
//!
//! [`Sim`] is one run, [`explore`] runs many seeds, and [`exhaustive`] has the process die at every moment
//! at which it may. When a run fails, the [`Failure`] names its seed and the few faults that it takes, and
//! tells what happened.

mod attempt;
mod explore;
mod failure;
mod fate;
mod fault;
mod faults;
mod link;
mod rerun;
mod run;
mod sight;
mod store;
mod story;
mod watch;
mod world;

pub use explore::{Explored, exhaustive, explore, try_exhaustive, try_explore};
pub use failure::Failure;
pub use faults::Faults;
pub use run::Run;

use self::{attempt::Attempt, explore::succeeded};

/// What it takes to run a flow with faults of one's own choice.
pub(super) mod proof {
    pub(crate) use super::{
        attempt::{Attempt, Outcome},
        fault::{Fault, Kind},
        world::Called,
    };
}

/// How many steps a run may take unless somebody says otherwise.
const MAX_STEPS: u64 = 1_000_000;

/// One simulated run of a flow.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use tidings::{
///     Bus, Context, Event, HandlerError,
///     testing::{Faults, Sim},
/// };
///
/// #[derive(Clone, Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "order")]
/// struct OrderPlaced { order: u64 }
///
/// let passed = Sim::new(7).faults(Faults::none().kills(0.1)).run(|sim| {
///     let gateway = sim.clone();
///     sim.process(move |bus| -> Result<Bus, tidings::Error> {
///         let (bus, gateway) = (bus.build()?, gateway.clone());
///         bus.subscribe("billing")
///             .on(move |placed: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
///                 let charge = || Ok::<_, HandlerError>(gateway.effect(format!("charge {}", placed.order)));
///                 ctx.once("charge", charge)
///             })
///             .start()?;
///         Ok(bus)
///     });
///     sim.publish(OrderPlaced { order: 4711 });
///     sim.settle();
///     assert!(sim.count_effect("charge 4711") >= 1);
/// });
/// println!("{} steps, {:?}", passed.steps, passed.faults);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a run does nothing until it is given a flow"]
pub struct Sim {
    seed: u64,
    faults: Faults,
    max_steps: u64,
}

/// A run that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// How many steps the engine took.
    pub steps: u64,
    /// A hash of what ran, when, and what was written: the same for the same seed, flow and release, on
    /// every machine.
    pub trace_hash: u64,
    /// What went wrong.
    pub faults: Vec<String>,
    /// What happened; see [`Failure::story`].
    pub story: String,
}

impl Sim {
    /// A run under this seed, in which nothing goes wrong.
    pub const fn new(seed: u64) -> Self {
        Self { seed, faults: Faults::none(), max_steps: MAX_STEPS }
    }

    /// What goes wrong, and how often.
    pub fn faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// How many steps the run may take: one that takes more fails. A million unless set.
    pub const fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = steps;
        self
    }

    /// Runs a flow. It is called again, with fewer faults, if it fails.
    ///
    /// # Panics
    /// The flow panics. The message is the [`Failure`].
    #[allow(clippy::must_use_candidate)] // a flow that fails panics
    pub fn run(self, flow: impl Fn(&Run)) -> Passed {
        self.try_run(flow).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// As [`Sim::run`], and returns the failure.
    ///
    /// # Errors
    /// The flow panics.
    pub fn try_run(self, flow: impl Fn(&Run)) -> Result<Passed, Box<Failure>> {
        let mut attempt = Attempt::of(self.seed, &self.faults, self.max_steps).told();
        if let Some(rerun) = rerun::wanted() {
            attempt.seed = rerun.seed;
            attempt.given = rerun.faults;
        }
        let outcome = succeeded(&attempt, &flow)?;
        Ok(Passed {
            steps: outcome.steps,
            trace_hash: outcome.trace_hash,
            faults: outcome
                .struck
                .iter()
                .map(|fault| format!("{} ({fault})", fault.kind))
                .collect(),
            story: outcome.story.unwrap_or_default(),
        })
    }
}
