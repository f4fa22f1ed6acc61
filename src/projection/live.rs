//! The rows of a subscription that is up to date: written with the acknowledgement of each event.

use std::sync::Arc;

use super::{
    keys,
    lateness::Lateness,
    rows::{At, Cache, Row, Rows},
};
use crate::{
    delivery::{Context, HandlerError},
    runtime::Seeded,
};

/// What a live handler needs besides its event. Nothing of the rows is kept from one event to the next: what
/// an attempt has changed counts only if the lane takes it over, which it alone knows. Changes of the same
/// batch are read from there, and written once.
pub(super) struct Live {
    prefix: Vec<u8>,
    clock_key: Vec<u8>,
    lateness: Lateness,
    seed: Seeded,
}

impl Live {
    pub(super) fn new(name: &str, generation: u64, lateness: Lateness, seed: Seeded) -> Arc<Self> {
        let (prefix, clock_key) = (keys::rows(name, generation), keys::clock(name, generation));
        Arc::new(Self { prefix, clock_key, lateness, seed })
    }

    pub(super) fn handle<R: Row>(
        &self,
        ctx: &mut Context,
        fold: impl FnOnce(&mut Rows<'_, R>, Lateness),
    ) -> Result<(), HandlerError> {
        let mut cache = Cache::new(self.prefix.clone(), self.clock_key.clone(), self.seed);
        let event = At { position: ctx.position(), published_at: ctx.published_at() };
        let recall = |key: &[u8]| ctx.recall(key);
        fold(&mut Rows { cache: &mut cache, recall: &recall, event }, self.lateness);
        cache.check().map_err(HandlerError::retry)?;
        for write in cache.writes().map_err(HandlerError::retry)? {
            ctx.stage(write)?;
        }
        Ok(())
    }
}
