//! Messages on standard output, a line each: to look at what a queue gets, or for another program to read.

use super::line as json_line;
use crate::delivered::Message;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;
use std::io::{ErrorKind, Write};

/// What the process ends with when nobody reads what it prints.
const NOBODY_READS: u8 = 1;

/// Prints each message on standard output, and acks it: the body as it is, and a line end.
///
/// When nobody reads any more (a pipe that was closed), the worker ends with exit code 1, and the message stays on its queue.
///
/// ```
/// use bootstep::handlers::Print;
/// use bootstep::Consumer;
///
/// let consumer = Consumer::handled_by("greetings", Print::new().json());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Print {
    is_json: bool,
}

impl Print {
    /// Bodies as they are.
    pub fn new() -> Self {
        Print::default()
    }

    /// The whole message as a line of JSON, as [`Program::json_input`](super::Program::json_input) has it.
    pub fn json(mut self) -> Self {
        self.is_json = true;
        self
    }
}

impl Handler for Print {
    type Body = ();

    fn handle(&self, (): (), message: &Message) -> Result<Outcome, BoxError> {
        let line = line(message, self.is_json);
        let mut out = std::io::stdout().lock();
        match out.write_all(&line).and_then(|()| out.flush()) {
            Ok(()) => Ok(Outcome::Ack),
            // All that come would fail alike, down to the archive.
            Err(err) if err.kind() == ErrorKind::BrokenPipe => {
                Ok(Outcome::halt(NOBODY_READS, "nobody reads what is printed: standard output is closed"))
            }
            Err(err) => Err(format!("the message cannot be printed: {err}").into()),
        }
    }
}

/// The body and a line end, or the message as a line of JSON.
pub(super) fn line(message: &Message, is_json: bool) -> Vec<u8> {
    match is_json {
        true => json_line::of(message, None),
        false => [message.body(), b"\n"].concat(),
    }
}
