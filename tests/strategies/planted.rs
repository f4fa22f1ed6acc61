//! Mistakes that are planted into an application, each of which a model has to find.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use proptest::{
    prop_assert,
    strategy::{Strategy, ValueTree},
    test_runner::{TestError, TestRunner},
};
use tidings::{
    Backoff, Context, Error, HandlerError,
    testing::{
        TestBus,
        model::{self, BusModel},
        strategies::{Step, flows},
    },
};

use crate::work::{Work, handle, work};

/// What the first flow that finds something finds.
fn found(
    handler: fn(&Work, &mut Context) -> Result<(), HandlerError>,
    max_attempts: u32,
) -> Option<String> {
    let mut runner = TestRunner::deterministic();
    let flows = flows(work(), &["working"]);
    let mut flow = || flows.new_tree(&mut runner).unwrap().current();
    (0..200).find_map(|_| {
        let flow = flow();
        let mut bus = TestBus::start(move |bus| {
            let bus = bus.build()?;
            let retry = Backoff::constant(Duration::from_secs(1)).max_attempts(3);
            bus.subscribe("working").retry(retry).on(handler).start()?;
            Ok::<_, Error>(bus)
        })
        .unwrap();
        let mut model = BusModel::new().subscription("working", max_attempts, Work::ending);
        let run = || model::run(&mut model, &flow.steps, &mut bus);
        let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
        Some(*panic.downcast::<String>().unwrap())
    })
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    assert_eq!(found(handle, 3), None);
}

#[test]
fn an_event_that_is_given_up_is_found() {
    let gives_up = |work: &Work, ctx: &mut Context| match handle(work, ctx) {
        Err(_) if ctx.attempt() == 2 => Err(HandlerError::reject("enough")),
        result => result,
    };
    let message = found(gives_up, 3).unwrap();
    assert!(message.contains("`working` was to have #"), "{message}");
    assert!(message.contains("but it is Dead { attempts: 2 }"), "{message}");
}

#[test]
fn an_error_that_is_swallowed_is_found() {
    let swallows = |work: &Work, ctx: &mut Context| match handle(work, ctx) {
        Err(error) if error.is_rejection() => Ok(()),
        result => result,
    };
    let message = found(swallows, 3).unwrap();
    assert!(message.contains("but it is Handled"), "{message}");
}

#[test]
fn a_wrong_number_of_attempts_is_found() {
    let message = found(handle, 4).unwrap();
    assert!(message.contains("but it is Dead { attempts: "), "{message}");
}

#[test]
fn steps_shrink_to_few_simple_ones() {
    let mut runner = TestRunner::deterministic();
    let flow = flows(work(), &["working"]);
    let failed = runner.run(&flow, |flow| {
        prop_assert!(!flow.steps.iter().any(|step| matches!(step, Step::Kill)));
        Ok(())
    });
    let Err(TestError::Fail(_, smallest)) = failed else { panic!("{failed:?}") };
    assert_eq!(smallest.steps.len(), 1, "{smallest:?}");
}
