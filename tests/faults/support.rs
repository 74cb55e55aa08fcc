//! The private nodes and the raw publisher of the other tests, once more, and the two ways to let time pass.

#[path = "../it/support/installation.rs"]
mod installation;
#[path = "../it/support/node.rs"]
#[allow(dead_code)]
pub mod node;
#[path = "../it/support/ports.rs"]
mod ports;
#[path = "../it/support/raw.rs"]
#[allow(dead_code)]
pub mod raw;
#[path = "../it/support/reaper.rs"]
mod reaper;
#[path = "../it/support/wait.rs"]
pub mod wait;

use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// This lets time pass where time itself is the fault: a silence, a slow handler. Never to wait for something to be done.
pub fn pass(duration: Duration) {
    let (_open, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(duration);
}

/// How the suite's nodes are set up. A quorum retry queue asks again after this long for a confirm that did not come, because the main
/// queue was gone or had no leader; it is three minutes by default.
pub fn setup() -> node::Setup {
    let advanced = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n".to_owned();
    node::Setup { files: vec![("advanced.config", advanced)], ..node::Setup::default() }
}

/// Milliseconds since 1970: the one clock that all processes of a run share.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    u64::try_from(since.as_millis()).expect("the year is not 500,000,000")
}
