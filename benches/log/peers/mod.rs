//! Who tidings is measured beside.

pub(crate) mod commitlog;
pub(crate) mod fjall;
pub(crate) mod raw;
pub(crate) mod redb;
pub(crate) mod sqlite;
