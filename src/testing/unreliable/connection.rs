//! What one connection does to what passes it: cuts, and arrivals that come late or twice.

use std::sync::Arc;

use crate::{
    runtime::{Random, Tick},
    transport::{Arrival, Token, TransportError},
};

/// Whether a connection is cut.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Cut {
    #[default]
    None,
    Until(Tick),
    Lasting,
}

/// The cause of an error that was made up.
#[derive(Debug, thiserror::Error)]
#[error("simulated: {0}")]
pub(super) struct Simulated(pub(super) &'static str);

impl Cut {
    pub(super) fn holds(self, now: Tick) -> bool {
        match self {
            Self::None => false,
            Self::Until(end) => now < end,
            Self::Lasting => true,
        }
    }

    pub(super) fn check(self, now: Tick, doing: &'static str) -> Result<(), TransportError> {
        if !self.holds(now) {
            return Ok(());
        }
        Err(TransportError::Unreachable { doing, source: Arc::new(Simulated("a cut connection")) })
    }
}

/// Arrivals that are on their way still.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Late>);

#[derive(Debug)]
struct Late {
    due: Tick,
    group: String,
    arrival: Arrival,
}

impl Held {
    pub(super) fn push(&mut self, group: &str, arrival: Arrival, due: Tick) {
        self.0.push(Late { due, group: group.to_owned(), arrival });
    }

    /// How many have come for a group, of at most so many.
    pub(super) fn count(&self, group: &str, now: Tick, max: usize) -> usize {
        let due = self.0.iter().filter(|late| late.due <= now && late.group == group);
        due.count().min(max)
    }

    pub(super) fn take(&mut self, group: &str, now: Tick, max: usize) -> Vec<Arrival> {
        let is_due = |late: &mut Late| late.due <= now && late.group == group;
        self.0.extract_if(.., is_due).take(max).map(|late| late.arrival).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// When the next one comes, of those that have not.
    pub(super) fn next_after(&self, now: Tick) -> Option<Tick> {
        self.0.iter().map(|late| late.due).filter(|due| *due > now).min()
    }
}

const REAL: u8 = 0;
const COPY: u8 = 1;

/// The token of an arrival, as it is given away.
pub(super) fn token_of_original(token: &Token) -> Token {
    marked(REAL, token)
}

/// The token of a copy of it.
pub(super) fn token_of_copy(token: &Token) -> Token {
    marked(COPY, token)
}

fn marked(mark: u8, token: &Token) -> Token {
    Token::new([&[mark], token.as_bytes()].concat())
}

/// The token that the other side knows; none of a copy, which it knows nothing of.
pub(super) fn real_token(token: &Token) -> Result<Option<Token>, TransportError> {
    match token.as_bytes() {
        [REAL, real @ ..] => Ok(Some(Token::new(real))),
        [COPY, ..] => Ok(None),
        _ => Err(TransportError::Stale),
    }
}

pub(super) fn shuffle(arrivals: &mut [Arrival], random: &mut Random) {
    for end in (1..arrivals.len()).rev() {
        let other = random.below(end as u64 + 1);
        arrivals.swap(end, usize::try_from(other).unwrap_or(end));
    }
}
