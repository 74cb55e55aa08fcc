//! The one clock that all processes of a run share, and waiting by it.

use nix::time::{clock_gettime, ClockId};
use std::time::Duration;

/// Nanoseconds of the monotonic clock, which Linux counts from its boot for every process alike.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock is always there");
    Duration::from(time).as_nanos().try_into().expect("no machine is up for 500 years")
}

/// Waits until then, or not at all if that is over: the pace of a publisher.
pub fn sleep_until(due: u64) {
    let left = due.saturating_sub(now());
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left));
    }
}

/// Has this thread woken when it asked for it; by default Linux may be 50 µs late to save power.
pub fn wake_on_time() {
    #[cfg(target_os = "linux")]
    // Without it the publisher is a little late, which it says itself.
    let _ = nix::sys::prctl::set_timerslack(1);
}
