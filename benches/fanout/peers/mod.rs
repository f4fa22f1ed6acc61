//! What tidings is measured beside.

mod asynchronous;
pub(crate) mod broadcast_ring;
pub(crate) mod crossbeam;
pub(crate) mod direct;
pub(crate) mod disruptor;

pub(crate) use asynchronous::{async_broadcast, tokio_broadcast};
