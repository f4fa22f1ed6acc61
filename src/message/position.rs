//! The place of an event in the journal.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

/// The place of an event in a bus's single total order: dense, from 1. Serde carries it as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(NonZeroU64);

impl Position {
    /// The first position of every journal.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// A position after every other.
    pub const LAST: Self = Self(NonZeroU64::MAX);

    /// No log that ends beyond it is opened, so that one can always count on: at a billion events a
    /// second that takes 146 years.
    pub(crate) const HIGHEST: Self = Self::FIRST.plus(u64::MAX / 4 - 1);

    /// The position with this number; `None` for 0.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The position `count` further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The next position.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// How many positions lie from `earlier` (included) to this one (excluded).
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.get().saturating_sub(earlier.get())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
