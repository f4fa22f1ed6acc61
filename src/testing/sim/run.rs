//! What a flow does in a simulated run.

use std::{
    error::Error as StdError,
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

use super::{
    fault::{Fault, Kind, Place},
    faults::fraction,
    world::{World, unbalanced},
};
use crate::{
    bus::{Bus, BusBuilder, Receipt},
    event::Event,
    journal::PublishFailure,
    message::{Message, MessageId, Publishable},
};

/// The longest jump of the clock, the furthest that it is set back, and the longest delay of a message.
const JUMP: Duration = Duration::from_hours(24);
const BACK: Duration = Duration::from_hours(1);
const DELAY: Duration = Duration::from_secs(10);

/// A simulated run: what a flow has at hand. A clone is the same run; handlers may hold one.
///
/// Everything that goes on in the run is done by its methods, one thing after the other, on one thread.
/// When the process has died, the next of them starts it anew.
#[derive(Clone)]
pub struct Run {
    pub(super) world: Arc<World>,
    pub(super) max_steps: u64,
}

impl Run {
    /// Says how a process starts, and starts it: builds the bus as in production, from a builder that
    /// has the runtime and the storage of the run, and starts the subscriptions. Called again whenever
    /// the process has died; what it does not keep elsewhere is lost then, as it would be.
    ///
    /// # Panics
    /// The process does not start, without any fault that would explain it.
    pub fn process<E>(&self, start: impl Fn(BusBuilder) -> Result<Bus, E> + Send + Sync + 'static)
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.world.start_by(Arc::new(move |builder| start(builder).map_err(Into::into)));
        drop(self.bus());
    }

    /// The bus of the process that runs. A call of it may come to nothing because the process dies;
    /// it then returns an error, and the next `bus` is another one.
    #[must_use]
    pub fn bus(&self) -> Bus {
        self.world.bus()
    }

    /// Publishes as a client would that wants to be sure: until it is acknowledged, however often the
    /// process dies, and with one id, so that it is published once.
    ///
    /// # Panics
    /// The message is refused, whatever goes wrong or not.
    pub fn publish<P>(&self, message: P) -> Receipt
    where
        P: Publishable<Event: Clone>,
    {
        let mut id = [0; 16];
        for (half, bytes) in id.chunks_mut(8).enumerate() {
            bytes.copy_from_slice(&(self.world.draw() ^ half as u64).to_be_bytes());
        }
        self.publish_once(&message.into_message().or_id(MessageId::from_bytes(id)))
    }

    fn publish_once<E: Event + Clone>(&self, message: &Message<E>) -> Receipt {
        loop {
            let error = match self.bus().publish(message.clone()) {
                Ok(receipt) => {
                    self.world.fate.lock().progress();
                    return receipt;
                }
                Err(error) => error,
            };
            self.count_step();
            if self.world.is_over() {
                continue;
            }
            match error.failure() {
                PublishFailure::Storage(_) if self.world.is_ailing() => self.world.end_ailing(),
                _ => panic!("`{}` cannot be published: {error}", E::NAME),
            }
        }
    }

    /// Has a message come from outside, over a link on which it may be late, overtaken, or there twice.
    /// It comes as the run goes on.
    pub fn deliver<P>(&self, message: P)
    where
        P: Publishable<Event: Clone>,
    {
        let message = message.into_message();
        let copies = if self.strikes(Place::Arrival, Kind::Duplicate).is_some() { 2 } else { 1 };
        for copy in 0..copies {
            let late = self.strikes(Place::Arrival, Kind::Delay);
            let delay = late.map_or(Duration::ZERO, |fault| self.share_of(DELAY, fault));
            let message = message.clone();
            self.world.story.tell(self.elapsed(), || {
                let again = if copy > 0 { " once more" } else { "" };
                format!("{} is sent{again}, to arrive in {delay:.1?}", <P::Event as Event>::NAME)
            });
            let publish = move |run: &Self| _ = run.publish(message);
            self.world.link.send(self.elapsed() + delay, Box::new(publish));
        }
    }

    /// Runs what is due, and then until nothing is left to do, timers and messages on their way
    /// included.
    ///
    /// # Panics
    /// It does not come to an end: after [`Sim::max_steps`](super::Sim::max_steps).
    pub fn run_until_idle(&self) {
        while self.step(Duration::MAX) {}
    }

    /// Runs what is due in the next `time`, and moves the clock there.
    ///
    /// # Panics
    /// As [`Run::run_until_idle`].
    pub fn advance(&self, time: Duration) {
        let end = self.elapsed().saturating_add(time);
        while self.step(end) {}
        self.world.simulator.pass(end.saturating_sub(self.elapsed()));
    }

    /// Takes one step: a task runs, a message arrives, or the clock moves on to the next timer. False
    /// where there is nothing to do.
    #[must_use]
    pub fn step_once(&self) -> bool {
        self.step(Duration::MAX)
    }

    fn step(&self, end: Duration) -> bool {
        drop(self.bus());
        self.count_step();
        self.turn_clock();
        let world = &self.world;
        let next = world.link.next_at().map_or(end, |next| next.min(end));
        let stepped = match next {
            Duration::MAX => world.simulator.step(),
            next => world.simulator.step_until(next),
        };
        if stepped {
            world.ail();
            return true;
        }
        if let Some((at, arrival)) = world.link.take(end) {
            world.simulator.pass(at.saturating_sub(self.elapsed()));
            arrival(self);
            return true;
        }
        if world.is_ailing() {
            world.end_ailing();
            return true;
        }
        world.is_over()
    }

    fn turn_clock(&self) {
        let Some(fault) = self.world.strikes(Place::Step) else { return };
        let (simulator, now) = (&self.world.simulator, self.elapsed());
        if fault.kind == Kind::Jump {
            let time = self.share_of(JUMP, fault);
            self.world.story.warn(now, || format!("{time:.1?} pass"));
            simulator.pass(time);
        } else {
            let time = self.share_of(BACK, fault);
            self.world.story.warn(now, || format!("the wall clock is set back by {time:.1?}"));
            simulator.set_back(time);
        }
    }

    /// Lets everything come to its rest; then ends all faults, and does so again. Assertions about how a
    /// flow ends come after it.
    ///
    /// # Panics
    /// The run does not come to its rest, or an event of a subscription is not accounted for.
    pub fn settle(&self) {
        self.run_until_idle();
        self.world.fate.lock().end();
        self.world.end_ailing();
        self.run_until_idle();
        if let Some(unbalanced) = unbalanced(&self.bus()) {
            panic!("{unbalanced}");
        }
    }

    /// Kills the process.
    pub fn kill(&self) {
        self.end(Kind::Kill);
    }

    /// Has the power fail: what was not synced is lost, kept or torn.
    pub fn lose_power(&self) {
        self.end(Kind::PowerLoss);
    }

    fn end(&self, how: Kind) {
        drop(self.bus());
        if !self.world.is_over() {
            self.world.end_process(how, || "by the flow".into());
        }
    }

    /// Shuts the process down, and starts it anew.
    pub fn restart(&self, timeout: Duration) {
        drop(self.bus());
        self.world.shut_down(timeout);
        drop(self.bus());
    }

    /// Virtual time since the run began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.now()
    }

    /// A random number below `bound`, from the seed. It depends on no fault, so that a flow does the same
    /// whatever goes wrong.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        ((u128::from(self.world.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something goes wrong that only the flow knows of: true with this probability, told as this,
    /// and left out where a failure is the same without it. For the fakes of services that handlers
    /// call, say.
    #[must_use]
    pub fn chance(&self, what: impl Display, probability: f64) -> bool {
        if self.world.is_over() || self.world.fate.lock().chance(probability).is_none() {
            return false;
        }
        self.world.story.warn(self.elapsed(), || what.to_string());
        true
    }

    /// Adds a line to the story of the run.
    pub fn note(&self, what: impl Display) {
        self.world.story.note(self.elapsed(), || what.to_string());
    }

    /// Something was done outside, by a handler: it is told, counted, and compared where a flow is to be
    /// [proved idempotent](crate::testing::prove_idempotent). What a dead process does is not done.
    pub fn effect(&self, what: impl Display) {
        if self.world.is_over() {
            return;
        }
        self.note(&what);
        self.world.effects.lock().push(what.to_string());
    }

    /// What was done outside, in order.
    #[must_use]
    pub fn effects(&self) -> Vec<String> {
        self.world.effects.lock().clone()
    }

    /// How often this was done outside.
    #[must_use]
    pub fn count_effect(&self, what: impl Display) -> usize {
        let what = what.to_string();
        self.world.effects.lock().iter().filter(|effect| **effect == what).count()
    }

    /// Names something that is looked at when the run is over, and compared where a flow is to be
    /// [proved idempotent](crate::testing::prove_idempotent): a table of the user's own, say.
    pub fn view(&self, name: &str, show: impl Fn() -> String + Send + Sync + 'static) {
        self.world.views.lock().insert(name.into(), Box::new(show));
    }

    fn strikes(&self, place: Place, kind: Kind) -> Option<Fault> {
        self.world.fate.lock().strikes_if(place, |other| other == kind)
    }

    /// As much of a time as the fault has drawn.
    fn share_of(&self, most: Duration, fault: Fault) -> Duration {
        most.mul_f64(fraction(self.world.fate.lock().drawn(fault)))
    }

    fn count_step(&self) {
        let steps = self.world.count_step();
        assert!(
            steps <= self.max_steps,
            "the run does not come to its rest: {steps} steps, {:?} of virtual time",
            self.elapsed()
        );
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("seed", &self.world.seed)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}
