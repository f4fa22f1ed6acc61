//! Ids of messages and conversations.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::runtime::Timestamp;

/// The id of a message: a UUID, version 7 ([RFC 9562]) when the bus makes it, so that ids sort
/// roughly by time. Any 16 bytes from outside are accepted.
///
/// [RFC 9562]: https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// A version 7 UUID of this time, with 74 random bits out of `random`.
    #[inline]
    pub(crate) fn v7(now: Timestamp, random: [u64; 2]) -> Self {
        let millis = now.as_nanos() / 1_000_000;
        let high = (millis << 16) | 0x7000 | (random[0] & 0x0fff);
        let low = (random[1] >> 2) | (1 << 63);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Self(bytes)
    }
}

/// As text, in serde as elsewhere.
impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// How long the text is, hyphens included.
const TEXT: usize = 36;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; TEXT];
        let mut to = 0;
        for (at, byte) in self.0.iter().enumerate() {
            to += usize::from(matches!(at, 4 | 6 | 8 | 10));
            text[to] = DIGITS[usize::from(byte >> 4)];
            text[to + 1] = DIGITS[usize::from(byte & 15)];
            to += 2;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// A text that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID: expected 32 hexadecimal digits, with or without hyphens")]
#[non_exhaustive]
pub struct ParseIdError;

impl FromStr for MessageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut digits = text.chars().filter(|c| *c != '-');
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let (Some(high), Some(low)) = (hex(digits.next()), hex(digits.next())) else {
                return Err(ParseIdError);
            };
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(ParseIdError) } else { Ok(Self(bytes)) }
    }
}

fn hex(digit: Option<char>) -> Option<u8> {
    digit.and_then(|digit| digit.to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
}

/// The id of a conversation: all messages that follow from one first message share it.
///
/// A message id by default; any text of up to [`CorrelationId::MAX_LEN`] bytes from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CorrelationId {
    /// The id of the conversation's first message.
    Id(MessageId),
    /// A text from outside, such as a request id.
    Text(Arc<str>),
}

impl CorrelationId {
    /// The longest text that can be published, in bytes.
    pub const MAX_LEN: usize = 255;
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<MessageId> for CorrelationId {
    fn from(id: MessageId) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for CorrelationId {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for CorrelationId {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_made_here_are_version_7_and_carry_the_time() {
        let id = MessageId::v7(Timestamp::from_nanos(1_700_000_000_123_000_000), [!0, !0]);
        assert_eq!(id.to_string(), "018bcfe5-687b-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn later_ids_sort_later() {
        let at = |millis: u64| MessageId::v7(Timestamp::from_nanos(millis * 1_000_000), [5, 5]);
        assert!(at(1) < at(2));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(bytes in any::<[u8; 16]>()) {
            let id = MessageId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            let json = serde_json::to_string(&id).unwrap_or_default();
            prop_assert_eq!(serde_json::from_str(&json).ok(), Some(id));
        }

        #[test]
        fn any_other_text_is_refused(text in "[0-9a-f-]{0,31}|[g-z]{32}|[0-9a-f]{33,40}") {
            prop_assert_eq!(text.parse::<MessageId>(), Err(ParseIdError));
        }
    }
}
