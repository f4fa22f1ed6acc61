//! Draws what the comparisons found: reads their `RESULT` lines, writes one SVG.
//!
//! `cargo run -p tidings-bench --bin plot -- results.txt figures.svg [WORKLOAD ..]`
//!
//! A workload chooses what is below it, too, as with `--only`; without any, everything is drawn.

mod results;
mod svg;

use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [results, picture, workloads @ ..] = &arguments[..] else {
        eprintln!("usage: plot RESULTS SVG [WORKLOAD ..]");
        return ExitCode::FAILURE;
    };
    match draw(results, picture, workloads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(results: &str, picture: &str, workloads: &[String]) -> Result<(), String> {
    let text = fs::read_to_string(results).map_err(|error| format!("{results}: {error}"))?;
    let groups = results::read(&text, workloads);
    if groups.is_empty() {
        return Err(format!("{results} has no figures of these workloads"));
    }
    fs::write(picture, svg::draw(&groups)).map_err(|error| format!("{picture}: {error}"))
}
