//! Lies about what is settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use tidings::transport::{
    Arrival, Capabilities, LoopbackTransport, Place, Settlement, Token, Transport, TransportError,
};

use super::{Lie, Received, Settled, finds};
use crate::transports::least;

lies! {
    one_that_redelivers_acknowledged: RedeliversAcknowledged, what_is_acknowledged_does_not_come_again;
    one_that_redelivers_rejected: RedeliversRejected, what_is_rejected_does_not_come_again;
    one_that_loses_on_retry: LosesOnRetry, what_is_to_be_tried_again_comes_after_its_delay;
    one_that_retries_at_once: RetriesAtOnce, what_is_to_be_tried_again_comes_after_its_delay;
    one_that_never_times_out: NeverTimesOut, what_is_not_settled_in_time_comes_again;
    one_that_acknowledges_on_receipt: AcknowledgesOnReceipt, what_was_not_settled_comes_again_after_a_restart;
    one_that_acknowledges_all_before: AcknowledgesAllBefore::default(), an_acknowledgement_is_of_one_parcel_alone;
    one_that_settles_for_all_groups: SettlesForAllGroups::default(), groups_settle_for_themselves;
    one_that_counts_nothing: CountsNothing, redeliveries_are_counted;
    one_that_takes_foreign_tokens: TakesForeignTokens, settling_twice_harms_nothing;
}

lie! {
    /// Has what was acknowledged come again after a minute.
    RedeliversAcknowledged;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        let again = Settlement::Retry { after: Duration::from_mins(1) };
        truth.settle(token, if wanted == Settlement::Ack { again } else { wanted })
    }
}

lie! {
    /// Takes a rejection for "not now".
    RedeliversRejected;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        let again = Settlement::Retry { after: Duration::ZERO };
        truth.settle(token, if wanted == Settlement::Reject { again } else { wanted })
    }
}

lie! {
    /// Takes "not now" for an acknowledgement.
    LosesOnRetry;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        let is_retry = matches!(wanted, Settlement::Retry { .. });
        truth.settle(token, if is_retry { Settlement::Ack } else { wanted })
    }
}

lie! {
    /// Makes nothing of the delay of a retry.
    RetriesAtOnce;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        let at_once = Settlement::Retry { after: Duration::ZERO };
        let is_retry = matches!(wanted, Settlement::Retry { .. });
        truth.settle(token, if is_retry { at_once } else { wanted })
    }
}

lie! {
    /// Promises a timeout and has none.
    NeverTimesOut;
    fn truth() -> Capabilities {
        least()
    }
    fn capabilities() -> Capabilities {
        least().ack_timeout(Duration::from_secs(30))
    }
}

lie! {
    /// As a Kafka consumer that commits by itself.
    AcknowledgesOnReceipt;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max)?;
        for arrival in &arrivals {
            truth.settle(&arrival.token, Settlement::Ack)?;
        }
        Ok(arrivals)
    }
    fn settle(&self, _: &LoopbackTransport, _: &Token, _: Settlement) -> Settled {
        Ok(())
    }
}

/// As an offset that is committed, or `AckAll` of NATS.
#[derive(Debug, Default)]
struct AcknowledgesAllBefore(Mutex<Vec<Arrival>>);

impl Lie for AcknowledgesAllBefore {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max)?;
        self.0.lock().unwrap().extend(arrivals.clone());
        Ok(arrivals)
    }

    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        let received = self.0.lock().unwrap();
        let place = received.iter().find(|it| it.token == *token).map(|it| it.place.clone());
        for before in received.iter().filter(|it| Some(&it.place) < place.as_ref()) {
            drop(truth.settle(&before.token, wanted));
        }
        truth.settle(token, wanted)
    }
}

/// What one group has acknowledged, no other group gets.
#[derive(Debug, Default)]
struct SettlesForAllGroups(Mutex<BTreeMap<Token, Place>>, Mutex<BTreeSet<Place>>);

impl Lie for SettlesForAllGroups {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let mut arrivals = truth.receive(group, max)?;
        arrivals.retain(|arrival| !self.1.lock().unwrap().contains(&arrival.place));
        let known = arrivals.iter().map(|it| (it.token.clone(), it.place.clone()));
        self.0.lock().unwrap().extend(known);
        Ok(arrivals)
    }

    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        if wanted == Settlement::Ack {
            self.1.lock().unwrap().extend(self.0.lock().unwrap().remove(token));
        }
        truth.settle(token, wanted)
    }
}

lie! {
    CountsNothing;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let mut arrivals = truth.receive(group, max)?;
        for arrival in &mut arrivals {
            arrival.redeliveries = 0;
        }
        Ok(arrivals)
    }
}

lie! {
    /// Says that it has settled what it does not know.
    TakesForeignTokens;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, wanted: Settlement) -> Settled {
        match truth.settle(token, wanted) {
            Err(TransportError::Stale) => Ok(()),
            outcome => outcome,
        }
    }
}
