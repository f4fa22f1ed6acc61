//! Which faults runs have, and how often.

use std::collections::BTreeMap;

use super::fault::Kind;
use crate::runtime::mix;

/// Which faults a simulated run has, and how often: each as a probability from 0 to 1, at each moment at
/// which it may strike.
///
/// ```
/// use tidings::testing::Faults;
///
/// let faults = Faults::none().kills(0.05).handler_failures(0.1);
/// ```
///
/// Faults pass: a handler fails for one event at most twice on their account, no event is under way in
/// more than two processes that die, these do not die more than twice without any progress in between, and a
/// run has at most [`Faults::most`] of them. So a flow that retries comes to its end, whatever the
/// probabilities.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Faults {
    pub(super) rates: [f64; Kind::COUNT],
    pub(super) most: usize,
    swarm: bool,
    /// How many first attempts fail of each event, by subscription.
    pub(super) failing: BTreeMap<String, u32>,
    /// Crash points at which the process is killed, or the power fails, whatever the probabilities.
    pub(super) at: Vec<(Kind, u64)>,
}

impl Faults {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            rates: [0.0; Kind::COUNT],
            most: 50,
            swarm: false,
            failing: BTreeMap::new(),
            at: Vec::new(),
        }
    }

    /// Everything goes wrong now and then.
    pub fn all() -> Self {
        Self::none()
            .kills(0.02)
            .power_losses(0.02)
            .disk_failures(0.01)
            .handler_failures(0.1)
            .lost_acknowledgements(0.05)
            .slow_handlers(0.02)
            .clock_jumps(0.01)
            .duplicates(0.2)
            .delays(0.2)
    }

    /// Each seed draws for itself what goes wrong, and how often: with about half of all kinds of
    /// faults, each somewhere between rarely and very often. Finds more than any fixed choice
    /// ([Groce et al., Swarm Testing, 2012](https://doi.org/10.1145/2338965.2336763)).
    pub fn swarm() -> Self {
        Self { swarm: true, ..Self::none() }
    }

    /// The process is killed: before or after a commit, or before a handler is called, or when it has
    /// done its work and is not acknowledged. What was written stays.
    pub fn kills(self, probability: f64) -> Self {
        self.rate(Kind::Kill, probability)
    }

    /// The power fails, at the same moments. What was not synced is lost, kept or torn.
    pub fn power_losses(self, probability: f64) -> Self {
        self.rate(Kind::PowerLoss, probability)
    }

    /// The disk fails at a commit or a little later, and goes on failing; the process is then started
    /// anew.
    pub fn disk_failures(self, probability: f64) -> Self {
        self.rate(Kind::DiskFailure, probability)
    }

    /// A handler fails instead of being called.
    pub fn handler_failures(self, probability: f64) -> Self {
        self.rate(Kind::Failure, probability)
    }

    /// A handler has done its work, but that is not heard of, and it is called again.
    pub fn lost_acknowledgements(self, probability: f64) -> Self {
        self.rate(Kind::LostAck, probability)
    }

    /// Up to a minute passes while a handler works.
    pub fn slow_handlers(self, probability: f64) -> Self {
        self.rate(Kind::Slow, probability)
    }

    /// Time passes, up to a day, and the wall clock is set back, up to an hour; at each step of the run.
    pub fn clock_jumps(self, probability: f64) -> Self {
        self.rate(Kind::Jump, probability).rate(Kind::ClockBack, probability / 2.0)
    }

    /// A message that [`Run::deliver`](super::Run::deliver) brings arrives twice.
    pub fn duplicates(self, probability: f64) -> Self {
        self.rate(Kind::Duplicate, probability)
    }

    /// A message that [`Run::deliver`](super::Run::deliver) brings arrives up to ten seconds late, and so
    /// perhaps after later ones.
    pub fn delays(self, probability: f64) -> Self {
        self.rate(Kind::Delay, probability)
    }

    /// The first attempts of each event in this subscription fail, so many of them.
    pub fn failing(mut self, subscription: &str, attempts: u32) -> Self {
        self.failing.insert(subscription.into(), attempts);
        self
    }

    /// The process is killed at this crash point, counted from 0; see [`exhaustive`](super::exhaustive).
    pub fn kill_at(mut self, crash_point: u64) -> Self {
        self.at.push((Kind::Kill, crash_point));
        self
    }

    /// The power fails at this crash point, counted from 0.
    pub fn power_loss_at(mut self, crash_point: u64) -> Self {
        self.at.push((Kind::PowerLoss, crash_point));
        self
    }

    /// A run has at most so many faults; 50 unless set.
    pub const fn most(mut self, faults: usize) -> Self {
        self.most = faults;
        self
    }

    fn rate(mut self, kind: Kind, probability: f64) -> Self {
        self.rates[kind as usize] = probability.clamp(0.0, 1.0);
        self
    }

    /// What a seed makes of them.
    pub(super) fn for_seed(&self, seed: u64) -> Self {
        if !self.swarm {
            return self.clone();
        }
        let mut faults = Self { swarm: false, ..self.clone() };
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Chance) {
            let drawn = mix(seed ^ mix(0x5eed ^ kind as u64));
            if drawn & 1 == 1 {
                // From one in three hundred to one in two, each order of magnitude as likely.
                faults.rates[kind as usize] = 0.5 * 10_f64.powf(-2.2 * fraction(drawn));
            }
        }
        faults
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

/// The upper bits of a random number, as a fraction of 1.
pub(super) fn fraction(drawn: u64) -> f64 {
    f64::from(u32::try_from(drawn >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_draws_about_half_of_all_kinds_and_rates_of_every_size() {
        let drawn: Vec<f64> =
            (0..1000).flat_map(|seed| Faults::swarm().for_seed(seed).rates).collect();
        let on: Vec<f64> = drawn.iter().copied().filter(|rate| *rate > 0.0).collect();
        assert!((4500..5500).contains(&on.len()), "{} of 10,000", on.len());
        for (least, most) in [(0.003, 0.01), (0.01, 0.1), (0.1, 0.5)] {
            let number = on.iter().filter(|rate| (least..most).contains(*rate)).count();
            assert!(number > 1000, "{number} between {least} and {most}");
        }
        assert!(on.iter().all(|rate| *rate <= 0.5));
    }
}
