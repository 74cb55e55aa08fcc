//! How long to wait before a channel is opened anew, and what to tell the operator meanwhile.

use crate::error::{Error, Fault};
use std::time::Duration;

/// Delays that double from 100 ms up to 30 s.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Backoff(Duration::from_millis(100))
    }

    pub fn next_delay(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(Duration::from_secs(30));
        delay
    }
}

/// What would mend it, as far as the error tells.
pub(super) fn remedy(err: &Error) -> &'static str {
    match err.fault() {
        Fault::NotFound => "declare the queue, or restart the worker, which does",
        Fault::AccessRefused => "give the user the permission to read it, or end the exclusive consumer",
        Fault::Locked => "it belongs to another connection; wait for its end",
        _ => "a new channel is opened",
    }
}
