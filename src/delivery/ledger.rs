//! The conservation of events: each one that a subscription is to get is in exactly one place.

use std::{fmt, iter::Sum, ops::AddAssign, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Subscriber, formation::Formation};
use crate::{
    journal::{Entry, Tag},
    message::Position,
    runtime::Tick,
};

/// Where the events are that a subscription is to get: each of them in exactly one place.
///
/// `matched` is what came out of the journal and is still to come; the other numbers are what
/// became of it. A stored subscription goes on counting where an earlier run of the process stopped.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Ping;
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// # let bus = tidings::Bus::volatile();
/// let pings = bus.subscribe("pings").on(|_: &Ping| ()).start()?;
/// bus.publish(Ping)?;
/// assert!(bus.wait_idle(std::time::Duration::from_secs(5)));
///
/// let ledger = pings.ledger();
/// assert!(ledger.is_balanced());
/// assert_eq!((ledger.matched, ledger.acknowledged), (1, 1));
/// # Ok::<(), tidings::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ledger {
    /// Events that it has got or is to get.
    pub matched: u64,
    /// Handled, and that is committed.
    pub acknowledged: u64,
    /// Kept as dead letters.
    pub dead: u64,
    /// Given up as dead letters.
    pub discarded: u64,
    /// Passed over because their time was over; see [`Message::expires_after`](crate::Message::expires_after).
    pub expired: u64,
    /// Passed over because their handler had handled the same before; see
    /// [`idempotent`](crate::idempotent()).
    pub duplicate: u64,
    /// Passed over because a filter said so.
    pub filtered: u64,
    /// Passed over because the subscription has given up on such events since it took them.
    pub ignored: u64,
    /// Passed over because the subscription was too slow, as [`Overflow::Skip`](crate::Overflow) has it.
    pub missed: u64,
    /// Taken and not settled when the log dropped them.
    pub lost: u64,
    /// In a lane: waiting for a retry, or behind one that does.
    pub held: u64,
    /// Being handled, or handled and not committed yet.
    pub in_flight: u64,
    /// Still to be taken up.
    pub waiting: u64,
}

impl Ledger {
    /// Whether every event is accounted for, as is always so, short of a bug of this crate.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.matched == self.settled() + self.held + self.in_flight + self.waiting
    }

    /// Events that are done with, one way or the other.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.acknowledged + self.dead + self.skipped()
    }

    /// Events that were passed over, for whatever reason.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        let Self { discarded, expired, duplicate, filtered, ignored, missed, lost, .. } = self;
        discarded + expired + duplicate + filtered + ignored + missed + lost
    }
}

/// As one line: what matched, and then what is not zero.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_balanced() { "=" } else { "but" };
        write!(f, "{} matched {sign} {} acknowledged", self.matched, self.acknowledged)?;
        let others = [
            (self.dead, "dead"),
            (self.discarded, "discarded"),
            (self.expired, "expired"),
            (self.duplicate, "duplicate"),
            (self.filtered, "filtered"),
            (self.ignored, "ignored"),
            (self.missed, "missed"),
            (self.lost, "lost"),
            (self.held, "held"),
            (self.in_flight, "in flight"),
            (self.waiting, "waiting"),
        ];
        for (count, name) in others.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, " + {count} {name}")?;
        }
        Ok(())
    }
}

/// Why an event is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    Expired,
    Duplicate,
    Filtered,
    Ignored,
    Lost,
}

/// How an event is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Acknowledged,
    Dead,
    Skipped(Skip),
}

/// How many events are done with, and how. Stored with the cursor of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    #[serde(skip_serializing_if = "is_zero")]
    acknowledged: u64,
    /// Less those that were handled later. So a lane may be below zero, but not all of them together.
    #[serde(skip_serializing_if = "is_zero")]
    dead: i64,
    #[serde(skip_serializing_if = "is_zero")]
    expired: u64,
    #[serde(skip_serializing_if = "is_zero")]
    duplicate: u64,
    #[serde(skip_serializing_if = "is_zero")]
    filtered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    ignored: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

impl Tally {
    pub(super) fn note(&mut self, settled: Settled) {
        self.note_all(settled, 1);
    }

