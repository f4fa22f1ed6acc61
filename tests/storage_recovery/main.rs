//! What crashes, bit rot and other versions leave: found, lost or refused, exactly as promised.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod crashes;
mod damage;
mod foreign;
mod model;
mod sample;
mod surroundings;
