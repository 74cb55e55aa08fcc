//! How deliveries come: one now and then, each worth a wakeup, or in a flow, in which they are looked for by the clock.
//!
//! A wakeup costs several microseconds, more than a quick handler does, and in a flow there were up to three for a handful of
//! messages: for the first that came, for the end of waiting for more, and for the batch that was done.

use std::time::{Duration, Instant};

/// How long deliveries gather in a flow. A prefetch of 100 is not used up meanwhile; one of 1,000 lasts for longer.
pub(super) const TICK: Duration = Duration::from_micros(250);
const LONGEST_TICK: Duration = Duration::from_millis(1);

/// So many between two looks, which are up to four ticks apart, are a flow. At half of what a broker can send, a message need not
/// wait for others, nor its ack; so it is where the tick is short, with a prefetch of 100.
const FLOWS: usize = 12;

pub(super) struct Flow {
    tick: Duration,
    is_steady: bool,
    /// Since the last look at this.
    came: usize,
    looked: Instant,
    /// A broker that has handed over so many waits for acks: then there is nothing to wait for here.
    too_many: usize,
}

impl Flow {
    pub fn new(prefetch: u16) -> Self {
        let half = usize::from(prefetch) / 2;
        let tick = Duration::from_micros(prefetch.into()).clamp(TICK, LONGEST_TICK);
        Flow { tick, is_steady: false, came: 0, looked: Instant::now(), too_many: if half < 2 * FLOWS { 0 } else { half } }
    }

    /// How long may be waited for more.
    pub fn tick(&self) -> Duration {
        self.tick
    }

    /// One has come.
    pub fn note(&mut self) {
        self.came += 1;
    }

    /// How long to wait for more, if they have been flowing since this was last asked.
    pub fn pause(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.looked);
        let came = std::mem::take(&mut self.came);
        self.looked = now;
        self.is_steady = (FLOWS..self.too_many).contains(&came) && took < self.tick * 4;
        self.is_steady.then_some(self.tick)
    }

    /// Whether they were flowing when that was last asked.
    pub fn is_steady(&self) -> bool {
        self.is_steady
    }
}
