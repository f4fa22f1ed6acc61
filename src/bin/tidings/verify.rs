//! `verify`: everything that is wrong with a store.

use std::{path::Path, process::ExitCode};

use serde_json::json;
use tidings::storage::file::{Problem, Verdict, Verification, verify};

use crate::{
    failure::{Failure, exit},
    output::{Output, Tone},
    progress::Bar,
    text::Harmless,
};

pub(crate) fn run(dir: &Path, output: &mut Output) -> Result<ExitCode, Failure> {
    let found = {
        let mut bar = Bar::new();
        verify(dir, |progress| bar.show(progress))?
    };
    if output.json {
        output.object(&object(&found))?;
    } else {
        show(&found, output)?;
    }
    Ok(match found.verdict {
        Verdict::Clean => exit::CLEAN,
        Verdict::TornTail => exit::torn(),
        _ => exit::corrupt(),
    })
}

fn object(found: &Verification) -> serde_json::Value {
    let unknown: Vec<_> = found.unknown.iter().map(|path| path.to_string_lossy()).collect();
    json!({
        "verdict": found.verdict.to_string(),
        "problems": found.problems.iter().map(problem).collect::<Vec<_>>(),
        "unknown": unknown,
        "first": found.first,
        "end": found.end,
        "segments": found.segments,
        "commits": found.commits,
        "records": found.records,
        "entries": found.entries,
        "bytes": found.bytes,
    })
}

/// A problem as a JSON object.
pub(crate) fn problem(problem: &Problem) -> serde_json::Value {
    let positions = problem.positions.as_ref();
    json!({
        "file": problem.file.to_string_lossy(),
        "bytes": {"start": problem.bytes.start, "end": problem.bytes.end},
        "reason": problem.reason,
        "positions": positions.map(|it| json!({"first": it.start(), "last": it.end()})),
        "exact": problem.exact,
        "commits": problem.commits,
        "acknowledged": problem.acknowledged,
    })
}

fn show(found: &Verification, output: &mut Output) -> Result<(), Failure> {
    show_problems(&found.problems, output)?;
    for path in &found.unknown {
        let path = path.to_string_lossy();
        output.line(format!("{} belongs to nothing", Harmless(&path)))?;
    }
    let tone = match found.verdict {
        Verdict::Clean => Tone::Good,
        Verdict::TornTail => Tone::Warning,
        _ => Tone::Bad,
    };
    let verdict = output.paint(tone, found.verdict);
    output.line(format!(
        "{verdict}: {} events in {} commits and {} segments, {} entries of the state, {} bytes read",
        found.records, found.commits, found.segments, found.entries, found.bytes
    ))
}

/// One line for each problem.
pub(crate) fn show_problems(problems: &[Problem], output: &mut Output) -> Result<(), Failure> {
    for problem in problems {
        let tone = if problem.acknowledged { Tone::Bad } else { Tone::Warning };
        let file = problem.file.to_string_lossy();
        let bytes = match &problem.bytes {
            bytes if bytes.is_empty() => String::new(),
            bytes => format!(", bytes {}..{}", bytes.start, bytes.end),
        };
        let (reason, lost) = (output.paint(tone, problem.reason), lost(problem));
        output.line(format!("{}{bytes}: {reason}{lost}", Harmless(&file)))?;
    }
    Ok(())
}

fn lost(problem: &Problem) -> String {
    let most = if problem.exact { "" } else { "at most " };
    match (&problem.positions, problem.commits) {
        (Some(positions), _) => {
            format!("; {most}positions {} to {} are lost", positions.start(), positions.end())
        }
        (None, 0) if problem.acknowledged => String::new(),
        (None, 0) => "; it was promised to nobody".to_owned(),
        (None, commits) => format!("; {commits} commits without events are lost"),
    }
}
