//! One change of the number of lanes: the old ones are all in, others go on with what they had.

use std::sync::Arc;

use crate::{
    delivery::{
        Subscriber,
        cursor::{Cursor, Layer},
        formation::Formation,
        keys,
        lane::{Lane, LaneHandle, Post, Share, Submitted},
        ledger::Tally,
        muster::Muster,
        register::{Meta, json},
    },
    event::Durability,
    journal::{Leaving, Mistake, Relieved, Rouse, Seat, Ticket, Transaction},
    message::Position,
    runtime::{PoolId, Task},
    storage::{StorageError, Write},
};

/// More layers than that are not piled up: each event before their ends is looked up in all of them.
const MOST_LAYERS: usize = 16;

/// Lanes that are further apart stay as they are: all that come would have to pass over what the first
/// ones have taken already.
const MOST_APART: u64 = 65_536;

/// What the lanes that go have left behind.
pub(super) struct Change {
    /// By lane that goes: its seat, and the position before which it has taken everything.
    leaving: Vec<(Seat, u64)>,
    /// By lane that comes: what it goes on with.
    shares: Vec<Share>,
    /// How all that was settled. The first lane that comes goes on with it.
    tally: Tally,
}

/// Why a change was not stored.
pub(super) enum NotStored {
    /// The subscription has left.
    Left,
    Failed(StorageError),
}

impl Change {
    /// Takes the lanes apart. Gives them back where it cannot be done now: a lane would hold more than
    /// it may, one is far behind the others, or still among what it took over from very old ones.
    pub(super) fn of(
        subscriber: &Subscriber,
        formation: &Formation,
        lanes: Vec<Lane>,
        count: u32,
    ) -> Result<Self, Vec<Lane>> {
        let mut parked = vec![0; count as usize];
        for lane in &lanes {
            lane.count_shares(count, &mut parked);
        }
        let too_much = parked.iter().any(|parked| *parked > subscriber.policy.max_parked);
        let apart = far_apart(&lanes) > MOST_APART;
        if too_much
            || apart
            || formation.layers.len() >= MOST_LAYERS && is_among_layers(formation, &lanes)
        {
            return Err(lanes);
        }
        let mut shares: Vec<Share> = (0..count).map(|_| Share::default()).collect();
        let mut tally = Tally::default();
        let legacies = lanes.into_iter().filter_map(Lane::bequeath);
        let leaving = legacies.map(|legacy| {
            legacy.open.deal(&mut shares);
            if !subscriber.is_planted(Mistake::ForgetTally) {
                tally += legacy.tally;
            }
            (legacy.seat, legacy.taken.get())
        });
        Ok(Self { leaving: leaving.collect(), shares, tally })
    }

    /// Has stored what is to be. `None` where nothing is kept of the subscription.
    pub(super) fn store(
        &self,
        subscriber: &Subscriber,
        waker: &Arc<Task>,
    ) -> Result<Option<Arc<Ticket>>, NotStored> {
        if !subscriber.is_stored {
            return Ok(None);
        }
        let formation = subscriber.formation();
        let handle = formation.lanes.first().ok_or(NotStored::Left)?;
        let writes = self.writes(subscriber, &formation).map_err(NotStored::Failed)?;
        // After a power failure without it, the old lanes' cursors are there, and as far.
        let durability = Some(Durability::Buffered);
        let transaction = Transaction { writes, durability, ..Transaction::default() };
        match handle.commit(&subscriber.journal, transaction, Some(waker)) {
            Submitted::Ticket(ticket) => Ok(Some(ticket)),
            Submitted::Done => Ok(None),
            Submitted::Left => Err(NotStored::Left),
        }
    }

    fn writes(
        &self,
        subscriber: &Subscriber,
        formation: &Formation,
    ) -> Result<Vec<Write>, StorageError> {
        let taken = self.taken();
        let frontier = taken.iter().copied().min().unwrap_or(1);
        let name = &subscriber.name;
        let meta = Meta {
            lanes: u32::try_from(self.shares.len()).unwrap_or(u32::MAX),
            events: subscriber.filter.names.iter().map(ToString::to_string).collect(),
            layers: layers_after(formation, &taken),
            repeats_before: subscriber.repeats_before(),
            replay: subscriber.replayed(),
        };
        let mut writes = vec![Write::put(keys::subscription(name), json(&meta)?)];
        for (lane, share) in (0..).zip(&self.shares) {
            let tally = if lane == 0 { self.tally } else { Tally::default() };
            let cursor = Cursor { frontier, holes: share.holes(), tally };
            writes.push(Write::put(keys::cursor(name, lane), json(&cursor)?));
        }
        let gone = formation.numbers().skip(self.shares.len());
        writes.extend(gone.map(|lane| Write::remove(keys::cursor(name, lane))));
        Ok(writes)
    }

