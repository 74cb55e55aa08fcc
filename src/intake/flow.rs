//! Whether deliveries come in a steady flow: then they are looked for by the clock, not each as it comes.

use std::time::{Duration, Instant};

pub(super) struct Flow {
    came: usize,
    since: Instant,
    is_steady: bool,
}

pub(super) static TICK: std::sync::LazyLock<Duration> =
    std::sync::LazyLock::new(|| Duration::from_micros(std::env::var("BOOT_T").ok().and_then(|t| t.parse().ok()).unwrap_or(200)));
pub(super) static ENOUGH: std::sync::LazyLock<usize> =
    std::sync::LazyLock::new(|| std::env::var("BOOT_E").ok().and_then(|t| t.parse().ok()).unwrap_or(4));

impl Flow {
    pub fn new() -> Self {
        Flow { came: 0, since: Instant::now(), is_steady: false }
    }
    pub fn note(&mut self, count: usize) {
        self.came += count;
    }
    /// How long to wait for more, if they flow.
    pub fn pause(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.since);
        self.is_steady = self.came >= *ENOUGH && took < *TICK * 4;
        (self.came, self.since) = (0, now);
        self.is_steady.then_some(*TICK)
    }
}
