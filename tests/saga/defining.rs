//! Definitions that are not sound: the saga does not start, and says all that is wrong.

use serde::{Deserialize, Serialize};
use tidings::{
    Bus,
    saga::{Define, Elsewhere, Flaw, Saga, SagaError, SagaState},
};

use crate::fulfilment::*;

#[derive(Debug, Serialize, Deserialize)]
struct Open;

#[derive(Debug, Serialize, Deserialize)]
struct Waiting;

#[derive(Debug, Serialize, Deserialize)]
struct Closed;

/// A saga of these three states, defined each time in another way.
macro_rules! flaws {
    (|$saga:ident| $define:block) => {{
        #[derive(Debug, Serialize, Deserialize, SagaState)]
        enum Three {
            Open(Open),
            Waiting(Waiting),
            #[saga(terminal)]
            Closed(Closed),
        }

        impl Saga for Three {
            const NAME: &'static str = "three";

            fn define($saga: &mut Define<Self>) $define
        }

        match Bus::volatile().saga::<Three>().start() {
            Ok(_) => Vec::new(),
            Err(SagaError::Definition(error)) => error.flaws,
            Err(other) => panic!("{other}"),
        }
    }};
}

// Each definition needs types of its own, since a type is the state of one saga alone.
mod sound {
    use super::*;

    #[test]
    fn a_sound_definition_starts() {
        let flaws = flaws!(|saga| {
            saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>();
            saga.state::<Open>()
                .on(|_, _: &PaymentTaken, turn| turn.enter(Waiting))
                .to::<Waiting>()
                .ignore::<OrderPlaced>();
            saga.state::<Waiting>()
                .on(|_, _: &PaymentTaken, turn| turn.enter(Closed))
                .to::<Closed>()
                .ignore::<OrderPlaced>();
        });
        assert_eq!(flaws, []);
    }
}

mod undeclared {
    use super::*;

    #[test]
    fn every_pair_that_is_not_declared_is_named() {
        let flaws = flaws!(|saga| {
            saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>();
            saga.state::<Open>()
                .on(|_, _: &PaymentTaken, turn| turn.enter(Waiting))
                .to::<Waiting>();
            saga.state::<Waiting>()
                .on(|_, _: &StockReserved, turn| turn.enter(Closed))
                .to::<Closed>();
            saga.event::<StockReserved>().elsewhere(Elsewhere::Defer);
        });
        let undeclared = |state, event| Flaw::Undeclared { state, event };
        let expected = [
            undeclared("Open", "orders.placed"),
            undeclared("Waiting", "orders.placed"),
            undeclared("Waiting", "payments.taken"),
        ];
        assert_eq!(flaws, expected);
    }
}

mod paths {
    use super::*;

    #[test]
    fn a_state_without_a_way_in_or_out_is_named() {
        let flaws = flaws!(|saga| {
            saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>();
            saga.state::<Open>().on(|_, _: &OrderPlaced, turn| turn.stay());
            saga.state::<Waiting>()
                .on(|_, _: &OrderPlaced, turn| turn.enter(Closed))
                .to::<Closed>();
        });
        let expected = [
            Flaw::Unreachable { state: "Closed" },
            Flaw::Unreachable { state: "Waiting" },
            Flaw::NoWayToEnd { state: "Open" },
        ];
        assert_eq!(flaws, expected);
    }
}

mod timers {
    use super::*;

    #[test]
    fn timers_without_handlers_and_handlers_without_timers_are_named() {
        let flaws = flaws!(|saga| {
            saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>().sets("never handled");
            saga.state::<Open>()
                .on(|_, _: &OrderPlaced, turn| turn.enter(Waiting))
                .to::<Waiting>()
                .sets("handled before");
            saga.state::<Open>().on_timer("handled before", |_, turn| turn.stay());
            saga.state::<Waiting>()
                .on(|_, _: &OrderPlaced, turn| turn.enter(Closed))
                .to::<Closed>()
                .on_timer("never set", |_, turn| turn.stay());
        });
        let expected = [
            Flaw::TimerWithoutHandler { timer: "handled before" },
            Flaw::TimerWithoutHandler { timer: "never handled" },
            Flaw::TimerNeverSet { state: "Waiting", timer: "never set" },
        ];
        assert_eq!(flaws, expected);
    }
}

mod compensations {
    use super::*;

    #[test]
    fn compensations_that_cannot_be_are_named() {
        let flaws = flaws!(|saga| {
            saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>();
            saga.state::<Open>()
                .on(|_, _: &OrderPlaced, turn| turn.enter(Waiting))
                .to::<Waiting>()
                .pivots();
            saga.state::<Waiting>()
                .on(|_, _: &OrderPlaced, turn| turn.compensate_then(Open))
                .to::<Closed>()
                .compensates_to::<Open>();
        });
        let expected = [
            Flaw::NothingToCompensate,
            Flaw::CompensatesToActive { state: "Open" },
            Flaw::CompensatesAfterPivot { state: "Waiting" },
        ];
        assert_eq!(flaws, expected);
    }
}

mod other {
    use super::*;

    #[test]
    fn whatever_is_said_twice_or_in_vain_is_named() {
        let flaws = flaws!(|saga| {
            saga.start(|_: &OrderPlaced, turn| turn.enter(Open));
            saga.state::<Open>()
                .on(|_, _: &OrderPlaced, turn| turn.enter(Closed))
                .to::<Closed>()
                .ignore::<OrderPlaced>();
            saga.state::<Waiting>()
                .on(|_, _: &OrderPlaced, turn| turn.enter(Closed))
                .to::<Closed>();
            saga.state::<Closed>().ignore::<OrderPlaced>();
            saga.compensation::<RefundPayment>();
        });
        for expected in [
            Flaw::StartsNowhere { event: "orders.placed" },
            Flaw::EventTwice { state: "Open", event: "orders.placed" },
            Flaw::HandlesAtEnd { state: "Closed" },
            Flaw::NeverCompensates { event: "payments.refund" },
        ] {
            assert!(flaws.contains(&expected), "{expected}: {flaws:?}");
        }
    }

    #[test]
    fn all_flaws_are_in_the_text() {
        let flaws = flaws!(|saga| {
            saga.missing(tidings::saga::Missing::Retry);
            saga.state::<Open>().on(|_, _: &OrderPlaced, turn| turn.stay());
        });
        let text: Vec<_> = flaws.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        assert!(text.contains("no event begins it"), "{text}");
        assert!(text.contains("the event that begins it waits behind it"), "{text}");
    }
}
