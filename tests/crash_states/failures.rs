//! Every call fails once, for ever, or with a panic.

use std::{io::ErrorKind, sync::Once};

use tidings::testing::Fault;

use crate::{
    setup::Setup,
    sweep::{Sweep, sweep},
};

/// Panics that are meant are not worth a word.
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if !text.contains("simulated panic") {
                loud(info);
            }
        }));
    });
}

/// Fails each call in turn, until the script no longer notices.
pub(crate) fn every_call(
    setup: &Setup,
    kind: ErrorKind,
    once: bool,
    panics: bool,
) -> Result<u64, String> {
    if panics {
        quiet();
    }
    for call in 1..5000 {
        let mut fault = Fault::at(call).kind(kind);
        if once {
            fault = fault.once();
        }
        if panics {
            fault = fault.panic();
        }
        let mut run = Sweep::new(setup);
        run.panics = panics;
        let disk = run.disk.clone();
        disk.fail(fault);
        let done = sweep(run, call);
        done.map_err(|error| format!("call {call}, {kind:?}, once {once}: {error}"))?;
        if disk.io_count() < call {
            return Ok(call);
        }
    }
    Err("the script does not end".to_owned())
}

fn all_calls(once: bool, panics: bool) {
    let kinds = [
        ErrorKind::Other,
        ErrorKind::StorageFull,
        ErrorKind::Interrupted,
        ErrorKind::PermissionDenied,
    ];
    for eager in [false, true] {
        for setup in [Setup::fresh(eager), Setup::grown(eager)] {
            for kind in kinds.into_iter().take(if panics { 1 } else { kinds.len() }) {
                match every_call(&setup, kind, once, panics) {
                    Ok(calls) => println!("{calls} calls"),
                    Err(error) => panic!("eager {eager}: {error}"),
                }
            }
        }
    }
}

#[test]
fn any_call_may_fail_although_it_has_done_what_it_was_to_do() {
    for setup in [Setup::fresh(false), Setup::grown(false), Setup::fresh(true), Setup::grown(true)]
    {
        for call in 1..200 {
            let mut run = Sweep::new(&setup);
            run.late = Some(call);
            if let Err(error) = sweep(run, call.unsigned_abs()) {
                panic!("call {call}, eager {}: {error}", setup.eager);
            }
        }
    }
}

#[test]
fn any_call_may_fail_once() {
    all_calls(true, false);
}

#[test]
fn any_call_may_be_the_first_of_many_that_fail() {
    all_calls(false, false);
}

#[test]
fn any_call_may_panic() {
    all_calls(true, true);
}
