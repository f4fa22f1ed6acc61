//! How long orders take, and what of it to show.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[derive(Clone, Default)]
pub struct Latencies(Arc<Mutex<Vec<Duration>>>);

impl Latencies {
    pub fn add(&self, latency: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
    }

    /// The latency that this share of the orders stays below.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.sort_unstable();
        let at = (all.len() as f64 * share) as usize;
        all.get(at).or(all.last()).copied().unwrap_or_default()
    }
}
