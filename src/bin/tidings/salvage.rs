//! `salvage`: rescuing a damaged store.

use serde_json::json;
use tidings::storage::file::{Salvage, SalvageError, Salvaged, StateLoss};

use crate::{
    arguments,
    failure::Failure,
    output::{Output, Tone},
    progress::Bar,
    ranges,
    verify::{problem, show_problems},
};

pub(crate) fn run(arguments: &arguments::Salvage, output: &mut Output) -> Result<(), Failure> {
    let mut salvage = Salvage::new(&arguments.store.dir, &arguments.into);
    for range in arguments.accept_loss.iter().flat_map(|ranges| &ranges.0) {
        salvage = salvage.accept_loss(range.clone());
    }
    if arguments.accept_state_loss {
        salvage = salvage.accept_state_loss();
    }
    let done = {
        let mut bar = Bar::new();
        salvage.run(|progress| bar.show(progress))
    };
    match done {
        Ok(done) => show(&done, output),
        Err(error) => {
            refuse(&error, output)?;
            Err(error.into())
        }
    }
}

/// Says what would have to be accepted.
fn refuse(error: &SalvageError, output: &mut Output) -> Result<(), Failure> {
    let SalvageError::Unaccepted { lost, state, problems, .. } = error else { return Ok(()) };
    if output.json {
        return output.object(&json!({
            "salvaged": false,
            "lost": ranges::show(lost),
            "state_loss": state.as_ref().map(state_loss),
            "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        }));
    }
    show_problems(problems, output)?;
    let mut options = Vec::new();
    if !lost.is_empty() {
        options.push(format!("--accept-loss {}", ranges::show(lost)));
    }
    if state.is_some() {
        options.push("--accept-state-loss".to_owned());
    }
    match &*options.join(" ") {
        "" => output.line("nothing is lost, so there is nothing to accept"),
        options => {
            output.line(format!("to accept the loss: {}", output.paint(Tone::Name, options)))
        }
    }
}

fn show(done: &Salvaged, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return output.object(&json!({
            "salvaged": true,
            "records": done.records,
            "first": done.first,
            "end": done.end,
            "lost": ranges::show(&done.lost),
            "state_loss": done.state_loss.as_ref().map(state_loss),
            "problems": done.problems.iter().map(problem).collect::<Vec<_>>(),
        }));
    }
    show_problems(&done.problems, output)?;
    if !done.lost.is_empty() {
        let lost = output.paint(Tone::Bad, ranges::show(&done.lost));
        output.line(format!("lost: {lost}"))?;
    }
    if let Some(state) = &done.state_loss {
        output.line(output.paint(Tone::Bad, state))?;
    }
    let (records, first, end) = (done.records, done.first, done.end);
    let title = output.paint(Tone::Good, "rescued");
    output.line(format!("{title}: {records} events, from {first} to before {end}"))
}

fn state_loss(state: &StateLoss) -> serde_json::Value {
    let files: Vec<_> = state.files.iter().map(|path| path.to_string_lossy()).collect();
    json!({"files": files, "commits": state.commits})
}
