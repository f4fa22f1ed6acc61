//! Dead letters: what they tell, and what can be done with them.

use tidings::{Backoff, Context, DeadLetter, HandlerError};

use crate::{
    events::{Placed, SECOND, placed, simulated},
    store::Store,
};

fn attempts(letter: &DeadLetter) -> Vec<u32> {
    letter.failures().iter().map(|failure| failure.attempt).collect()
}

#[test]
fn a_letter_tells_of_its_last_ten_failures_and_a_retry_adds_to_them() {
    let (sim, bus) = simulated(1);
    let store = Store::new();
    let volatile = (sim, bus);
    let durable = (store.sim.clone(), store.open());
    for (sim, bus) in [volatile, durable] {
        bus.subscribe("billing")
            .retry(Backoff::constant(SECOND).max_attempts(7))
            .on(|_: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
                Err(HandlerError::retry(format!("failed {}", ctx.attempt())))
            })
            .start()
            .unwrap();
        bus.publish(placed(1, 0)).unwrap();
        sim.run_until_idle();
        let letters = bus.dead_letters("billing");
        let letter = letters.list().unwrap().remove(0);
        assert_eq!(attempts(&letter), (1..=7).collect::<Vec<_>>());
        let failures = letter.failures();
        assert_eq!((&*failures[6].error, failures[6].at), ("failed 7", letter.died_at()));
        assert_eq!(failures[0].at, letter.first_failed_at());
        assert_eq!(failures[1].at.since(failures[0].at), SECOND);

        letters.retry(letter.position()).unwrap();
        sim.run_until_idle();
        let letter = letters.get(letter.position()).unwrap();
        assert_eq!(attempts(&letter), (5..=14).collect::<Vec<_>>());
    }
}
