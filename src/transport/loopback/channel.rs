//! What the loopback holds, and what calls do to it. Knows no clock: the time is given.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    group::{Group, Member, Spot},
    held::Held,
    known::Known,
    log::{Log, Stored},
    token::Claim,
};
use crate::{
    runtime::Tick,
    transport::{
        Arrival, Capabilities, Order, Parcel, Sent, Settlement, Stream, StreamId, Token,
        TransportError,
    },
};

/// How many streams there are where the order is per key.
const STREAMS: u32 = 4;

#[derive(Debug)]
pub(super) struct Channel {
    capabilities: Capabilities,
    capacity: usize,
    /// Tells its streams from those of other channels.
    nonce: u64,
    /// Which making of the streams this is.
    epoch: u64,
    logs: Vec<Log>,
    groups: BTreeMap<String, Group>,
    known: Known,
    /// When parcels that were sent with a delay are due.
    delayed: BTreeSet<Tick>,
    /// Of all parcels that are kept.
    bytes: usize,
    /// Somebody was told that there is no room.
    is_short: bool,
    members: BTreeSet<Member>,
    next_member: Member,
}

impl Channel {
    pub(super) fn new(capabilities: Capabilities, capacity: usize, nonce: u64) -> Self {
        let mut channel = Self {
            capabilities,
            capacity,
            nonce,
            epoch: 0,
            logs: Vec::new(),
            groups: BTreeMap::new(),
            known: Known::default(),
            delayed: BTreeSet::new(),
            bytes: 0,
            is_short: false,
            members: BTreeSet::new(),
            next_member: 0,
        };
        channel.recreate();
        channel
    }

    pub(super) fn join(&mut self) -> Member {
        self.next_member += 1;
        self.members.insert(self.next_member);
        self.next_member
    }

    /// Takes back what a member has. Returns whether that was anything.
    pub(super) fn leave(&mut self, member: Member, now: Tick) -> bool {
        self.members.remove(&member);
        let mut any = false;
        for group in self.groups.values_mut() {
            any |= group.release(member, now);
        }
        any
    }

    pub(super) fn check_open(&self, member: Member) -> Result<(), TransportError> {
        if self.members.contains(&member) { Ok(()) } else { Err(TransportError::Closed) }
    }

    /// Drops everything, and begins with streams of other identities.
    pub(super) fn recreate(&mut self) {
        self.epoch += 1;
        let streams = if self.capabilities.order == Order::PerKey { STREAMS } else { 1 };
        let id = |at| StreamId::new(format!("loopback-{:x}.{}/{at}", self.nonce, self.epoch));
        self.logs = (0..streams).map(|at| Log::new(id(at))).collect();
        self.groups.clear();
        self.known = Known::default();
        self.delayed.clear();
        self.bytes = 0;
    }

    pub(super) fn streams(&self) -> Vec<Stream> {
        self.logs.iter().map(Log::state).collect()
    }

    pub(super) fn send(
        &mut self,
        parcels: &[Parcel],
        now: Tick,
    ) -> Vec<Result<Sent, TransportError>> {
        if let Some(window) = self.capabilities.dedup_window {
            self.known.forget(now, window);
        }
        let mut held = Held::new(self.capabilities.order);
        let send = |parcel| {
            held.check(parcel)?;
            self.accept(parcel, now).inspect_err(|_| held.hold(parcel))
        };
        parcels.iter().map(send).collect()
    }

    fn accept(&mut self, parcel: &Parcel, now: Tick) -> Result<Sent, TransportError> {
        self.check(parcel)?;
        if let Some(place) = self.known.place(parcel.id()) {
            return Ok(Sent::Accepted { place: place.clone(), is_copy: true });
        }
        self.make_room(parcel.bytes())?;
        let due = now.saturating_add(parcel.delay());
        if due > now {
            self.delayed.insert(due);
        }
        let stream = self.stream_of(parcel);
        let place = self.logs[stream].push(parcel.clone(), due);
        self.bytes += parcel.bytes();
        if self.capabilities.dedup_window.is_some() {
            self.known.insert(parcel.id(), place.clone(), now);
        }
        Ok(Sent::Accepted { place, is_copy: false })
    }

    fn check(&self, parcel: &Parcel) -> Result<(), TransportError> {
        let (bytes, limit) = (parcel.payload().len(), self.capabilities.max_bytes);
        if bytes > limit {
            return Err(TransportError::TooLarge { bytes, limit });
        }
        if !parcel.delay().is_zero() && !self.capabilities.delayed {
            return Err(TransportError::Unsupported { what: "delayed delivery" });
        }
        Ok(())
    }

