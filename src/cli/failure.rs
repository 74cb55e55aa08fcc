//! How a subcommand ends that could not do all of it: an exit code, and what to tell the person who typed it.

use crate::error::{Error, Fault};
use crate::remedy::with_remedy;
use crate::worker::{EXIT_BOOT, EXIT_CONFIG, EXIT_DRAINED, EXIT_NOT_DRAINED};
use std::io::{self, Write};

/// What a subcommand without an answer of its own returns.
pub(crate) type Done = Result<(), Failure>;

/// The exit code of a process that a second signal ends.
pub(crate) const INTERRUPTED: i32 = EXIT_NOT_DRAINED as i32;

/// Why it ended, and with which exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub code: u8,
    pub what: String,
}

impl Failure {
    /// Some of it is done, and some is not.
    pub fn incomplete(what: impl Into<String>) -> Self {
        Failure { code: EXIT_NOT_DRAINED, what: what.into() }
    }

    /// What was typed or written cannot be meant.
    pub fn usage(what: impl Into<String>) -> Self {
        Failure { code: EXIT_CONFIG, what: what.into() }
    }

    /// The broker is away, or says no.
    pub fn broker(what: impl Into<String>) -> Self {
        Failure { code: EXIT_BOOT, what: what.into() }
    }

    /// Tells the person, and gives the exit code.
    pub fn tell(self) -> u8 {
        if !self.what.is_empty() {
            // Who has closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "error: {}", self.what);
        }
        self.code
    }
}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        let code = if matches!(err.fault(), Fault::Config | Fault::Blueprint) { EXIT_CONFIG } else { EXIT_BOOT };
        Failure { code, what: with_remedy(&err) }
    }
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        match err.kind() {
            // Who reads has enough, as `head` does.
            io::ErrorKind::BrokenPipe => Failure { code: EXIT_DRAINED, what: String::new() },
            _ => Failure::incomplete(format!("the output could not be written: {err}")),
        }
    }
}
