//! A transport on which everything goes wrong that may, and for the same seed the same.

mod connection;
mod memory;
mod mishaps;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use self::{
    connection::{Cut, Held, Simulated, real_token, shuffle, token_of_copy, token_of_original},
    memory::Memory,
    mishaps::up_to,
};
pub use mishaps::Mishaps;

use crate::{
    runtime::{Random, Runtime, Tick},
    transport::{
        Arrival, Capabilities, Notifier, Parcel, Sent, Settlement, Stream, Token, Transport,
        TransportError, bell::Bell,
    },
};

/// Wraps a transport, and has go wrong what may go wrong with a real one: [`Mishaps`]. Which, when and
/// how follows from a seed and the calls. A clone is the same connection.
///
/// It declares what the wrapped one declares, and with mishaps does not keep it: that is what is to
/// be survived. Without any it is as good as what it wraps.
///
/// ```
/// use std::time::Duration;
/// use tidings::{
///     testing::{Mishaps, Simulator, UnreliableTransport},
///     transport::{LoopbackTransport, Transport},
/// };
///
/// let sim = Simulator::new(7);
/// let loopback = LoopbackTransport::builder().runtime(sim.runtime()).build();
/// let transport = UnreliableTransport::new(loopback.clone(), &sim.runtime(), 7).with(
///     Mishaps::none()
///         .lose_ack(0.1)
///         .duplicate(0.1)
///         .delay(0.2, Duration::from_secs(3))
///         .partition(0.01, Duration::from_secs(60)),
/// );
/// let receiver = transport.beside(loopback.connect()); // the same broker, the same fate
/// // ... a run, and at its end:
/// transport.set(Mishaps::none()); // what was held up comes now
/// # drop(receiver);
/// ```
pub struct UnreliableTransport<T> {
    inner: Arc<T>,
    runtime: Runtime,
    fate: Arc<Mutex<Fate>>,
    link: Arc<Mutex<Link>>,
    bell: Arc<Bell>,
}

/// What all connections to the broker share.
#[derive(Debug)]
struct Fate {
    random: Random,
    mishaps: Mishaps,
    memory: Memory,
}

/// The state of one connection.
#[derive(Debug, Default)]
struct Link {
    cut: Cut,
    held: Held,
}

impl<T: Transport> UnreliableTransport<T> {
    /// A transport on which nothing goes wrong yet.
    #[must_use]
    pub fn new(inner: T, runtime: &Runtime, seed: u64) -> Self {
        let (mishaps, memory) = (Mishaps::none(), Memory::default());
        let fate = Fate { random: Random::new(seed), mishaps, memory };
        Self::share(inner, runtime, Arc::new(Mutex::new(fate)))
    }

    /// Has these mishaps happen, on all connections.
    #[must_use]
    pub fn with(self, mishaps: Mishaps) -> Self {
        self.set(mishaps);
        self
    }

    /// Has these mishaps happen from now on, on all connections, instead of those so far.
    pub fn set(&self, mishaps: Mishaps) {
        self.fate.lock().mishaps = mishaps;
    }

    /// Another connection to the same broker: what it has lost is lost for both, and one seed draws
    /// what happens to them.
    #[must_use]
    pub fn beside(&self, inner: T) -> Self {
        Self::share(inner, &self.runtime, Arc::clone(&self.fate))
    }

    fn share(inner: T, runtime: &Runtime, fate: Arc<Mutex<Fate>>) -> Self {
        let link: Arc<Mutex<Link>> = Arc::default();
        let of = Arc::downgrade(&link);
        let bell = Bell::new(runtime, move |now| of.upgrade()?.lock().next_after(now));
        Self { inner: Arc::new(inner), runtime: runtime.clone(), fate, link, bell }
    }

    /// What it wraps.
    #[must_use]
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Cuts this connection, until [`UnreliableTransport::mend`].
    pub fn cut(&self) {
        self.link.lock().cut = Cut::Lasting;
    }

    /// Ends whatever cut there is.
    pub fn mend(&self) {
        self.link.lock().cut = Cut::None;
        self.bell.ring();
    }