    fn taken(&self) -> Vec<u64> {
        self.leaving.iter().map(|(_, taken)| *taken).collect()
    }

    /// Puts the new lanes in place of the old ones. False if the subscription has left.
    pub(super) fn carry_out(self, subscriber: &Arc<Subscriber>, pool: PoolId) -> bool {
        let mut current = subscriber.formation.write();
        if current.lanes.iter().any(|lane| lane.has_left()) {
            return false;
        }
        let lanes: Vec<Arc<LaneHandle>> = self.shares.iter().map(|_| Arc::default()).collect();
        let muster = Arc::new(Muster::new(lanes.len()));
        let tasks: Vec<_> = (0..)
            .zip(&lanes)
            .map(|(number, handle)| Post::task(subscriber, handle, &muster, number, pool))
            .collect();
        let journal = &subscriber.journal;
        let seats = journal.seats(subscriber.kinds.iter().copied(), count(&lanes)).divided();
        let own_seats = Seat::of(&seats);
        let (old, group) = (current.group, journal.ring().new_group());
        let leaving = Leaving { group: old, readers: self.leaving };
        let readers = tasks.iter().map(|task| Arc::clone(task) as Arc<dyn Rouse>).collect();
        let relieved = journal.ring().relieve(leaving, group, seats, readers);
        let Some((Relieved { taken, missed }, remains)) = relieved else { return false };
        subscriber.note_missed(missed);
        let layers = layers_after(&current, &taken).into();
        let next = Arc::new(Formation { group, lanes, layers, muster });
        let (first, last) = (taken.iter().copied().min(), taken.iter().copied().max());
        let start = if subscriber.is_planted(Mistake::BeginTooFar) { last } else { first };
        let start = start.and_then(Position::new);
        let start = start.unwrap_or(Position::FIRST);
        let own_seats = (0..).zip(own_seats);
        for ((at, handle), share) in own_seats.zip(&next.lanes).zip(self.shares) {
            let (subscriber, handle) = (Arc::clone(subscriber), Arc::clone(handle));
            let tally = if at.0 == 0 { self.tally } else { Tally::default() };
            let cursor = Cursor { tally, ..Cursor::at(start) };
            let mut lane = Lane::new(subscriber, Arc::clone(&next), handle, at, cursor);
            lane.inherit(share);
            next.muster.come_in(lane);
        }
        let old = std::mem::replace(&mut *current, next);
        for inbound in old.lanes.iter().flat_map(|lane| lane.receive()) {
            if subscriber.is_planted(Mistake::LoseInbound) {
                continue;
            }
            current.send(inbound);
        }
        drop(current);
        tasks.iter().for_each(Task::wake);
        drop(remains);
        true
    }
}

fn count(lanes: &[Arc<LaneHandle>]) -> u32 {
    u32::try_from(lanes.len()).unwrap_or(u32::MAX)
}

/// The layers once lanes have handed on what they had. Nobody looks below the one that is the furthest
/// behind, so that older layers which end there are gone.
fn layers_after(formation: &Formation, taken: &[u64]) -> Vec<Layer> {
    let low = taken.iter().copied().min().unwrap_or(1);
    let kept = formation.layers.iter().filter(|layer| layer.high() > low).cloned();
    kept.chain([Layer::handed_on(taken)]).collect()
}

fn far_apart(lanes: &[Lane]) -> u64 {
    let frontiers = || lanes.iter().map(Lane::frontier);
    frontiers().max().zip(frontiers().min()).map_or(0, |(first, last)| first.since(last))
}

fn is_among_layers(formation: &Formation, lanes: &[Lane]) -> bool {
    lanes.iter().any(|lane| lane.frontier() < formation.beyond_layers())
}
