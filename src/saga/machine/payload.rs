//! The bytes of an event, as they are kept in an instance's record.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The bytes of an event. Kept as text where they are, as JSON is, and as numbers where they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept<'a> {
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
    Bytes(Vec<u8>),
}

impl Payload {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = Kept::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self(match kept {
            Kept::Text(text) => text.into_owned().into_bytes(),
            Kept::Bytes(bytes) => bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Payload;

    #[test]
    fn text_is_kept_as_text() {
        let payload = Payload::new(br#"{"order":7}"#.to_vec());
        assert_eq!(serde_json::to_string(&payload).unwrap_or_default(), r#""{\"order\":7}""#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_back(bytes in any::<Vec<u8>>()) {
            let payload = Payload::new(bytes);
            let kept = serde_json::to_vec(&payload).unwrap_or_default();
            prop_assert_eq!(serde_json::from_slice(&kept).ok(), Some(payload));
        }
    }
}