    fn stream_of(&self, parcel: &Parcel) -> usize {
        let streams = self.logs.len();
        match &parcel.envelope().key {
            #[allow(clippy::cast_possible_truncation)] // a few
            Some(key) => key.lane(streams as u32) as usize,
            None => (0..streams).min_by_key(|at| self.logs[*at].end()).unwrap_or(0),
        }
    }

    /// Drops the oldest parcels that every group has settled, where room is needed for so many bytes.
    fn make_room(&mut self, bytes: usize) -> Result<(), TransportError> {
        for at in 0..self.logs.len() {
            while self.bytes + bytes > self.capacity && self.is_dispensable(at) {
                self.bytes -= self.logs[at].drop_oldest();
            }
        }
        // What is larger than all that fits goes alone.
        let fits = self.bytes + bytes <= self.capacity || self.bytes == 0;
        if fits && !self.known.is_full() {
            return Ok(());
        }
        self.is_short = true;
        Err(TransportError::Full)
    }

    fn is_dispensable(&self, stream: usize) -> bool {
        let log = &self.logs[stream];
        let spot = (stream, log.first());
        let settled = self.groups.values().all(|group| group.has_settled(spot));
        log.first() < log.end() && !self.groups.is_empty() && settled
    }

    pub(super) fn receive(
        &mut self,
        member: Member,
        group: &str,
        max: usize,
        now: Tick,
    ) -> Vec<Arrival> {
        let timeout = self.capabilities.ack_timeout;
        let until = timeout.map_or(Tick::MAX, |timeout| now.saturating_add(timeout));
        let logs = &self.logs;
        let begin = || Group::new(logs.iter().map(Log::first).collect());
        let name = group;
        let group = self.groups.entry(name.to_owned()).or_insert_with(begin);
        let mut arrivals = Vec::new();
        while arrivals.len() < max {
            let Some((spot, stored)) = next(group, logs, now) else { break };
            let redeliveries = group.deliver(spot, member, until);
            let (epoch, delivery) = (self.epoch, redeliveries.saturating_add(1));
            let token = Claim { epoch, spot, delivery, group: name }.to_token();
            let (parcel, place) = (Ok(stored.parcel.clone()), stored.place.clone());
            arrivals.push(Arrival { token, parcel, place, redeliveries });
        }
        if self.capabilities.order == Order::None {
            arrivals.reverse(); // nobody shall come to rely on it
        }
        arrivals
    }

    /// Returns whether somebody may want to know: there is something to receive, or room.
    pub(super) fn settle(
        &mut self,
        token: &Token,
        settlement: Settlement,
        now: Tick,
    ) -> Result<bool, TransportError> {
        let claim = Claim::of(token).filter(|claim| claim.epoch == self.epoch);
        let claim = claim.ok_or(TransportError::Stale)?;
        let group = self.groups.get_mut(claim.group).ok_or(TransportError::Stale)?;
        let open = group.open(claim.spot).ok_or(TransportError::Stale)?;
        if open.member.is_none() || open.deliveries != claim.delivery {
            return Err(TransportError::Stale);
        }
        match settlement {
            Settlement::Ack | Settlement::Reject => {
                group.settle(claim.spot);
                Ok(std::mem::take(&mut self.is_short))
            }
            Settlement::Retry { after } => {
                group.defer(claim.spot, now.saturating_add(after));
                Ok(after.is_zero())
            }
        }
    }

    /// When something that cannot be received yet can be.
    pub(super) fn due_after(&mut self, now: Tick) -> Option<Tick> {
        self.delayed = self.delayed.split_off(&now.saturating_add(Tick::from_nanos(1)));
        let again = self.groups.values().filter_map(|group| group.due_after(now));
        let window = self.capabilities.dedup_window.filter(|_| self.is_short);
        let room = window.and_then(|window| self.known.first_forgotten(window));
        again.chain(self.delayed.first().copied()).chain(room.filter(|at| *at > now)).min()
    }
}

/// What a group is to get next: what is due again, or else what it has not come to.
fn next<'a>(group: &mut Group, logs: &'a [Log], now: Tick) -> Option<(Spot, &'a Stored)> {
    loop {
        let spot = group.next_due(now).or_else(|| group.advance(logs))?;
        match logs[spot.0].get(spot.1) {
            Some(stored) if stored.due > now => group.defer(spot, stored.due),
            Some(stored) => return Some((spot, stored)),
            None => group.settle(spot),
        }
    }
}
