//! What must not be accepted, within one call, behind a parcel that was not.

use crate::{
    event::Key,
    transport::{Order, Parcel, TransportError},
};

#[derive(Debug)]
pub(super) struct Held {
    order: Order,
    /// Everything that comes.
    all: bool,
    keys: Vec<Key>,
}

impl Held {
    pub(super) fn new(order: Order) -> Self {
        Self { order, all: false, keys: Vec::new() }
    }

    /// Fails for a parcel that has to follow one that was not accepted.
    pub(super) fn check(&self, parcel: &Parcel) -> Result<(), TransportError> {
        let key = parcel.envelope().key.as_ref();
        let follows = self.all || key.is_some_and(|key| self.keys.contains(key));
        if follows && parcel.delay().is_zero() { Err(TransportError::Behind) } else { Ok(()) }
    }

    /// Notes a parcel that was not accepted.
    pub(super) fn hold(&mut self, parcel: &Parcel) {
        match (self.order, &parcel.envelope().key) {
            _ if !parcel.delay().is_zero() => {}
            (Order::Total, _) => self.all = true,
            (Order::PerKey, Some(key)) => self.keys.push(key.clone()),
            (Order::PerKey | Order::None, _) => {}
        }
    }
}
