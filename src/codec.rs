//! How an event becomes bytes: the [`Codec`] trait, and JSON.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::BoxError;

/// Turns events of type `E` into bytes and back.
///
/// The trait is open. A codec for every serde type is one `impl`; one for another family of types
/// (protobuf messages, say) is the same with another bound:
///
/// ```
/// use serde::{Serialize, de::DeserializeOwned};
/// use tidings::codec::{Codec, CodecError};
///
/// #[derive(Debug)]
/// struct PrettyJson;
///
/// impl<E: Serialize + DeserializeOwned> Codec<E> for PrettyJson {
///     fn name(&self) -> &'static str { "json-pretty" }
///     fn encode(&self, event: &E, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         serde_json::to_writer_pretty(out, event).map_err(CodecError::new)
///     }
///     fn decode(&self, bytes: &[u8]) -> Result<E, CodecError> {
///         serde_json::from_slice(bytes).map_err(CodecError::new)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec for `{E}`",
    note = "write `impl tidings::codec::Codec<{E}> for {Self}`, or one for every serde type"
)]
pub trait Codec<E>: Send + Sync + 'static {
    /// A short stable name, 1 to 32 bytes. It is kept with every record, and a record is only ever
    /// decoded by a codec of the same name.
    fn name(&self) -> &'static str;

    /// Appends the encoded event to `out`.
    ///
    /// # Errors
    /// Whatever the format cannot express.
    fn encode(&self, event: &E, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads an event back.
    ///
    /// # Errors
    /// Bytes that are not an encoded `E`. They may come from a hostile or damaged source, so an
    /// implementation must neither panic nor allocate without bound.
    fn decode(&self, bytes: &[u8]) -> Result<E, CodecError>;
}

/// JSON through serde: self-describing, survives added fields. The default.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Json;

impl<E: Serialize + DeserializeOwned> Codec<E> for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn encode(&self, event: &E, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(out, event).map_err(CodecError::new)
    }

    fn decode(&self, bytes: &[u8]) -> Result<E, CodecError> {
        serde_json::from_slice(bytes).map_err(CodecError::new)
    }
}

/// A value that could not be encoded, or bytes that could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CodecError(BoxError);

impl CodecError {
    /// Wraps the format's own error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}
