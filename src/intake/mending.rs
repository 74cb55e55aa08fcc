//! How long to wait before a channel is opened anew.

use crate::error::Error;
use std::time::Duration;

/// What may pass by itself is looked at often: that costs the broker a channel.
const LONGEST_IF_TRANSIENT: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Delays that double from 100 ms, up to a second where it may pass by itself, up to 30 s where somebody must do something.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Backoff(Duration::from_millis(100))
    }

    pub fn next_delay(&mut self, err: &Error) -> Duration {
        let delay = if err.is_transient() { self.0.min(LONGEST_IF_TRANSIENT) } else { self.0 };
        self.0 = (delay * 2).min(LONGEST);
        delay
    }
}
