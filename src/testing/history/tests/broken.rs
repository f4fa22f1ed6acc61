//! Each of these histories breaks one promise.

use super::story::{Story, position};
use crate::testing::{AnomalyKind as Kind, End, Ending, Fact, Promises};

#[test]
fn an_acknowledged_event_is_never_handled() {
    Story::new().published(1, 1).published(2, 2).handled(1, 1).rests().shows(Kind::LostWrite);
}

#[test]
fn an_acknowledged_event_is_not_handled_after_a_crash() {
    Story::new().published(1, 1).life(End::PowerLost).rests().shows(Kind::LostWrite);
}

#[test]
fn a_failed_event_is_forgotten() {
    Story::new().published(1, 1).failed(1, 1, 1).rests().shows(Kind::LostWrite);
}

#[test]
fn an_event_in_the_log_is_never_handled() {
    Story::new().unknown(1).found(1, 1).rests().shows(Kind::LostWrite);
}

#[test]
fn an_acknowledged_event_is_beyond_the_end_after_a_power_loss() {
    Story::new().published(1, 1).life(End::PowerLost).log_ends(1).shows(Kind::LostWrite);
}

#[test]
fn an_acknowledged_event_is_not_found() {
    let story = Story::new().published(1, 1).published(2, 2).handled(1, 1).handled(2, 2);
    story.found(2, 2).fact(Fact::ReadAll).shows(Kind::LostWrite);
}

#[test]
fn what_is_buffered_is_gone_after_a_kill() {
    let buffered = Promises::durable().durability(crate::event::Durability::Buffered);
    let story = Story::new().under(buffered).published(1, 1).life(End::Killed);
    story.log_ends(1).shows(Kind::LostWrite);
}

#[test]
fn a_cursor_passes_what_was_never_handled() {
    let story = Story::new().published(1, 1).published(2, 2).handled(1, 1);
    story.cursor(3).shows(Kind::Gap);
}

#[test]
fn a_loss_marker_is_for_other_positions() {
    Story::new().published(1, 1).published(2, 5).lost(1, 4).cursor(6).shows(Kind::Gap);
}

#[test]
fn an_event_is_skipped_without_a_reason() {
    Story::new().published(1, 1).skipped(1, None).rests().shows(Kind::SkippedWithoutReason);
}

#[test]
fn a_refused_event_is_handled() {
    let story = Story::new().begin(1).fact(Fact::Refused { event: 1 });
    story.handled(1, 1).shows(Kind::AbortedRead);
}

#[test]
fn a_refused_event_is_in_the_log() {
    let story = Story::new().begin(1).fact(Fact::Refused { event: 1 });
    story.found(1, 1).shows(Kind::AbortedRead);
}

#[test]
fn an_event_comes_from_nowhere() {
    Story::new().handled(1, 1).shows(Kind::Phantom);
}

#[test]
fn an_event_is_handled_before_its_publish_began() {
    Story::new().handled(1, 1).published(1, 1).shows(Kind::Phantom);
}

#[test]
fn a_subscription_gets_what_it_has_not_asked_for() {
    let fact = Fact::Publishing {
        publisher: "p".into(),
        event: 1,
        name: "another".into(),
        key: Some("k".into()),
        copy_of: None,
    };
    Story::new().fact(fact).handled(1, 1).shows(Kind::Uninvited);
}

#[test]
fn an_event_has_lost_its_key() {
    let fact = Fact::Called {
        subscription: "s".into(),
        event: 1,
        key: None,
        position: position(1),
        attempt: 1,
    };
    Story::new().published(1, 1).fact(fact).end(1, Ending::Handled).shows(Kind::OtherKey);
}

#[test]
fn a_position_is_given_twice() {
    let story = Story::new().begin_as(1, "p", None).begin_as(2, "q", None);
    story.acknowledged(1, 1).acknowledged(2, 1).shows(Kind::TwoEventsAtOnePosition);
}

#[test]
fn a_position_has_another_event_after_a_crash() {
    let story = Story::new().unknown(1).handled(1, 1).life(End::PowerLost);
    story.unknown(2).found(2, 1).shows(Kind::TwoEventsAtOnePosition);
}

#[test]
fn an_event_is_not_where_its_receipt_says() {
    Story::new().published(1, 1).handled(1, 2).shows(Kind::TwoPositionsOfOneEvent);
}

#[test]
fn a_publish_that_was_tried_again_is_there_twice() {
    let story = Story::new().unknown(1).begin(1).acknowledged(1, 2);
    story.found(1, 2).found(1, 1).shows(Kind::TwoPositionsOfOneEvent);
}

