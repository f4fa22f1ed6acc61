//! The tool: looks at stores, verifies them, and rescues damaged ones.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod arguments;
mod base16;
mod cursors;
mod dead_letters;
mod dump;
mod failure;
mod info;
mod output;
mod process;
mod progress;
mod ranges;
mod record;
mod salvage;
mod tail;
mod text;
mod time;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::{Failure, exit};
use output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let mut output = Output::new(arguments.json);
    let done = run(arguments.command, &mut output).and_then(|code| {
        output.flush()?;
        Ok(code)
    });
    done.unwrap_or_else(|failure| failure.report(&mut output))
}

fn run(command: Command, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Info(store) => info::run(&store.dir, output)?,
        Command::Tail(arguments) => tail::run(&arguments, output)?,
        Command::Dump(arguments) => dump::run(&arguments, output)?,
        Command::Verify(store) => return verify::run(&store.dir, output),
        Command::Salvage(arguments) => salvage::run(&arguments, output)?,
        Command::DeadLetters(command) => dead_letters::run(&command, output)?,
        Command::Cursors(store) => cursors::run(&store.dir, output)?,
    }
    Ok(exit::CLEAN)
}
