//! Where a handler puts its latencies: room made beforehand, and no lock, so that writing them down is not what is measured.

use super::samples::{self, Sample};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub struct Collected {
    taken: AtomicUsize,
    samples: Vec<(AtomicU64, AtomicU64)>,
}

impl Collected {
    pub fn with_room_for(messages: usize) -> Collected {
        Collected { taken: AtomicUsize::new(0), samples: (0..messages).map(|_| Default::default()).collect() }
    }

    /// Notes when the handler of this message began, and says whether it was the last one.
    pub fn note(&self, stamp: u64, began: u64) -> bool {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        // One too many is a message that came twice: told at the end, by the count.
        if let Some((of, took)) = self.samples.get(place) {
            of.store(stamp, Ordering::Relaxed);
            took.store(began.saturating_sub(stamp), Ordering::Release);
        }
        place + 1 == self.samples.len()
    }

    /// # Panics
    ///
    /// Where more have come than were sent.
    pub fn write(&self, path: &Path) {
        assert_eq!(self.taken.load(Ordering::Acquire), self.samples.len(), "each message is handled once");
        let samples = self
            .samples
            .iter()
            .map(|(stamp, took)| Sample { stamp: stamp.load(Ordering::Acquire), took: took.load(Ordering::Acquire) });
        samples::write(path, samples);
    }
}
