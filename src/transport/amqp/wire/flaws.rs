//! What was seen on a connection's stream: which deliveries were mended, what was agreed, and why reading ended.

use crate::error::Fault;
use crate::message::Flaw;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why nothing more is read from a peer, and of what sort that is.
pub(in crate::transport::amqp) type Complaint = (Fault, String);

/// Shared by the stream, which writes it, and by those who read deliveries.
#[derive(Debug)]
pub(in crate::transport::amqp) struct Seen {
    frame_max: AtomicU32,
    /// How many flaws wait, so that who has none to fetch takes no lock.
    waiting: AtomicUsize,
    /// By channel, which of the channels of that number, and tag: deliveries may be read when their channel is closed by now, and
    /// its number used again.
    flaws: Mutex<HashMap<(u16, u64, u64), Flaw>>,
    generations: Mutex<HashMap<u16, u64>>,
    complaint: Mutex<Option<Complaint>>,
}

impl Seen {
    pub(super) fn new(frame_max: u32) -> Self {
        Seen {
            frame_max: AtomicU32::new(frame_max),
            waiting: AtomicUsize::new(0),
            flaws: Mutex::default(),
            generations: Mutex::default(),
            complaint: Mutex::default(),
        }
    }

    /// The largest frame that both ends have agreed to.
    pub fn frame_max(&self) -> u32 {
        self.frame_max.load(Ordering::Relaxed)
    }

    pub(super) fn agree(&self, frame_max: u32) {
        self.frame_max.store(frame_max, Ordering::Relaxed);
    }

    /// Which of the channels of this number is open now.
    pub fn generation(&self, channel: u16) -> u64 {
        lock(&self.generations).get(&channel).copied().unwrap_or(0)
    }

    pub(super) fn begin(&self, channel: u16) {
        *lock(&self.generations).entry(channel).or_default() += 1;
    }

    /// What was wrong with this delivery, once.
    pub fn flaw_of(&self, channel: u16, generation: u64, tag: u64) -> Option<Flaw> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut flaws = lock(&self.flaws);
        let flaw = flaws.remove(&(channel, generation, tag));
        self.waiting.store(flaws.len(), Ordering::Release);
        flaw
    }

    pub(super) fn note(&self, channel: u16, tag: u64, what: impl FnOnce(&mut Flaw)) {
        let generation = self.generation(channel);
        let mut flaws = lock(&self.flaws);
        what(flaws.entry((channel, generation, tag)).or_default());
        self.waiting.store(flaws.len(), Ordering::Release);
    }

    /// Nobody will read what was left on this channel.
    pub fn forget(&self, channel: u16, generation: u64) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            let mut flaws = lock(&self.flaws);
            flaws.retain(|(of, its, _), _| (*of, *its) != (channel, generation));
            self.waiting.store(flaws.len(), Ordering::Release);
        }
    }

    /// Why nothing more is read from this peer, if it was for something it sent.
    pub fn complaint(&self) -> Option<Complaint> {
        lock(&self.complaint).clone()
    }

    pub(super) fn complain(&self, complaint: Complaint) {
        *lock(&self.complaint) = Some(complaint);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