    /// Has the broker lose, of each stream, up to so many of the parcels that it accepted last through these
    /// connections. Sequences go back by as many, nobody receives the lost ones any more, and their ids are
    /// as if they had never come. Returns how many are lost.
    #[allow(clippy::must_use_candidate)] // called for what it does
    pub fn forget(&self, most: u64) -> u64 {
        self.fate.lock().memory.forget(most)
    }

    /// Has the broker's streams be made anew, as others, and empty.
    ///
    /// # Errors
    /// The streams of what it wraps cannot be told.
    pub fn recreate(&self) -> Result<(), TransportError> {
        let streams = self.inner.streams()?;
        self.fate.lock().memory.recreate(&streams);
        Ok(())
    }

    /// Fails where the connection is cut, or is cut just now.
    fn check(&self, doing: &'static str) -> Result<(), TransportError> {
        let now = self.runtime.now();
        let fate = &mut *self.fate.lock();
        let mut link = self.link.lock();
        if !link.cut.holds(now) && fate.mishaps.partition.strike(&mut fate.random) {
            let length = up_to(fate.mishaps.longest_partition, &mut fate.random);
            link.cut = Cut::Until(now.saturating_add(length));
        }
        let until = link.next_after(now);
        let outcome = link.cut.check(now, doing);
        drop(link);
        if let Some(until) = until {
            self.bell.ring_at(until);
        }
        outcome
    }

    /// What the sender gets to know of an outcome.
    fn report(&self, parcel: &Parcel, sent: Result<Sent, TransportError>) -> Reported {
        let Ok(Sent::Accepted { place, is_copy }) = sent else { return sent };
        let fate = &mut *self.fate.lock();
        let Some(shown) = fate.memory.shown(&place) else {
            // It is a copy of what is said to be lost. It goes by another id the next time.
            fate.memory.send_again(parcel.id());
            self.bell.ring();
            return Ok(Sent::UnderWay);
        };
        fate.memory.note(&place, parcel.id());
        if fate.mishaps.lose_ack.strike(&mut fate.random) {
            let source = Arc::new(Simulated("a lost acknowledgement"));
            return Err(TransportError::Unknown { doing: "sending a parcel", source });
        }
        Ok(Sent::Accepted { place: shown, is_copy })
    }

    /// What happens to the broker after a send.
    fn befall(&self) {
        let fate = &mut *self.fate.lock();
        if fate.mishaps.forget.strike(&mut fate.random) {
            let most = 1 + fate.random.below(fate.mishaps.most_forgotten);
            fate.memory.forget(most);
        }
    }

    fn settlement_arrives(&self) -> bool {
        let fate = &mut *self.fate.lock();
        !fate.mishaps.lose_settlement.strike(&mut fate.random)
    }

    fn is_remade(&self) -> bool {
        let fate = &mut *self.fate.lock();
        fate.mishaps.recreate.strike(&mut fate.random)
    }

    /// What an arrival looks like from outside, if it was not lost.
    fn show(&self, arrival: Arrival) -> Option<Arrival> {
        let fate = self.fate.lock();
        if let Some(place) = fate.memory.shown(&arrival.place) {
            let parcel = arrival.parcel.map(|parcel| fate.memory.unmask(parcel));
            let token = token_of_original(&arrival.token);
            return Some(Arrival { token, parcel, place, ..arrival });
        }
        drop(fate);
        // Gone for everybody. Where this is not heard of, it comes once more, and goes then.
        if let Err(error) = self.inner.settle(&arrival.token, Settlement::Ack) {
            tracing::debug!(%error, "a parcel that is said to be lost could not be settled");
        }
        None
    }

    /// Receives what is not lost: none where there is none, and not where it lies behind what is lost.
    fn receive_kept(&self, group: &str, max: usize) -> Result<Vec<Arrival>, TransportError> {
        loop {
            let arrivals = self.inner.receive(group, max)?;
            let is_end = arrivals.is_empty();
            let kept = arrivals.into_iter().filter_map(|arrival| self.show(arrival));
            let kept: Vec<_> = kept.collect();
            if is_end || !kept.is_empty() {
                return Ok(kept);
            }
        }
    }

