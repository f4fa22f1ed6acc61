//! Proving that the handlers of a flow are idempotent, or showing which one is not.

use std::{collections::BTreeMap, fmt};

use super::sim::{
    Run,
    proof::{Attempt, Called, Fault, Kind, Outcome},
};

/// How a handler came to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interruption {
    /// It had done its work, and that was not heard of.
    LostAcknowledgement,
    /// It had done its work, and the process was killed before that was committed.
    Kill,
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LostAcknowledgement => "its acknowledgement was lost, and it was called again",
            Self::Kill => {
                "the process was killed before it was acknowledged, and it was called again"
            }
        })
    }
}

/// A handler that is not idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Culprit {
    /// Its subscription.
    pub subscription: String,
    /// The name of its event.
    pub event: String,
    /// What happened to it.
    pub interruption: Interruption,
    /// What came of that, beside a run in which it did not happen: `-` is missing, `+` is new.
    pub differences: Vec<String>,
    /// What happened in the run; see [`Failure::story`](super::sim::Failure::story).
    pub story: String,
}

/// Some handlers of a flow are not idempotent. Printed, it is the whole story.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct NotIdempotent {
    /// Each handler that is not, with the first call that shows it.
    pub culprits: Vec<Culprit>,
}

impl fmt::Display for NotIdempotent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Culprit { subscription, event, interruption, differences, story } in &self.culprits {
            writeln!(f, "the handler of `{event}` in `{subscription}` is not idempotent:")?;
            writeln!(f, "{interruption}, and then there is")?;
            differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))?;
            writeln!(f, "\nWhat happened:\n{story}")?;
        }
        Ok(())
    }
}

/// What was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// The handlers, as subscription and event, and how many calls of each were interrupted.
    pub handlers: BTreeMap<(String, String), u64>,
    /// How many runs it took.
    pub runs: u64,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs; idempotent are the handlers of", self.runs)?;
        for ((subscription, event), calls) in &self.handlers {
            writeln!(f, "  `{event}` in `{subscription}`, {calls} calls")?;
        }
        Ok(())
    }
}

/// Finds out whether every handler of a flow is idempotent: runs the flow once as it is, and then twice for
/// every call of a handler that succeeds, with that call repeated, once because its acknowledgement is
/// lost and once because the process is killed before it. Whatever is left behind has to be the same: the
/// [effects](Run::effect), the [views](Run::view), the events in the journal and the state that handlers
/// keep there, in whatever order they came.
///
/// A flow whose events contain the time, or a number that is drawn anew for each attempt, differs for that
/// alone; take [`Context::published_at`](crate::Context::published_at), or something that the event has.
///
/// # Panics
/// A handler is not idempotent; the message is [`NotIdempotent`]. Or the flow fails as it is.
pub fn prove_idempotent(flow: impl Fn(&Run)) -> Proof {
    try_prove_idempotent(flow).unwrap_or_else(|found| panic!("{found}"))
}

/// As [`prove_idempotent`], and returns the handlers that are not idempotent.
///
/// # Errors
/// A handler is not idempotent.
///
/// # Panics
/// The flow fails as it is.
pub fn try_prove_idempotent(flow: impl Fn(&Run)) -> Result<Proof, NotIdempotent> {
    let plain = Attempt::calm().watched().run(&flow);
    if let Some(error) = &plain.error {
        panic!("the flow fails though nothing goes wrong: {error}");
    }
    let mut proof = Proof { handlers: BTreeMap::new(), runs: 1 };
    let mut culprits: Vec<Culprit> = Vec::new();
    for call in &plain.calls {
        let known =
            |one: &Culprit| one.subscription == call.subscription && one.event == call.event;
        if culprits.iter().any(known) {
            continue;
        }
        let handler = (call.subscription.clone(), call.event.clone());
        *proof.handlers.entry(handler).or_default() += 1;
        for interruption in [Interruption::LostAcknowledgement, Interruption::Kill] {
            proof.runs += 1;
            if let Some(culprit) = interrupt(call, interruption, &plain, &flow) {
                culprits.push(culprit);
                break;
            }
        }
    }
    if culprits.is_empty() { Ok(proof) } else { Err(NotIdempotent { culprits }) }
}

/// Repeats one call, and sees whether that makes a difference.
fn interrupt(
    call: &Called,
    interruption: Interruption,
    plain: &Outcome,
    flow: &dyn Fn(&Run),
) -> Option<Culprit> {
    let fault = match interruption {
        Interruption::LostAcknowledgement => Fault { kind: Kind::LostAck, at: call.success },
        Interruption::Kill => Fault { kind: Kind::Kill, at: call.crash_point },
    };
    let attempt = Attempt::calm().given([fault]).watched().quiet();
    let differences = attempt.run(flow).differences(plain);
    if differences.is_empty() {
        return None;
    }
    Some(Culprit {
        subscription: call.subscription.clone(),
        event: call.event.clone(),
        interruption,
        differences,
        story: attempt.told().run(flow).story.unwrap_or_default(),
    })
}
