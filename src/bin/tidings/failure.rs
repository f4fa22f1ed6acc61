//! What went wrong, in words and as an exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use tidings::{
    DeadLetterError, OpenError, ShutdownError,
    storage::{StorageError, file::SalvageError},
};

use crate::{output::Output, text::Harmless};

/// Exit codes; the help explains them.
pub(crate) mod exit {
    use std::process::ExitCode;

    pub(crate) const CLEAN: ExitCode = ExitCode::SUCCESS;

    pub(crate) fn torn() -> ExitCode {
        ExitCode::from(1)
    }

    pub(crate) fn corrupt() -> ExitCode {
        ExitCode::from(2)
    }

    pub(crate) fn foreign() -> ExitCode {
        ExitCode::from(3)
    }

    pub(crate) fn other() -> ExitCode {
        ExitCode::from(4)
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    DeadLetter(#[from] DeadLetterError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Salvage(#[from] SalvageError),
    #[error(transparent)]
    Shutdown(#[from] ShutdownError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Failure {
    /// Says it, after what was to be shown before.
    pub(crate) fn report(&self, output: &mut Output) -> ExitCode {
        let flushed = output.flush();
        if self.is_cut_off() || flushed.is_err_and(|failure| failure.is_cut_off()) {
            return exit::CLEAN;
        }
        complain(&format!("tidings: {}\n", Harmless(&self.to_string())));
        if let Some(StorageError::Corrupt { .. }) = self.storage() {
            complain(
                "`tidings verify` says all that is wrong; `tidings salvage` rescues the rest.\n",
            );
        }
        self.code()
    }

    /// Whoever reads has seen enough.
    fn is_cut_off(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn code(&self) -> ExitCode {
        match self.storage() {
            Some(StorageError::Corrupt { .. }) => exit::corrupt(),
            Some(StorageError::NotAStore { .. } | StorageError::Format { .. }) => exit::foreign(),
            _ => exit::other(),
        }
    }

    fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Storage(error)
            | Self::Open(OpenError::Storage(error))
            | Self::DeadLetter(DeadLetterError::Storage(error))
            | Self::Salvage(SalvageError::Storage(error)) => Some(error),
            _ => None,
        }
    }
}

/// Says what is wrong with the arguments, or what was asked for about them.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Help goes to standard output. Nobody is there to be told that it could not be printed.
    match error.print() {
        Ok(()) if !error.use_stderr() => exit::CLEAN,
        Ok(()) | Err(_) => exit::other(),
    }
}

/// Writes to standard error. Where that fails there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}
