//! The registry of event types: one Rust type a name.

use std::{
    any::{TypeId, type_name},
    collections::BTreeMap,
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{
    codec::CodecError,
    event::{self, Event},
    message::{Envelope, MessageId},
    storage::RecordRef,
};

/// The number of an event name within this process: cheap to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameId(u32);

impl NameId {
    #[inline]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What a bus knows of an event type.
#[derive(Debug)]
pub(crate) struct EventType {
    pub(crate) id: NameId,
    pub(crate) name: Arc<str>,
    pub(crate) version: u32,
    pub(crate) codec: Arc<str>,
    rust: TypeId,
    rust_name: &'static str,
}

/// Two Rust types claim one event name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the event name `{name}` belongs to `{owner}` on this bus, so `{claimant}` needs another one"
)]
#[non_exhaustive]
pub struct NameTaken {
    /// The event name.
    pub name: &'static str,
    /// The Rust type that has it.
    pub owner: &'static str,
    /// The Rust type that wants it.
    pub claimant: &'static str,
}

/// Why a record does not become a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("it has version {found}, and this build knows version {known}")]
    Version { found: u32, known: u32 },
    #[error("it was written by codec `{found}`, and this build reads `{known}`")]
    Codec { found: Arc<str>, known: Arc<str> },
    #[error("its payload does not decode: {0}")]
    Payload(#[from] CodecError),
    #[error("it is another event than those that are wanted")]
    Unwanted,
}

impl EventType {
    /// The envelope of an event of this type that has nothing but an id.
    pub(crate) fn envelope(&self, id: MessageId) -> Envelope {
        let mut envelope = Envelope::new("", self.version, id);
        envelope.name = Arc::clone(&self.name);
        envelope.codec = Arc::clone(&self.codec);
        envelope
    }

    /// Decodes a record of this type.
    pub(crate) fn decode<E: Event>(
        &self,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<E, DecodeError> {
        self.check(envelope.version, &envelope.codec)?;
        Ok(E::codec().decode(payload)?)
    }

    /// Decodes a record of this type where it lies.
    #[inline]
    pub(crate) fn decode_record<E: Event>(&self, record: &RecordRef<'_>) -> Result<E, DecodeError> {
        self.check(record.version, record.codec)?;
        Ok(E::codec().decode(record.payload)?)
    }

    #[inline]
    fn check(&self, version: u32, codec: &str) -> Result<(), DecodeError> {
        if version != self.version {
            return Err(DecodeError::Version { found: version, known: self.version });
        }
        if *codec != *self.codec {
            let (found, known) = (codec.into(), Arc::clone(&self.codec));
            return Err(DecodeError::Codec { found, known });
        }
        Ok(())
    }
}

/// All event types and names that this bus has met.
#[derive(Default)]
pub(crate) struct Contract {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    compacted: Vec<Arc<str>>,
    names: BTreeMap<Arc<str>, NameId>,
    owners: BTreeMap<NameId, Arc<EventType>>,
    types: BTreeMap<TypeId, Arc<EventType>>,
}

impl Contract {
    /// The type of `E`, registered if it is new.
    pub(crate) fn of<E: Event>(&self) -> Result<Arc<EventType>, NameTaken> {
        const { event::check::<E>() };
        if let Some(known) = self.known.read().types.get(&TypeId::of::<E>()) {
            return Ok(Arc::clone(known));
        }
        let codec = E::codec().name().into(); // the user's code, outside the lock
        self.known.write().register::<E>(codec)
    }

    /// The names of the events known so far of which the newest of a key is enough.
    pub(crate) fn compacted(&self) -> Vec<Arc<str>> {
        self.known.read().compacted.clone()
    }

    /// The number of a name, which need not belong to a known type.
    pub(crate) fn name_id(&self, name: &Arc<str>) -> NameId {
        if let Some(id) = self.known.read().names.get(name) {
            return *id;
        }
        self.known.write().intern(name)
    }
}

impl Known {
    fn register<E: Event>(&mut self, codec: Arc<str>) -> Result<Arc<EventType>, NameTaken> {
        let id = self.intern(&E::NAME.into());
        if let Some(owner) = self.owners.get(&id) {
            if owner.rust == TypeId::of::<E>() {
                return Ok(Arc::clone(owner));
            }
            let (owner, claimant) = (owner.rust_name, type_name::<E>());
            return Err(NameTaken { name: E::NAME, owner, claimant });
        }
        if E::COMPACTED {
            self.compacted.push(E::NAME.into());
        }
        let new = Arc::new(EventType {
            id,
            name: E::NAME.into(),
            version: E::VERSION,
            codec,
            rust: TypeId::of::<E>(),
            rust_name: type_name::<E>(),
        });
        self.owners.insert(id, Arc::clone(&new));
        self.types.insert(TypeId::of::<E>(), Arc::clone(&new));
        Ok(new)
    }

    fn intern(&mut self, name: &Arc<str>) -> NameId {
        #[allow(clippy::cast_possible_truncation)] // four billion names do not fit in memory
        let next = NameId(self.names.len() as u32);
        *self.names.entry(Arc::clone(name)).or_insert(next)
    }
}
