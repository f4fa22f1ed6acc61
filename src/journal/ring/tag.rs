//! What a reader has to know of an event to see whether it wants it.

use std::sync::Arc;

use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::{contract::NameId, event::Key};

/// The kind of an event and the hash of its key: enough to pass over events of others without a look
/// at them.
///
/// `hashed | keyed | kind: 30 bits | hash: 32 bits`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u64);

const HASHED: u64 = 1 << 63;
const KEYED: u64 = 1 << 62;

impl Tag {
    /// Of a position without an event.
    pub(super) const NOTHING: Self = Self(0x3fff_ffff << 32);

    /// Of an event whose key nobody has asked for.
    #[inline]
    pub(crate) fn unhashed(kind: NameId) -> Self {
        Self(u64::from(kind.number()) << 32)
    }

    /// Of an event with this key.
    pub(crate) fn hashed(kind: NameId, key: Option<&Key>) -> Self {
        let hash = key.map_or(0, |key| KEYED | u64::from(key.hash()));
        Self(Self::unhashed(kind).0 | HASHED | hash)
    }

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // 30 bits
    pub(crate) fn kind(self) -> NameId {
        NameId::from_number((self.0 >> 32) as u32 & 0x3fff_ffff)
    }

    pub(super) fn is_hashed(self) -> bool {
        self.0 & HASHED != 0
    }

    /// What tells its key from others; an event without one is alone with its position.
    pub(super) fn key_at(self, position: u64) -> (bool, u64) {
        match self.0 & KEYED {
            0 => (false, position),
            _ => (true, self.0 & u64::from(u32::MAX)),
        }
    }

    /// The lane among `lanes` of a hashed event at this position.
    #[allow(clippy::cast_possible_truncation)] // the hash is 32 bits, a lane is below `lanes`
    pub(crate) fn lane(self, position: u64, lanes: u32) -> u32 {
        match self.0 & KEYED {
            0 => (position % u64::from(lanes)) as u32,
            _ => Key::lane_of(self.0 as u32, lanes),
        }
    }
}

/// What publishers of one kind of event look at. On cache lines of its own: it is read for every
/// event, and what lies beside it may be written as often.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Route {
    pub(crate) kind: NameId,
    /// Readers asleep that want it. A publisher reads it after it has claimed a position; see the
    /// invariants of the ring.
    pub(super) asleep: AtomicU32,
    /// Subscriptions of several lanes that want it: its key is to be hashed.
    pub(super) divided: AtomicU32,
    /// Subscriptions that want it.
    pub(super) wanted: AtomicU32,
    /// The version of its inline handlers; 0 while it has none.
    inline: AtomicU64,
    /// Some of its events expire.
    expires: AtomicU32,
}

impl Route {
    pub(crate) fn new(kind: NameId) -> Arc<Self> {
        Arc::new(Self {
            kind,
            asleep: AtomicU32::new(0),
            divided: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            inline: AtomicU64::new(0),
            expires: AtomicU32::new(0),
        })
    }

    /// Whether any subscription reads it in the ring.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    #[inline]
    pub(crate) fn inline(&self) -> u64 {
        self.inline.load(Ordering::Relaxed)
    }

    pub(crate) fn set_inline(&self, version: u64) {
        self.inline.store(version, Ordering::Relaxed);
    }

    /// Whether any of its events may expire, of those published by this process.
    #[inline]
    pub(crate) fn expires(&self) -> bool {
        self.expires.load(Ordering::Relaxed) != 0
    }

    /// To be called before the first event that expires is published.
    pub(crate) fn set_expires(&self) {
        self.expires.store(1, Ordering::Relaxed);
    }

    /// Whether publishers should hash the key. A reader that needs a hash and finds none makes it.
    #[inline]
    pub(crate) fn is_divided(&self) -> bool {
        self.divided.load(Ordering::Relaxed) != 0
    }
}

/// The kinds that a group of readers wants.
#[derive(Debug)]
pub(super) enum Wants {
    One(NameId),
    Many(Box<[u64]>),
}

impl Wants {
    pub(super) fn new(kinds: impl Iterator<Item = NameId>) -> Self {
        let kinds: Vec<_> = kinds.map(|kind| kind.number() as usize).collect();
        if let [one] = kinds[..] {
            #[allow(clippy::cast_possible_truncation)] // it was one
            return Self::One(NameId::from_number(one as u32));
        }
        let words = kinds.iter().max().map_or(0, |most| most / 64 + 1);
        let mut bits = vec![0; words].into_boxed_slice();
        for kind in kinds {
            bits[kind / 64] |= 1 << (kind % 64);
        }
        Self::Many(bits)
    }

    #[inline]
    pub(super) fn contain(&self, kind: NameId) -> bool {
        match self {
            Self::One(one) => *one == kind,
            Self::Many(bits) => {
                let kind = kind.number() as usize;
                bits.get(kind / 64).is_some_and(|word| word >> (kind % 64) & 1 == 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_whether_anybody_has_asked_for_the_key() {
        let kind = NameId::from_number(7);
        let key = Key::from("a customer");
        let all = [Tag::unhashed(kind), Tag::hashed(kind, None), Tag::hashed(kind, Some(&key))];
        assert_eq!(all.map(Tag::is_hashed), [false, true, true]);
        assert_eq!(all.map(Tag::kind), [kind; 3]);
        assert_eq!(all.map(|tag| tag.key_at(5).0), [false, false, true]);
        assert_eq!(all[2].lane(5, 64), key.lane(64));
        assert_eq!(all[1].lane(69, 64), 5, "those without a key go by their position");
    }
}
