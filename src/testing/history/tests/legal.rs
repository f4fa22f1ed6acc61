//! Each of these histories is odd, and keeps every promise.

use super::story::Story;
use crate::testing::{End, Ending, Fact, Promises, Skip};

#[test]
fn what_was_not_settled_comes_again_after_a_crash() {
    let story = Story::new().published(1, 1).published(2, 2).handled(1, 1).handled(2, 2);
    story.life(End::Killed).handled(1, 1).handled(2, 2).rests().keeps_promises();
}

#[test]
fn what_was_settled_comes_again_after_a_power_loss() {
    let story = Story::new().published(1, 1).handled(1, 1).settled(1).cursor(2);
    story.life(End::PowerLost).cursor(1).handled(1, 1).rests().keeps_promises();
}

#[test]
fn a_publish_of_unknown_end_appears() {
    let story = Story::new().unknown(1).life(End::PowerLost).log_ends(2).handled(1, 1);
    story.found(1, 1).fact(Fact::ReadAll).rests().keeps_promises();
}

#[test]
fn a_publish_of_unknown_end_never_appears() {
    let story = Story::new().unknown(1).life(End::PowerLost).log_ends(1).published(2, 1);
    story.handled(2, 1).found(2, 1).fact(Fact::ReadAll).rests().keeps_promises();
}

#[test]
fn a_refused_publish_is_tried_again() {
    let story = Story::new().begin(1).fact(Fact::Refused { event: 1 });
    story.published(1, 1).handled(1, 1).rests().keeps_promises();
}

#[test]
fn a_publish_that_was_tried_again_has_the_place_of_the_first_try() {
    let story = Story::new().unknown(1).published(2, 2).published(1, 1);
    story.handled(1, 1).handled(2, 2).rests().keeps_promises();
}

#[test]
fn an_event_is_handled_before_its_publish_is_answered() {
    Story::new().begin(1).handled(1, 1).acknowledged(1, 1).rests().keeps_promises();
}

#[test]
fn an_event_is_tried_until_it_succeeds() {
    let story = Story::new().published(1, 1).published(2, 2).failed(1, 1, 1);
    story.call(1, 1, 2).end(1, Ending::Handled).handled(2, 2).rests().keeps_promises();
}

#[test]
fn attempts_that_a_crash_forgets_are_made_again() {
    let story = Story::new().published(1, 1).failed(1, 1, 1).failed(1, 1, 2);
    story.life(End::Killed).call(1, 1, 2).end(1, Ending::Handled).rests().keeps_promises();
}

#[test]
fn a_dead_letter_is_tried_again_after_others_of_its_key() {
    let story = Story::new().published(1, 1).published(2, 2);
    let story = story.failed(1, 1, 1).failed(1, 1, 2).failed(1, 1, 3).handled(2, 2);
    story.dead(1).revived(1).call(1, 1, 4).end(1, Ending::Handled).rests().keeps_promises();
}

#[test]
fn a_dead_letter_is_given_up() {
    let story = Story::new().published(1, 1).call(1, 1, 1).end(1, Ending::Rejected);
    story.dead(1).discarded(1, true).rests().keeps_promises();
}

#[test]
fn nobody_knows_whether_a_dead_letter_was_given_up() {
    let story = Story::new().published(1, 1).call(1, 1, 1).end(1, Ending::Rejected).dead(1);
    let story = story.discarded(1, false).life(End::PowerLost).revived(1).call(1, 1, 2);
    story.end(1, Ending::Handled).rests().keeps_promises();
}

#[test]
fn what_was_handled_and_not_settled_dies_in_the_next_process() {
    let story = Story::new().published(1, 1).handled(1, 1).life(End::Killed);
    let story = story.call(1, 1, 1).end(1, Ending::Rejected).dead(1);
    story.audited().rests().keeps_promises();
}

#[test]
fn an_event_expires_while_it_waits_for_a_retry() {
    let story = Story::new().published(1, 1).published(2, 2).failed(1, 1, 1).handled(2, 2);
    story.skipped(1, Some(Skip::Expired)).cursor(3).rests().keeps_promises();
}

#[test]
fn lost_positions_are_reported() {
    let story = Story::new().published(1, 1).published(2, 2).published(3, 3).lost(1, 2);
    story.handled(3, 3).cursor(4).rests().keeps_promises();
}

#[test]
fn a_copy_is_passed_over() {
    let story = Story::new().under(Promises::durable().idempotent("s")).published(1, 1);
    let story = story.begin_as(2, "p", Some(1)).acknowledged(2, 2).handled(1, 1);
    story.skipped(2, Some(Skip::Duplicate)).rests().keeps_promises();
}

#[test]
fn a_copy_that_was_passed_over_comes_after_a_crash() {
    let story = Story::new().under(Promises::durable().idempotent("s")).published(0, 1);
    let story = story.begin_as(1, "p", Some(0)).acknowledged(1, 2).published(2, 3);
    let story = story.handled(0, 1).handled(2, 3).life(End::Killed).handled(1, 2).handled(2, 3);
    story.skipped(0, Some(Skip::Duplicate)).rests().keeps_promises();
}

