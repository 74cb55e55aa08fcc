//! `run`: the worker, until a signal or a handler ends it.

use super::failure::Failure;
use super::session::Session;

/// Consumes, until Ctrl-C or SIGTERM
///
/// The first signal drains: what no handler has begun goes back at once, what runs may finish. The second leaves now; what is not
/// settled is delivered again.
#[derive(clap::Args)]
pub(crate) struct Run {}

impl Run {
    pub fn run(self, mut session: Session) -> Result<u8, Failure> {
        match session.take_worker() {
            Some(worker) => Ok(worker.run_to_end().unwrap_or_else(|err| Failure::from(err).code)),
            None => Err(Failure::usage("there is nothing to run: name a configuration file with `-c`")),
        }
    }
}