#[test]
fn an_event_is_handled_that_a_crash_takes_away() {
    let story = Story::new().unknown(1).handled(1, 1).life(End::PowerLost);
    story.log_ends(1).shows(Kind::PrematureDelivery);
}

#[test]
fn an_event_is_handled_beyond_the_durable_end() {
    Story::new()
        .begin(1)
        .handled(1, 1)
        .log_ends(1)
        .acknowledged(1, 1)
        .shows(Kind::PrematureDelivery);
}

#[test]
fn an_event_is_handled_and_not_in_the_log() {
    let story = Story::new().unknown(1).handled(1, 1);
    story.fact(Fact::ReadAll).shows(Kind::PrematureDelivery);
}

#[test]
fn what_a_publisher_publishes_changes_places() {
    let story = Story::new().begin(1).begin(2).acknowledged(1, 2).acknowledged(2, 1);
    story.shows(Kind::PublisherOrder);
}

#[test]
fn a_publish_overtakes_one_that_was_acknowledged_before_it_began() {
    let story = Story::new().begin_as(1, "p", None).acknowledged(1, 2);
    story.begin_as(2, "q", None).acknowledged(2, 1).shows(Kind::PublishOrder);
}

#[test]
fn positions_begin_anew_in_the_next_process() {
    let story = Story::new().published(1, 5).handled(1, 5).life(End::Killed);
    story.published(2, 3).shows(Kind::PositionWentBack);
}

#[test]
fn the_events_of_a_key_change_places() {
    let story = Story::new().published(1, 1).published(2, 2);
    story.handled(2, 2).handled(1, 1).shows(Kind::OutOfOrder);
}

#[test]
fn the_events_of_a_key_change_places_across_a_crash() {
    let story = Story::new().published(1, 1).published(2, 2).handled(2, 2);
    story.life(End::Killed).handled(1, 1).shows(Kind::OutOfOrder);
}

#[test]
fn an_event_overtakes_one_that_waits_for_its_retry() {
    let story = Story::new().published(1, 1).published(2, 2).failed(1, 1, 1).handled(2, 2);
    story.shows(Kind::OutOfOrder);
}

#[test]
fn an_event_overtakes_a_copy_that_waits_for_its_retry() {
    let story = Story::new().under(Promises::durable().idempotent("s")).published(0, 1);
    let story = story.begin_as(1, "p", Some(0)).acknowledged(1, 2).published(2, 3);
    let story = story.failed(0, 1, 1).failed(1, 2, 1).handled(2, 3);
    story.shows(Kind::OutOfOrder);
}

#[test]
fn two_events_of_a_key_are_handled_at_the_same_time() {
    let story = Story::new().published(1, 1).published(2, 2).under(Promises::durable().unordered());
    let story = story.call(1, 1, 1).call(2, 2, 1);
    story.end(1, Ending::Handled).end(2, Ending::Handled).shows(Kind::Overlap);
}

#[test]
fn an_event_without_a_key_is_handled_twice_at_the_same_time() {
    Story::new().published(0, 1).call(0, 1, 1).call(0, 1, 2).shows(Kind::Overlap);
}

#[test]
fn attempts_are_counted_backwards() {
    Story::new().published(1, 1).failed(1, 1, 2).failed(1, 1, 1).shows(Kind::AttemptWentBack);
}

#[test]
fn an_attempt_is_not_counted() {
    Story::new().published(0, 1).failed(0, 1, 1).failed(0, 1, 1).shows(Kind::AttemptWentBack);
}

#[test]
fn an_event_comes_again_after_its_acknowledgement() {
    let story = Story::new().published(1, 1).handled(1, 1).settled(1).life(End::Killed);
    story.handled(1, 1).shows(Kind::HandledAgain);
}

#[test]
fn an_event_comes_again_without_need() {
    Story::new().published(1, 1).handled(1, 1).handled(1, 1).shows(Kind::HandledTwice);
}

#[test]
fn an_event_without_a_key_comes_again_without_need() {
    Story::new().published(0, 1).handled(0, 1).handled(0, 1).shows(Kind::HandledTwice);
}

#[test]
fn a_copy_is_handled_after_the_event() {
    let story = Story::new().under(Promises::durable().idempotent("s")).published(1, 1);
    let story = story.begin_as(2, "p", Some(1)).acknowledged(2, 2);
    story.handled(1, 1).handled(2, 2).shows(Kind::CopyHandled);
}

#[test]
fn a_copy_is_handled_in_the_next_process() {
    let story = Story::new().under(Promises::durable().idempotent("s")).published(1, 1);
    let story = story.begin_as(2, "p", Some(1)).acknowledged(2, 2).handled(1, 1).settled(1);
    story.life(End::Killed).handled(2, 2).shows(Kind::CopyHandled);
}

