//! Errors that are worth another attempt, and errors that are not.

use std::fmt;

use tidings::{Backoff, Bus, DeadLetterReason, HandlerError, SubscriptionBuilder};

use crate::events::{Placed, SECOND, placed, seen, simulated};

#[derive(Debug)]
struct Refused(u64);

#[derive(Debug)]
struct Other;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.0)
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something else")
    }
}

impl std::error::Error for Refused {}
impl std::error::Error for Other {}

/// With two attempts, a second apart.
fn builder(bus: &Bus) -> SubscriptionBuilder {
    bus.subscribe("judged").retry(Backoff::constant(SECOND).max_attempts(2))
}

/// Why each event has died, and after how many attempts.
fn deaths(bus: &Bus) -> Vec<(DeadLetterReason, u32)> {
    let letters = bus.dead_letters("judged").list().unwrap();
    letters.iter().map(|letter| (letter.reason(), letter.attempts())).collect()
}

const REJECTED: (DeadLetterReason, u32) = (DeadLetterReason::Rejected, 1);
const EXHAUSTED: (DeadLetterReason, u32) = (DeadLetterReason::Exhausted, 2);

#[test]
fn an_error_is_judged_by_its_type_and_value() {
    type Choice = fn(SubscriptionBuilder) -> SubscriptionBuilder;
    let choices: [Choice; 2] = [
        |builder| builder.reject_if::<Refused>(|error| error.0 >= 400),
        |builder| builder.retry_if::<Refused>(|error| error.0 < 400),
    ];
    for choose in choices {
        let (sim, bus) = simulated(1);
        let judged = choose(builder(&bus).reject_if::<fmt::Error>(|_| true));
        let refuse = |event: &Placed| -> Result<(), Refused> { Err(Refused(event.order)) };
        judged.on(refuse).start().unwrap();
        bus.publish_all([placed(404, 0), placed(302, 0)]).unwrap();
        sim.run_until_idle();
        assert_eq!(deaths(&bus), [REJECTED, EXHAUSTED]);
    }
}

#[test]
fn errors_of_other_types_and_what_the_handler_decides_stay() {
    let (sim, bus) = simulated(2);
    let judged = builder(&bus).retry_if::<Refused>(|_| false).reject_if::<Refused>(|_| true);
    let judged = judged.on(|event: &Placed| -> Result<(), HandlerError> {
        match event.order {
            1 => Err(Other.into()),
            2 => Err(HandlerError::retry("text")),
            3 => Err(HandlerError::retry_after(Refused(1), 5 * SECOND)),
            4 => Err(HandlerError::reject(Other)),
            _ => panic!("not judged"),
        }
    });
    judged.start().unwrap();
    bus.publish_all((1..=5).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    assert_eq!(sim.elapsed(), 5 * SECOND);
    assert_eq!(deaths(&bus), [EXHAUSTED, EXHAUSTED, EXHAUSTED, REJECTED, EXHAUSTED]);
}

#[test]
fn where_the_judgement_panics_the_event_is_tried_again() {
    let (sim, bus) = simulated(3);
    let judged = builder(&bus).reject_if::<Refused>(|_| panic!("no idea"));
    judged.on(|_: &Placed| Err::<(), _>(Refused(1))).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(deaths(&bus), [EXHAUSTED]);
}

#[test]
fn an_inline_handlers_error_is_judged_too() {
    let (sim, bus) = simulated(4);
    let judged = builder(&bus).reject_if::<Refused>(|_| true);
    judged.on_inline(|_: &Placed| Err::<(), _>(Refused(1))).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(deaths(&bus), [REJECTED]);
}

#[test]
fn immediate_retries_take_no_time_and_keep_the_order_of_their_key() {
    let (sim, bus) = simulated(5);
    let calls = seen();
    let (list, clock) = (calls.clone(), sim.clone());
    let retry = Backoff::constant(SECOND).immediate(2);
    let handler = move |event: &Placed, ctx: &mut tidings::Context| {
        list.lock().push((event.step, ctx.attempt(), clock.elapsed().as_secs()));
        if event.step == 0 && ctx.attempt() < 4 { Err(Other) } else { Ok(()) }
    };
    bus.subscribe("hasty").retry(retry).on(handler).start().unwrap();
    bus.publish_all([placed(1, 0), placed(1, 1)]).unwrap();
    sim.run_until_idle();
    assert_eq!(*calls.lock(), [(0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 4, 1), (1, 1, 1)]);
}
