//! Standard output: lines for people or machines.

use std::{
    fmt::Display,
    io::{self, BufWriter, Stdout, Write},
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::{failure::Failure, process};

/// Standard output.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    has_colours: bool,
    pub(crate) json: bool,
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Bad,
    Good,
    Name,
    Quiet,
    Warning,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Name => AnsiColor::Cyan.on_default(),
            Self::Quiet => Style::new().dimmed(),
            Self::Warning => AnsiColor::Yellow.on_default(),
        }
    }
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let out = BufWriter::with_capacity(64 * 1024, io::stdout());
        Self { out, has_colours: !json && process::wants_colours(), json }
    }

    /// Text in the colour of what it is.
    pub(crate) fn paint(&self, tone: Tone, text: impl Display) -> String {
        if self.has_colours {
            let style = tone.style();
            format!("{style}{text}{style:#}")
        } else {
            text.to_string()
        }
    }

    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// A value as one line of JSON.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        self.line("")
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        Ok(())
    }
}
