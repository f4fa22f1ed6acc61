//! What `testing::TestBus`, `testing::HandlerTest` and `testing::ProjectionTest` promise to whoever tests with them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod asynchronous;
mod calls;
mod handlers;
mod messages;
mod projections;
mod publishing;
mod restarts;
mod shop;
mod time;
