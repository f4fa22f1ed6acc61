//! Many runs: over seeds, and over every moment at which a process may die.

use std::{collections::BTreeMap, fmt};

use super::{
    Faults, MAX_STEPS, Run,
    attempt::{Attempt, Outcome},
    failure::Failure,
    fault::{Fault, Kind},
    rerun,
};

/// What many runs came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Explored {
    /// How many runs there were.
    pub runs: u64,
    /// How many steps their engines took.
    pub steps: u64,
    /// How often a process may have died.
    pub crash_points: u64,
    /// How many faults of each kind struck.
    pub faults: BTreeMap<String, u64>,
}

impl Explored {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.steps += outcome.steps;
        self.crash_points += outcome.crash_points();
        for fault in &outcome.struck {
            *self.faults.entry(fault.kind.to_string()).or_default() += 1;
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, steps, crash_points, faults } = self;
        write!(f, "{runs} runs, {steps} steps, {crash_points} crash points")?;
        faults.iter().try_for_each(|(kind, count)| write!(f, ", {count} x {kind}"))
    }
}

/// Runs a flow under each of these seeds. The first one is run twice, to see whether the flow is
/// deterministic.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use tidings::{
///     Bus, Event,
///     testing::{Faults, sim},
/// };
///
/// #[derive(Clone, Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "order")]
/// struct OrderPlaced { order: u64 }
///
/// let explored = sim::explore(1..=100, Faults::swarm(), |sim| {
///     let gateway = sim.clone();
///     sim.process(move |bus| -> Result<Bus, tidings::Error> {
///         let (bus, gateway) = (bus.build()?, gateway.clone());
///         bus.subscribe("billing")
///             .on(move |placed: &OrderPlaced| gateway.effect(format!("charged {}", placed.order)))
///             .start()?;
///         Ok(bus)
///     });
///     for order in 0..3 {
///         sim.publish(OrderPlaced { order });
///     }
///     sim.settle();
///     for order in 0..3 {
///         assert!(sim.count_effect(format!("charged {order}")) >= 1, "order {order} is not charged");
///     }
/// });
/// println!("{explored}");
/// ```
///
/// Where the variable `TIDINGS_SIM` names a run, as the story of a failure does, that one alone is run.
///
/// # Panics
/// A run fails, or the same seed gives two different runs. The message is the [`Failure`].
pub fn explore(
    seeds: impl IntoIterator<Item = u64>,
    faults: Faults,
    flow: impl Fn(&Run),
) -> Explored {
    try_explore(seeds, faults, flow).unwrap_or_else(|failure| panic!("{failure}"))
}

/// As [`explore`], and returns the failure of the first run that fails.
///
/// # Errors
/// A run fails.
///
/// # Panics
/// The same seed gives two different runs.
#[allow(clippy::needless_pass_by_value)] // as the builder's methods take it
pub fn try_explore(
    seeds: impl IntoIterator<Item = u64>,
    faults: Faults,
    flow: impl Fn(&Run),
) -> Result<Explored, Box<Failure>> {
    let mut explored = Explored::default();
    if let Some(rerun) = rerun::wanted() {
        let mut attempt = Attempt::of(rerun.seed, &faults, MAX_STEPS);
        attempt.given = rerun.faults;
        explored.add(&succeeded(&attempt, &flow)?);
        return Ok(explored);
    }
    for seed in seeds {
        let attempt = Attempt::of(seed, &faults, MAX_STEPS);
        let outcome = succeeded(&attempt, &flow)?;
        if explored.runs == 0 {
            assert_same(&outcome, &attempt.run(&flow));
        }
        explored.add(&outcome);
    }
    Ok(explored)
}

/// Runs a flow once as it is, and then once for every moment at which the process may die: killed
/// there, and with the power lost there. For small flows.
///
/// # Panics
/// A run fails. The message is the [`Failure`].
pub fn exhaustive(flow: impl Fn(&Run)) -> Explored {
    try_exhaustive(1, flow).unwrap_or_else(|failure| panic!("{failure}"))
}

/// As [`exhaustive`], with up to so many deaths in one run, and returns the failure of the first run that
/// fails.
///
/// # Errors
/// A run fails.
pub fn try_exhaustive(deaths: usize, flow: impl Fn(&Run)) -> Result<Explored, Box<Failure>> {
    let mut explored = Explored::default();
    let calm = Attempt::calm();
    if let Some(rerun) = rerun::wanted() {
        let faults = rerun.faults.unwrap_or_default();
        explored.add(&succeeded(&calm.given(faults), &flow)?);
        return Ok(explored);
    }
    let mut open = vec![Vec::new()];
    while let Some(faults) = open.pop() {
        let outcome = succeeded(&calm.clone().given(faults.clone()), &flow)?;
        explored.add(&outcome);
        if faults.len() < deaths {
            let first = faults.last().map_or(0, |fault: &Fault| fault.at + 1);
            let points = (first..outcome.crash_points()).rev();
            let deaths =
                points.flat_map(|at| [Kind::Kill, Kind::PowerLoss].map(|kind| Fault { kind, at }));
            open.extend(deaths.map(|death| [&*faults, &[death]].concat()));
        }
    }
    Ok(explored)
}

/// Runs a flow that is to succeed.
pub(super) fn succeeded(attempt: &Attempt, flow: &dyn Fn(&Run)) -> Result<Outcome, Box<Failure>> {
    let outcome = attempt.run(flow);
    match outcome.error {
        None => Ok(outcome),
        Some(_) => Err(Box::new(Failure::of(attempt, &outcome, flow))),
    }
}

/// Whether a seed gives one run and no other.
fn assert_same(one: &Outcome, other: &Outcome) {
    let what = |outcome: &Outcome| (outcome.trace_hash, outcome.steps, outcome.struck.clone());
    assert!(
        what(one) == what(other),
        "the same seed gave two different runs ({} steps, then {}): the flow looks at a real clock, at real \
         randomness, at other threads, or at the order of a HashMap",
        one.steps,
        other.steps
    );
}
