//! What can go wrong in a simulated run, and how one instance of it is named.

use std::fmt;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The process is killed.
    Kill,
    /// The power fails: what was not synced may be lost.
    PowerLoss,
    /// The disk fails, and goes on failing until the process is started anew.
    DiskFailure,
    /// A handler fails instead of being called.
    Failure,
    /// A handler has done its work, and its acknowledgement is lost: it is called again.
    LostAck,
    /// Time passes while a handler works.
    Slow,
    /// Time passes of which nobody knows why.
    Jump,
    /// The wall clock is set back.
    ClockBack,
    /// A message from outside arrives twice.
    Duplicate,
    /// A message from outside arrives late, and so perhaps after later ones.
    Delay,
    /// What the flow itself asks about.
    Chance,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::Kill,
        Self::PowerLoss,
        Self::DiskFailure,
        Self::Failure,
        Self::LostAck,
        Self::Slow,
        Self::Jump,
        Self::ClockBack,
        Self::Duplicate,
        Self::Delay,
        Self::Chance,
    ];

    pub(super) const COUNT: usize = Self::ALL.len();

    /// A letter for it, in what names a run.
    const fn letter(self) -> char {
        match self {
            Self::Kill => 'k',
            Self::PowerLoss => 'p',
            Self::DiskFailure => 'd',
            Self::Failure => 'f',
            Self::LostAck => 'a',
            Self::Slow => 's',
            Self::Jump => 'j',
            Self::ClockBack => 'b',
            Self::Duplicate => 't',
            Self::Delay => 'l',
            Self::Chance => 'c',
        }
    }

    /// Where it may strike.
    pub(super) const fn place(self) -> Place {
        match self {
            Self::Kill | Self::PowerLoss => Place::CrashPoint,
            Self::DiskFailure => Place::Commit,
            Self::Failure | Self::Slow => Place::Call,
            Self::LostAck => Place::Success,
            Self::Jump | Self::ClockBack => Place::Step,
            Self::Duplicate | Self::Delay => Place::Arrival,
            Self::Chance => Place::Question,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Kill => "the process is killed",
            Self::PowerLoss => "the power fails",
            Self::DiskFailure => "the disk fails",
            Self::Failure => "the handler fails",
            Self::LostAck => "the acknowledgement is lost",
            Self::Slow => "the handler takes its time",
            Self::Jump => "time passes",
            Self::ClockBack => "the wall clock is set back",
            Self::Duplicate => "a message arrives twice",
            Self::Delay => "a message arrives late",
            Self::Chance => "what the flow asked about",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A kind of moment at which something may go wrong. The moments of a kind are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before and after each commit and each call of a handler.
    CrashPoint,
    Commit,
    Call,
    /// A handler has done its work.
    Success,
    /// Between two steps of the engine.
    Step,
    /// A message comes from outside.
    Arrival,
    /// The flow asks.
    Question,
}

impl Place {
    pub(super) const COUNT: usize = 7;
}

/// A fault: of which kind, and at which of its moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
}

impl Fault {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.chars();
        let letter = rest.next()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.letter() == letter)?;
        Some(Self { kind, at: rest.as_str().parse().ok()? })
    }
}

/// As one word: `k17`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.letter(), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for (at, kind) in (0..).zip(Kind::ALL) {
            let fault = Fault { kind, at };
            assert_eq!(Fault::parse(&fault.to_string()), Some(fault));
        }
        for wrong in ["", "k", "17", "z3", "k-1", "kk"] {
            assert_eq!(Fault::parse(wrong), None, "{wrong}");
        }
    }
}
