//! How deliveries come: one now and then, each worth a wakeup, or in a flow, in which they are looked for by the clock.
//!
//! A wakeup costs several microseconds, more than a quick handler does, and in a flow there were up to three for a handful of
//! messages: for the first that came, for the end of waiting for more, and for the batch that was done.

use std::time::{Duration, Instant};

/// How long deliveries gather in a flow. A prefetch of 100 is not used up meanwhile.
pub(super) const TICK: Duration = Duration::from_micros(250);

/// So many in a tick are a flow.
const FLOWS: usize = 4;

pub(super) struct Flow {
    /// Since the last look at this.
    came: usize,
    looked: Instant,
    /// A broker that has handed over so many waits for acks: then there is nothing to wait for here.
    too_many: usize,
}

impl Flow {
    pub fn new(prefetch: u16) -> Self {
        let half = usize::from(prefetch) / 2;
        Flow { came: 0, looked: Instant::now(), too_many: if half < 2 * FLOWS { 0 } else { half } }
    }

    /// One has come.
    pub fn note(&mut self) {
        self.came += 1;
    }

    /// Whether they have been flowing since this was last asked.
    pub fn is_steady(&mut self) -> bool {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.looked);
        let came = std::mem::take(&mut self.came);
        self.looked = now;
        (FLOWS..self.too_many).contains(&came) && took < TICK * 4
    }
}