    /// So many events were settled so.
    pub(super) fn note_all(&mut self, settled: Settled, count: u64) {
        match settled {
            Settled::Acknowledged => self.acknowledged += count,
            Settled::Dead => self.dead = self.dead.saturating_add_unsigned(count),
            Settled::Skipped(Skip::Expired) => self.expired += count,
            Settled::Skipped(Skip::Duplicate) => self.duplicate += count,
            Settled::Skipped(Skip::Filtered) => self.filtered += count,
            Settled::Skipped(Skip::Ignored) => self.ignored += count,
            Settled::Skipped(Skip::Lost) => self.lost += count,
        }
    }

    /// A dead letter was handled after all, or passed over.
    pub(super) fn note_revived(&mut self, settled: Settled) {
        self.dead -= 1;
        self.note(settled);
    }

    /// So many dead letters are none any more, since their events come again.
    pub(super) fn forget_dead(&mut self, letters: u64) {
        self.dead = self.dead.saturating_sub_unsigned(letters);
    }

    /// Events that are done with.
    pub(super) fn total(&self) -> u64 {
        let Self { acknowledged, dead, expired, duplicate, filtered, ignored, lost } = self;
        (acknowledged + expired + duplicate + filtered + ignored + lost)
            .saturating_add_signed(*dead)
    }

    /// Events that became dead letters, and were not handled later.
    pub(super) fn dead(&self) -> u64 {
        u64::try_from(self.dead).unwrap_or(0)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.dead += other.dead;
        self.expired += other.expired;
        self.duplicate += other.duplicate;
        self.filtered += other.filtered;
        self.ignored += other.ignored;
        self.lost += other.lost;
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut sum, tally| {
            sum += tally;
            sum
        })
    }
}

/// What a lane has in its hands, as of the end of its last turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    /// Done with, and that is committed.
    pub(super) tally: Tally,
    /// Taken and not done with, as counted where events are taken and settled.
    pub(super) open: u64,
    /// Those of them that are parked.
    pub(super) held: u64,
    /// Being handled, or not committed yet.
    pub(super) in_flight: u64,
    /// Read from storage, and not looked at yet.
    pub(super) unseen: u64,
    /// Everything before it has been taken from the journal.
    pub(super) scanned: u64,
}

impl Ledger {
    /// Of the accounts of all lanes, with what no lane has.
    pub(super) fn new(accounts: &[Account], outside: Outside) -> Self {
        let tally: Tally = accounts.iter().map(|account| account.tally).sum();
        let sum = |of: fn(&Account) -> u64| accounts.iter().map(of).sum::<u64>();
        let Outside { untaken, missed, discarded, inline } = outside;
        let open = sum(|account| account.open);
        // A letter may be given up while its commit is still on its way.
        let discarded = discarded.min(tally.dead());
        Self {
            matched: tally.total() + open + untaken + missed + inline,
            acknowledged: tally.acknowledged + inline,
            dead: tally.dead() - discarded,
            discarded,
            expired: tally.expired,
            duplicate: tally.duplicate,
            filtered: tally.filtered,
            ignored: tally.ignored,
            missed,
            lost: tally.lost,
            held: sum(|account| account.held),
            in_flight: sum(|account| account.in_flight),
            waiting: untaken + sum(|account| account.unseen),
        }
    }
}

/// What a ledger says of events that are in no lane.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outside {
    /// Still in the journal.
    pub(super) untaken: u64,
    pub(super) missed: u64,
    pub(super) discarded: u64,
    /// Handled where they were published.
    pub(super) inline: u64,
}

impl Subscriber {
    /// Where the events are that it is to get, as of the last turn of each lane. Reads on in the log
    /// for what no lane has taken yet, until `deadline`: at least so many wait then.
    pub(crate) fn ledger(&self, deadline: Tick) -> Ledger {
        // Locked, so that events do not go from one lane to another in between.
        let formation = self.formation.read();
        let accounts: Vec<_> = formation.lanes.iter().map(|lane| lane.account()).collect();
        let formation = Arc::clone(&formation);
        let from: Vec<_> = accounts.iter().map(|account| account.scanned).collect();
        let outside = Outside {
            untaken: self.count_untaken(&formation, &from, deadline),
            missed: self.counters.missed.get(),
            discarded: self.counters.discarded.get(),
            inline: self.inline.as_ref().map_or(0, |side| side.handled()),
        };
        Ledger::new(&accounts, outside)
    }

