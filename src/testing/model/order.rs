//! The order of keys, as the calls of handlers show it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::Key,
    message::Position,
    testing::{CallOutcome, HandlerCall},
};

/// No event was handled before all earlier ones of its key were done with. `by_key` are the events that a
/// subscription is to get, `dead` those that became dead letters without a call.
#[track_caller]
pub(super) fn assert_keys_are_in_order(
    calls: &[HandlerCall],
    by_key: &BTreeMap<Key, Vec<Position>>,
    dead: &BTreeSet<Position>,
) {
    let mut settled = BTreeSet::new();
    for call in calls {
        let earlier = call.key.as_ref().and_then(|key| by_key.get(key)).into_iter().flatten();
        for before in earlier.take_while(|before| **before < call.position) {
            assert!(
                settled.contains(before) || dead.contains(before),
                "an event came before an earlier one of its key, {before:?}, was done with: {call}"
            );
        }
        if matches!(call.outcome, CallOutcome::Succeeded | CallOutcome::Dead { .. }) {
            settled.insert(call.position);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(position: u64, outcome: CallOutcome) -> HandlerCall {
        HandlerCall {
            subscription: "s".into(),
            event: "e".into(),
            position: Position::FIRST.plus(position - 1),
            key: Some("k".into()),
            attempt: 1,
            began: Duration::ZERO,
            ended: Some(Duration::ZERO),
            outcome,
        }
    }

    fn check(calls: &[HandlerCall]) {
        let key = Key::from("k");
        let positions = [1, 2].map(|number| Position::FIRST.plus(number - 1)).to_vec();
        assert_keys_are_in_order(calls, &BTreeMap::from([(key, positions)]), &BTreeSet::new());
    }

    #[test]
    fn a_key_in_order_is_fine_also_where_it_begins_again() {
        let done = |position| call(position, CallOutcome::Succeeded);
        check(&[done(1), done(2), done(1), done(2)]);
    }

    #[test]
    #[should_panic(expected = "came before an earlier one of its key, #1")]
    fn an_event_that_overtakes_shows() {
        let failed = CallOutcome::Retried { error: "no".into(), after: Duration::ZERO };
        check(&[call(1, failed), call(2, CallOutcome::Succeeded)]);
    }
}