#[test]
fn a_copy_that_has_failed_is_passed_over_once_the_other_is_handled() {
    let story = Story::new().under(Promises::durable().idempotent("s")).published(0, 1);
    let story = story.begin_as(1, "p", Some(0)).acknowledged(1, 2).published(2, 3);
    let story = story.failed(1, 2, 1).handled(0, 1).handled(2, 3).life(End::Killed);
    let story = story.failed(1, 2, 1).handled(0, 1).handled(2, 3);
    story.skipped(1, Some(Skip::Duplicate)).rests().keeps_promises();
}

#[test]
fn an_event_without_a_key_is_handled_beside_another_one() {
    let story = Story::new().published(0, 1).published(1, 2).call(0, 1, 1).call(1, 2, 1);
    story.end(1, Ending::Handled).end(0, Ending::Handled).rests().keeps_promises();
}

#[test]
fn publishes_at_the_same_time_come_in_any_order() {
    let story = Story::new().begin_as(1, "p", None).begin_as(2, "q", None);
    let story = story.acknowledged(1, 2).acknowledged(2, 1);
    story.handled(2, 1).handled(1, 2).rests().keeps_promises();
}

#[test]
fn an_effect_is_repeated_where_the_process_ended_before_it_was_on_record() {
    let story = Story::new().published(1, 1).call(1, 1, 1).effect(1).life(End::Killed);
    let story = story.call(1, 1, 1).effect(1).kept(1, true);
    story.end(1, Ending::Handled).rests().keeps_promises();
}

#[test]
fn an_effect_is_repeated_where_it_could_not_be_put_on_record() {
    let story = Story::new().published(1, 1).call(1, 1, 1).effect(1).kept(1, false);
    let story = story.end(1, Ending::Failed).call(1, 1, 2).effect(1).kept(1, true);
    story.end(1, Ending::Handled).rests().keeps_promises();
}

#[test]
fn a_volatile_bus_forgets_everything_with_its_process() {
    let story = Story::new().under(Promises::volatile()).published(1, 1).handled(1, 1);
    let story = story.life(End::Clean).published(2, 1);
    story.handled(2, 1).rests().keeps_promises();
}

#[test]
fn what_is_only_buffered_may_go_with_the_power() {
    let buffered = Promises::durable().durability(crate::event::Durability::Buffered);
    let story = Story::new().under(buffered).published(1, 1).handled(1, 1).life(End::PowerLost);
    story.log_ends(1).published(2, 1).handled(2, 1).rests().keeps_promises();
}

#[test]
fn a_key_goes_on_once_its_dead_letter_is_settled() {
    let promises = Promises::durable().max_attempts(3).holds_keys("s");
    let rejected = || {
        let story = Story::new().under(promises.clone()).published(1, 1).published(2, 2);
        story.call(1, 1, 1).end(1, Ending::Rejected)
    };
    let handled = rejected().revived(1).call(1, 1, 2).end(1, Ending::Handled);
    handled.handled(2, 2).rests().keeps_promises();
    rejected().discarded(1, true).handled(2, 2).rests().keeps_promises();
    // It was too old, and that was seen later.
    rejected().handled(2, 2).discarded(1, false).rests().keeps_promises();
    // That it died was not committed, and it was too late for it then.
    let story = rejected().life(End::Killed).handled(2, 2);
    story.skipped(1, Some(Skip::Expired)).rests().keeps_promises();
}

#[test]
fn a_letter_that_is_given_up_while_it_is_tried_again_holds_nothing() {
    let promises = Promises::durable().max_attempts(3).holds_keys("s");
    let story = Story::new().under(promises).published(1, 1).published(2, 2);
    let story = story.call(1, 1, 1).end(1, Ending::Rejected).revived(1).call(1, 1, 2);
    let story = story.discarded(1, true).end(1, Ending::Rejected);
    story.handled(2, 2).rests().keeps_promises();
}

#[test]
fn a_probe_that_failed_was_no_attempt() {
    let promises = Promises::durable().max_attempts(3).probes("s");
    let story = Story::new().under(promises).published(1, 1).failed(1, 1, 1).failed(1, 1, 2);
    let story = story.failed(1, 1, 2).failed(1, 1, 2).call(1, 1, 3).end(1, Ending::Handled);
    story.rests().keeps_promises();
}

#[test]
fn an_attempt_that_a_shutdown_gave_up_does_not_count() {
    let story = Story::new().published(1, 1).failed(1, 1, 1).call(1, 1, 2).life(End::Clean);
    story.call(1, 1, 2).end(1, Ending::Handled).keeps_promises();
}

#[test]
fn attempts_at_a_letter_that_is_tried_again_count_once_it_dies() {
    let story = Story::new().published(1, 1).failed(1, 1, 3).dead(1).revived(1);
    let story = story.failed(1, 1, 4).life(End::Clean).revived(1);
    story.call(1, 1, 4).end(1, Ending::Handled).keeps_promises();
}
