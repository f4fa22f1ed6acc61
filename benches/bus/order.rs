//! What is published, by everyone in the same bytes.

use serde::{Deserialize, Serialize};
use tidings::{
    Event,
    codec::{Codec, CodecError},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "bench.ordered", codec = "Postcard")]
pub(crate) struct Ordered {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) number: u64,
    /// On the handler's clock; 0 where nobody asks.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) at_nanos: u64,
    total_cents: u64,
    quantity: u32,
    customer: String,
    item: String,
    note: String,
}

impl Ordered {
    pub(crate) const ENCODED: usize = 124;

    pub(crate) fn new(number: u64, at_nanos: u64) -> Self {
        Self {
            number,
            at_nanos,
            total_cents: 129_900,
            quantity: 3,
            customer: "0192f3a4-7b1c-7d2e-8f30-415263748596".into(),
            item: "bicycle, 28 inches, 21 gears, dark green".into(),
            note: "ring twice, third floor..".into(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, Vec::with_capacity(Self::ENCODED)).unwrap()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), Self::ENCODED);
        postcard::from_bytes(bytes).unwrap()
    }
}

/// tidings' own default is JSON; the others would hardly choose that.
struct Postcard;

impl Codec<Ordered> for Postcard {
    fn name(&self) -> &'static str {
        "postcard"
    }

    fn encode(&self, event: &Ordered, out: &mut Vec<u8>) -> Result<(), CodecError> {
        *out = postcard::to_extend(event, std::mem::take(out)).map_err(CodecError::new)?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Ordered, CodecError> {
        postcard::from_bytes(bytes).map_err(CodecError::new)
    }
}
