//! Which mishaps there are, and how likely each is.

use std::time::Duration;

use crate::runtime::Random;

/// How likely which mishap is, each between 0 (never, as all are at first) and 1 (always), for an
/// [`UnreliableTransport`](super::UnreliableTransport).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mishaps {
    pub(super) duplicate: Odds,
    pub(super) delay: Odds,
    pub(super) longest_delay: Duration,
    pub(super) reorder: Odds,
    pub(super) lose_ack: Odds,
    pub(super) lose_settlement: Odds,
    pub(super) partition: Odds,
    pub(super) longest_partition: Duration,
    pub(super) forget: Odds,
    pub(super) most_forgotten: u64,
    pub(super) recreate: Odds,
}

impl Mishaps {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// An arrival comes a second time, at the next receive or later.
    #[must_use]
    pub fn duplicate(mut self, odds: f64) -> Self {
        self.duplicate = Odds::of(odds);
        self
    }

    /// An arrival is late, by up to this time.
    #[must_use]
    pub fn delay(mut self, odds: f64, longest: Duration) -> Self {
        (self.delay, self.longest_delay) = (Odds::of(odds), longest);
        self
    }

    /// What is received at once is shuffled.
    #[must_use]
    pub fn reorder(mut self, odds: f64) -> Self {
        self.reorder = Odds::of(odds);
        self
    }

    /// A parcel is accepted, and whoever sends it is told
    /// [`Unknown`](crate::transport::TransportError::Unknown).
    #[must_use]
    pub fn lose_ack(mut self, odds: f64) -> Self {
        self.lose_ack = Odds::of(odds);
        self
    }

    /// A settlement does not reach the other side, and nobody is told.
    #[must_use]
    pub fn lose_settlement(mut self, odds: f64) -> Self {
        self.lose_settlement = Odds::of(odds);
        self
    }

    /// A call finds the connection cut, for up to this time: until then every call fails as
    /// [`Unreachable`](crate::transport::TransportError::Unreachable).
    #[must_use]
    pub fn partition(mut self, odds: f64, longest: Duration) -> Self {
        (self.partition, self.longest_partition) = (Odds::of(odds), longest);
        self
    }

    /// After a send, the broker loses up to so many of the parcels that a stream has accepted last, and gives
    /// their sequences to others: see [`UnreliableTransport::forget`](super::UnreliableTransport::forget).
    #[must_use]
    pub fn forget(mut self, odds: f64, most: u64) -> Self {
        (self.forget, self.most_forgotten) = (Odds::of(odds), most);
        self
    }

    /// After a send, all streams are made anew:
    /// see [`UnreliableTransport::recreate`](super::UnreliableTransport::recreate).
    #[must_use]
    pub fn recreate(mut self, odds: f64) -> Self {
        self.recreate = Odds::of(odds);
        self
    }
}

/// A probability, in parts of 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Odds(u64);

impl Odds {
    const ALL: u64 = 1 << 32;

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    #[allow(clippy::cast_precision_loss)] // a power of 2
    fn of(odds: f64) -> Self {
        Self((odds.clamp(0.0, 1.0) * Self::ALL as f64) as u64)
    }

    /// Draws, but not for what never happens: a switch that is off changes no other draw.
    pub(super) fn strike(self, random: &mut Random) -> bool {
        self.0 > 0 && random.below(Self::ALL) < self.0
    }
}

/// A time above zero, up to this.
pub(super) fn up_to(longest: Duration, random: &mut Random) -> Duration {
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(1 + random.below(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_are_from_never_to_always() {
        let mut random = Random::new(1);
        let mut strikes = |odds| (0..1000).filter(|_| Odds::of(odds).strike(&mut random)).count();
        assert_eq!((strikes(0.0), strikes(-3.0), strikes(f64::NAN)), (0, 0, 0));
        assert_eq!((strikes(1.0), strikes(7.0)), (1000, 1000));
        assert!((200..300).contains(&strikes(0.25)));
    }
}