#[test]
fn what_was_handled_dies() {
    Story::new().published(1, 1).handled(1, 1).dead(1).shows(Kind::HandledAndDead);
}

#[test]
fn what_was_settled_is_dead_in_the_next_process() {
    let story = Story::new().published(1, 1).handled(1, 1).settled(1);
    story.life(End::Killed).dead(1).shows(Kind::HandledAndDead);
}

#[test]
fn a_dead_letter_has_had_its_effect() {
    let story = Story::new().published(1, 1).handled(1, 1).life(End::Killed);
    story.failed(1, 1, 1).dead(1).committed(1).audited().shows(Kind::HandledAndDead);
}

#[test]
fn what_was_given_up_is_handled() {
    let story = Story::new().published(1, 1).call(1, 1, 1).end(1, Ending::Rejected).dead(1);
    story.discarded(1, true).call(1, 1, 2).end(1, Ending::Handled).shows(Kind::HandledAfterDiscard);
}

#[test]
fn a_cursor_goes_back() {
    let story = Story::new().published(1, 1).handled(1, 1).cursor(2).life(End::Killed);
    story.cursor(1).shows(Kind::CursorWentBack);
}

#[test]
fn a_cursor_is_ahead_of_the_log() {
    Story::new().cursor(5).life(End::Killed).log_ends(3).shows(Kind::CursorAhead);
}

#[test]
fn an_effect_commits_twice() {
    let story = Story::new().published(1, 1).handled(1, 1).life(End::Killed).handled(1, 1);
    story.committed(1).committed(1).audited().shows(Kind::EffectTwice);
}

#[test]
fn an_effect_on_record_happens_again() {
    let story = Story::new().published(1, 1).call(1, 1, 1).effect(1).kept(1, true);
    let story = story.life(End::PowerLost).call(1, 1, 1).effect(1);
    story.end(1, Ending::Handled).shows(Kind::EffectTwice);
}

#[test]
fn an_effect_happens_in_each_attempt() {
    let story = Story::new().published(1, 1).call(1, 1, 1).effect(1).end(1, Ending::Failed);
    story.call(1, 1, 2).effect(1).end(1, Ending::Handled).shows(Kind::EffectTwice);
}

#[test]
fn an_effect_is_missing() {
    Story::new().published(1, 1).handled(1, 1).audited().shows(Kind::EffectMissing);
}

#[test]
fn a_failed_attempt_has_had_its_effect() {
    let story = Story::new().published(1, 1).failed(1, 1, 1);
    story.committed(1).audited().shows(Kind::EffectOfFailure);
}

#[test]
fn an_event_comes_though_a_dead_letter_holds_its_key() {
    let promises = Promises::durable().max_attempts(3).holds_keys("s");
    let rejected = || Story::new().under(promises.clone()).published(1, 1).published(2, 2);
    let story = rejected().call(1, 1, 1).end(1, Ending::Rejected);
    story.handled(2, 2).shows(Kind::LetterOvertaken);
    let story = rejected().failed(1, 1, 1).failed(1, 1, 2).failed(1, 1, 3);
    story.life(End::Killed).dead(1).handled(2, 2).shows(Kind::LetterOvertaken);
    let story = rejected().published(3, 3).call(1, 1, 1).end(1, Ending::Rejected).dead(2);
    let story = story.revived(1).call(1, 1, 2).end(1, Ending::Handled).call(2, 2, 1);
    story.end(2, Ending::Rejected).handled(3, 3).shows(Kind::LetterOvertaken);
}

#[test]
fn an_attempt_that_was_no_probe_is_not_counted() {
    let promises = Promises::durable().probes("another");
    let story = Story::new().under(promises).published(1, 1).failed(1, 1, 2);
    story.failed(1, 1, 2).shows(Kind::AttemptWentBack);
    let promises = Promises::durable().probes("s");
    let story = Story::new().under(promises).published(1, 1).failed(1, 1, 2);
    story.failed(1, 1, 1).shows(Kind::AttemptWentBack);
}

#[test]
fn a_count_of_attempts_is_forgotten_by_a_shutdown() {
    let story = Story::new().published(1, 1).failed(1, 1, 1).life(End::Clean);
    story.handled(1, 1).shows(Kind::AttemptWentBack);
}

#[test]
fn a_copy_is_handled_beside_an_event() {
    let once = Promises::durable().idempotent("s").unordered();
    let story = Story::new().under(once).published(0, 1).begin_as(2, "p", Some(0));
    let story = story.acknowledged(2, 2).call(0, 1, 1).call(2, 2, 1);
    story.end(0, Ending::Handled).end(2, Ending::Handled).shows(Kind::CopyHandled);
}
