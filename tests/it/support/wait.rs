//! Waiting for a condition under a deadline: the one place in the tests that sleeps, so that no test guesses how long something takes.

use std::thread;
use std::time::{Duration, Instant};

// Short enough that nobody notices, long enough that polling does not take the processor from what is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// This waits until `condition` holds, and panics with `what` at the caller's line if it does not within `deadline`.
#[track_caller]
pub fn eventually(what: &str, deadline: Duration, condition: impl FnMut() -> bool) {
    assert!(holds_within(deadline, condition), "not within {deadline:?}: {what}");
}

/// This waits until `condition` holds and says whether it did within `deadline`.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PAUSE);
    }
}
