//! A transport that is honest but for one lie.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tidings::{
    testing::conformance::TransportFixture,
    transport::{
        Capabilities, LoopbackTransport, Notifier, Order, Parcel, Settlement, Stream, Token,
        Transport, TransportError,
    },
};

use super::{Outcomes, Received, Settled};
use crate::transports::{Loopback, everything};

/// What is said instead of the truth, method by method; the truth unless overridden.
pub(crate) trait Lie: fmt::Debug + Default + Send + Sync + 'static {
    /// What the truth promises.
    fn truth() -> Capabilities {
        everything().order(Order::Total)
    }

    fn fixture() -> Loopback {
        Loopback::new(Self::truth())
    }

    /// What is promised.
    fn capabilities() -> Capabilities {
        Self::truth()
    }

    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        truth.send(parcels)
    }

    fn send_while_cut(&self, parcels: &[Parcel]) -> Outcomes {
        parcels.iter().map(|_| Err(unreachable())).collect()
    }

    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        truth.receive(group, max)
    }

    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        truth.settle(token, wanted)
    }

    fn streams(&self, truth: &LoopbackTransport) -> Result<Vec<Stream>, TransportError> {
        truth.streams()
    }

    fn set_notifier(&self, truth: &LoopbackTransport, notifier: Notifier) {
        truth.set_notifier(notifier);
    }

    fn close(&self, truth: &LoopbackTransport) -> Result<(), TransportError> {
        truth.close()
    }
}

/// Tells no lie.
#[derive(Debug, Default)]
pub(crate) struct Honest;

impl Lie for Honest {}

fn unreachable() -> TransportError {
    let source = Arc::new(std::io::Error::other("cut"));
    TransportError::Unreachable { doing: "trying", source }
}

#[derive(Debug)]
pub(crate) struct Pretender<L> {
    truth: LoopbackTransport,
    lie: L,
    is_cut: Arc<AtomicBool>,
}

impl<L> Pretender<L> {
    fn check(&self) -> Result<(), TransportError> {
        if self.is_cut.load(Ordering::Acquire) { Err(unreachable()) } else { Ok(()) }
    }
}

impl<L: Lie> Transport for Pretender<L> {
    fn capabilities(&self) -> Capabilities {
        L::capabilities()
    }

    fn send(&self, parcels: &[Parcel]) -> Outcomes {
        match self.check() {
            Ok(()) => self.lie.send(&self.truth, parcels),
            Err(_) => self.lie.send_while_cut(parcels),
        }
    }

    fn receive(&self, group: &str, max: usize) -> Received {
        self.check()?;
        self.lie.receive(&self.truth, group, max)
    }

    fn settle(&self, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        self.check()?;
        self.lie.settle(&self.truth, token, settlement)
    }

    fn streams(&self) -> Result<Vec<Stream>, TransportError> {
        self.check()?;
        self.lie.streams(&self.truth)
    }

    fn set_notifier(&self, notifier: Notifier) {
        self.lie.set_notifier(&self.truth, notifier);
    }

    fn close(&self) -> Result<(), TransportError> {
        self.lie.close(&self.truth)
    }
}

/// A broker that liars connect to.
pub(crate) struct Fixture<L> {
    loopback: Loopback,
    is_cut: Arc<AtomicBool>,
    lie: std::marker::PhantomData<L>,
}

impl<L: Lie> Fixture<L> {
    pub(crate) fn new() -> Self {
        let (loopback, is_cut) = (L::fixture(), Arc::default());
        Self { loopback, is_cut, lie: std::marker::PhantomData }
    }
}

impl<L: Lie> TransportFixture for Fixture<L> {
    type Transport = Pretender<L>;

    fn open(&self) -> Result<Pretender<L>, TransportError> {
        let (truth, is_cut) = (self.loopback.open()?, Arc::clone(&self.is_cut));
        Ok(Pretender { truth, lie: L::default(), is_cut })
    }

    fn pass(&self, time: Duration) {
        self.loopback.pass(time);
    }

    fn room(&self) -> Option<usize> {
        self.loopback.room()
    }

    fn restart(&self) -> bool {
        self.loopback.restart()
    }

    fn recreate(&self) -> bool {
        self.loopback.recreate()
    }

    fn cut(&self) -> bool {
        self.is_cut.store(true, Ordering::Release);
        true
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::Release);
    }
}
