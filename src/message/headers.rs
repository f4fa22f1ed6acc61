//! Free metadata of a message, bounded.

use std::sync::Arc;

/// Free metadata of a message: names with text values, sorted by name.
///
/// Bounded so that metadata cannot grow into a second payload: [`Headers::MAX_COUNT`] headers,
/// names of 1 to [`Headers::MAX_NAME`] bytes, [`Headers::MAX_BYTES`] bytes in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Arc<str>, Arc<str>)>);

/// A header outside the bounds. Names the header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty or too long.
    #[error("header name `{0}` must have 1 to {max} bytes", max = Headers::MAX_NAME)]
    Name(String),
    /// There are too many headers.
    #[error("header `{0}` would be one more than the {max} that fit", max = Headers::MAX_COUNT)]
    Count(String),
    /// The headers are too large together.
    #[error("header `{0}` would make the headers larger than {max} bytes", max = Headers::MAX_BYTES)]
    Bytes(String),
}

impl Headers {
    /// How many headers a message may have.
    pub const MAX_COUNT: usize = 64;
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 128;
    /// The most bytes that all names and values may have together.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The header that names what a message stands for, so that it is published once.
    pub const IDEMPOTENCY_KEY: &str = "tidings-idempotency-key";
    /// The header that says for how many milliseconds after its publish an event is good.
    pub const EXPIRES_AFTER: &str = "tidings-expires-after-ms";
    /// The header with the position of the dead letter whose event, corrected, this message is.
    pub const EDITED_FROM: &str = "tidings-edited-from";
    /// The header that says through how many handlers a message came, from 2. See [`Envelope::hops`].
    ///
    /// [`Envelope::hops`]: crate::Envelope::hops
    pub const HOPS: &str = "tidings-hops";

    /// Adds a header, or replaces the one of that name.
    ///
    /// # Errors
    /// The header is outside the bounds; nothing changes then.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        if name.is_empty() || name.len() > Self::MAX_NAME {
            return Err(HeaderError::Name(name.into()));
        }
        let found = self.find(name);
        let replaced = found.map_or(0, |at| name.len() + self.0[at].1.len());
        if self.bytes() - replaced + name.len() + value.len() > Self::MAX_BYTES {
            return Err(HeaderError::Bytes(name.into()));
        }
        match found {
            Ok(at) => self.0[at].1 = value.into(),
            Err(_) if self.0.len() >= Self::MAX_COUNT => {
                return Err(HeaderError::Count(name.into()));
            }
            Err(at) => self.0.insert(at, (name.into(), value.into())),
        }
        Ok(())
    }

    /// The value of the header of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).ok().map(|at| &*self.0[at].1)
    }

    /// All headers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(existing, _)| (**existing).cmp(name))
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn the_bounds_hold_exactly() {
        let mut headers = Headers::default();
        assert_eq!(headers.insert("", "x"), Err(HeaderError::Name(String::new())));
        assert!(headers.insert(&"n".repeat(Headers::MAX_NAME), "").is_ok());
        assert!(headers.insert(&"n".repeat(Headers::MAX_NAME + 1), "").is_err());

        let mut full = Headers::default();
        assert!(full.insert("big", &"v".repeat(Headers::MAX_BYTES - 3)).is_ok());
        assert_eq!(full.insert("x", ""), Err(HeaderError::Bytes("x".into())));
        assert!(full.insert("big", "small").is_ok(), "a replaced value frees its room");

        let mut many = Headers::default();
        for n in 0..Headers::MAX_COUNT {
            assert!(many.insert(&n.to_string(), "").is_ok());
        }
        assert_eq!(many.insert("more", ""), Err(HeaderError::Count("more".into())));
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(pairs in vec(("[a-e]", "[x-z]{0,3}"), 0..20)) {
            let mut headers = Headers::default();
            let mut model = std::collections::BTreeMap::new();
            for (name, value) in &pairs {
                prop_assert!(headers.insert(name, value).is_ok());
                model.insert(name.as_str(), value.as_str());
            }
            prop_assert!(headers.iter().eq(model));
        }
    }
}
