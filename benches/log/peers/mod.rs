//! Who tidings is measured beside.

mod batcher;
pub(crate) mod commitlog;
pub(crate) mod fjall;
pub(crate) mod raw;
pub(crate) mod redb;
pub(crate) mod sqlite;

pub(crate) use batcher::Batcher;