    /// How many events it is still to take, where each lane has come so far.
    fn count_untaken(&self, formation: &Formation, frontiers: &[u64], deadline: Tick) -> u64 {
        let ring = self.journal.ring();
        let untaken = |position: u64, tag: Tag| {
            let is_for = |lanes| tag.lane(position, lanes) as usize;
            let is_new = frontiers.get(is_for(formation.count())).is_some_and(|at| position >= *at);
            is_new
                && self.kinds.contains(&tag.kind())
                && self.is_before_end(position)
                && !formation.is_inherited(position, tag)
        };
        let (first, tags) = ring.tags();
        let in_ring = (first..).zip(tags).filter(|(at, tag)| untaken(*at, *tag)).count() as u64;
        let first = Position::new(first).unwrap_or(Position::FIRST);
        let mut from = frontiers.iter().min().and_then(|at| Position::new(*at)).unwrap_or(first);
        let mut behind = 0;
        while from < first && self.runtime().now() < deadline {
            let read = self.journal.read(from, first, &self.filter);
            let Some((entries, next)) = read.ok().filter(|(_, next)| *next > from) else { break };
            from = next;
            let left = |entry: &&Entry| untaken(entry.position.get(), entry.tag());
            behind += entries.iter().filter(left).count() as u64;
        }
        in_ring + behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        let mut tally = Tally::default();
        tally.note_all(Settled::Acknowledged, 5);
        for settled in [Settled::Dead, Settled::Dead, Settled::Skipped(Skip::Expired)] {
            tally.note(settled);
        }
        Account { tally, open: 6, held: 3, in_flight: 2, unseen: 1, scanned: 100 }
    }

    #[test]
    fn every_event_is_in_one_place() {
        let outside = Outside { untaken: 4, missed: 2, discarded: 1, inline: 3 };
        let ledger = Ledger::new(&[account(), account()], outside);
        assert!(ledger.is_balanced(), "{ledger}");
        assert_eq!((ledger.matched, ledger.acknowledged, ledger.waiting), (37, 13, 6));
        assert_eq!((ledger.dead, ledger.discarded), (3, 1));
        let text = "37 matched = 13 acknowledged + 3 dead + 1 discarded + 2 expired + 2 missed \
                    + 6 held + 4 in flight + 6 waiting";
        assert_eq!(ledger.to_string(), text);
    }

    #[test]
    fn each_way_to_settle_has_its_count() {
        let skips = [Skip::Expired, Skip::Duplicate, Skip::Filtered, Skip::Ignored, Skip::Lost];
        let all = [Settled::Acknowledged, Settled::Dead].into_iter();
        let mut tally = Tally::default();
        for (settled, count) in all.chain(skips.map(Settled::Skipped)).zip(1..) {
            tally.note_all(settled, count);
            tally.note_all(settled, 10 * count);
        }
        let Tally { acknowledged, dead, expired, duplicate, filtered, ignored, lost } = tally;
        let counts = [acknowledged, expired, duplicate, filtered, ignored, lost];
        assert_eq!((counts, dead), ([11, 33, 44, 55, 66, 77], 22));
        assert_eq!(tally.total(), 11 * 28);
    }

    #[test]
    fn an_event_that_is_nowhere_shows() {
        let lost = Account { held: 2, ..account() };
        let ledger = Ledger::new(&[account(), lost], Outside::default());
        assert!(!ledger.is_balanced() && ledger.to_string().contains("matched but"));
    }

    #[test]
    fn a_dead_letter_that_is_handled_after_all_moves_over() {
        let mut tally = account().tally;
        let total = tally.total();
        tally.note_revived(Settled::Acknowledged);
        assert_eq!((tally.total(), tally.dead(), tally.acknowledged), (total, 1, 6));
    }

    #[test]
    fn what_is_stored_is_short_and_reads_back() {
        let tally = account().tally;
        let text = serde_json::to_string(&tally).unwrap_or_default();
        assert_eq!(text, r#"{"acknowledged":5,"dead":2,"expired":1}"#);
        assert_eq!(serde_json::from_str::<Tally>(&text).ok(), Some(tally));
    }
}