    /// Lets an arrival through, late or twice as it may be.
    fn let_through(&self, group: &str, arrival: Arrival, now: Tick) -> Option<Arrival> {
        let fate = &mut *self.fate.lock();
        let mut link = self.link.lock();
        let mishaps = fate.mishaps;
        if mishaps.duplicate.strike(&mut fate.random) {
            let token = token_of_copy(&arrival.token);
            link.held.push(group, Arrival { token, ..arrival.clone() }, now);
            self.bell.ring();
        }
        if !mishaps.delay.strike(&mut fate.random) {
            return Some(arrival);
        }
        let due = now.saturating_add(up_to(mishaps.longest_delay, &mut fate.random));
        link.held.push(group, arrival, due);
        drop(link);
        self.bell.ring_at(due);
        None
    }
}

type Reported = Result<Sent, TransportError>;

impl Link {
    /// When something that did not work may, or something comes.
    fn next_after(&self, now: Tick) -> Option<Tick> {
        let mended = match self.cut {
            Cut::Until(end) if end > now => Some(end),
            _ => None,
        };
        self.held.next_after(now).into_iter().chain(mended).min()
    }
}

impl<T: Transport> Transport for UnreliableTransport<T> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn send(&self, parcels: &[Parcel]) -> Vec<Result<Sent, TransportError>> {
        if let Err(error) = self.check("sending parcels") {
            return parcels.iter().map(|_| Err(error.clone())).collect();
        }
        let mut fate = self.fate.lock();
        let disguised: Vec<_> = parcels.iter().map(|parcel| fate.memory.disguise(parcel)).collect();
        drop(fate);
        let sent = self.inner.send(&disguised).into_iter();
        let reported = parcels.iter().zip(sent).map(|(parcel, sent)| self.report(parcel, sent));
        let reported = reported.collect();
        self.befall();
        if self.is_remade()
            && let Err(error) = self.recreate()
        {
            tracing::debug!(%error, "the streams could not be made anew");
        }
        reported
    }

    fn receive(&self, group: &str, max: usize) -> Result<Vec<Arrival>, TransportError> {
        self.check("receiving")?;
        let now = self.runtime.now();
        let late = self.link.lock().held.count(group, now, max);
        let fresh = self.receive_kept(group, max - late)?;
        let may_be_more = fresh.len() + late == max;
        let mut arrivals = self.link.lock().held.take(group, now, late);
        for arrival in fresh {
            arrivals.extend(self.let_through(group, arrival, now));
        }
        if may_be_more && arrivals.len() < max {
            self.bell.ring(); // for what is behind those that come later
        }
        let fate = &mut *self.fate.lock();
        if fate.mishaps.reorder.strike(&mut fate.random) {
            shuffle(&mut arrivals, &mut fate.random);
        }
        Ok(arrivals)
    }

    fn settle(&self, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        self.check("settling an arrival")?;
        let Some(real) = real_token(token)?.filter(|_| self.settlement_arrives()) else {
            return Ok(());
        };
        self.inner.settle(&real, settlement)
    }

    fn streams(&self) -> Result<Vec<Stream>, TransportError> {
        self.check("asking for the streams")?;
        let streams = self.inner.streams()?.into_iter();
        let fate = self.fate.lock();
        Ok(streams.map(|stream| fate.memory.shown_stream(stream)).collect())
    }

    fn set_notifier(&self, notifier: Notifier) {
        self.bell.set(Arc::clone(&notifier));
        self.inner.set_notifier(notifier);
    }

    fn close(&self) -> Result<(), TransportError> {
        self.bell.stop();
        self.link.lock().held.clear();
        self.inner.close()
    }
}

impl<T> Clone for UnreliableTransport<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            runtime: self.runtime.clone(),
            fate: Arc::clone(&self.fate),
            link: Arc::clone(&self.link),
            bell: Arc::clone(&self.bell),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for UnreliableTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreliableTransport").field("inner", &self.inner).finish_non_exhaustive()
    }
}
