//! Lies that show in the long run, or when several threads are at it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidings::transport::{LoopbackTransport, Parcel, Settlement, Transport};

use super::{Lie, Outcomes, Received, finds};

lies! {
    one_that_races_with_itself: RacesWithItself::default(), several_threads_send_and_receive_at_once;
    one_that_loses_now_and_then: LosesNowAndThen::default(), a_random_run_loses_nothing_and_repeats_nothing;
    one_that_repeats_now_and_then: RepeatsNowAndThen::default(), another_random_run_loses_nothing_and_repeats_nothing;
}

/// Loses a parcel of a thread while another sends, and says that it has it.
#[derive(Debug, Default)]
struct RacesWithItself(AtomicU64);

impl Lie for RacesWithItself {
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        std::thread::sleep(Duration::from_micros(50));
        let is_alone = self.0.load(Ordering::Acquire) == before + 1;
        let sent = truth.send(parcels);
        if !is_alone {
            for arrival in truth.receive("g", 1).unwrap_or_default() {
                drop(truth.settle(&arrival.token, Settlement::Reject));
            }
        }
        sent
    }
}

/// Loses every 37th.
#[derive(Debug, Default)]
struct LosesNowAndThen(AtomicU64);

impl Lie for LosesNowAndThen {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let mut arrivals = truth.receive(group, max)?;
        arrivals.retain(|arrival| {
            let is_lost = self.0.fetch_add(1, Ordering::Relaxed) % 37 == 36;
            !is_lost || truth.settle(&arrival.token, Settlement::Ack).is_err()
        });
        Ok(arrivals)
    }
}

/// Delivers one twice now and then.
#[derive(Debug, Default)]
struct RepeatsNowAndThen(AtomicU64);

impl Lie for RepeatsNowAndThen {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let repeats = max > 1 && self.0.fetch_add(1, Ordering::Relaxed) % 7 == 6;
        let mut arrivals = truth.receive(group, max - usize::from(repeats))?;
        if repeats {
            arrivals.extend(arrivals.last().cloned());
        }
        Ok(arrivals)
    }
}
