//! Property tests of whole buses, with the strategies and the model that users have.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod flows;
mod planted;
mod values;
mod work;
