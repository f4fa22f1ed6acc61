//! What hostile bytes are tried on: one function for each target of `fuzz/`, which panics where a
//! promise is broken. The same functions run over the committed inputs in ordinary tests.
//!
//! Checksums would keep a fuzzer out of nearly everything, so most targets make them right.
#![allow(clippy::expect_used)]

mod exercise;
mod golden;
mod image;
mod model;
mod parts;
mod seal;

pub use image::image;
pub use parts::{batch, checkpoint, index, manifest, segment};

use super::bytes::Reader;

/// The directory of the store.
const ROOT: &str = "/store";

/// Longer inputs find nothing that shorter ones do not.
const LONGEST: usize = 64 * 1024;

/// An input that is taken apart from its start. At its end it is zeros.
struct Input<'a>(Reader<'a>);

impl<'a> Input<'a> {
    /// `None` where it is too long.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() <= LONGEST).then(|| Self(Reader::new(bytes)))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn u8(&mut self) -> u8 {
        self.0.u8().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Less than `below`, 0 if that is 0.
    fn index(&mut self, below: usize) -> usize {
        usize::from(self.u16()).checked_rem(below).unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        self.0.rest()
    }
}
