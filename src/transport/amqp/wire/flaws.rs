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
    flaws: Mutex<HashMap<(u16, u64), Flaw>>,
    complaint: Mutex<Option<Complaint>>,
}

impl Seen {
    pub(super) fn new(frame_max: u32) -> Self {
        Seen {
            frame_max: AtomicU32::new(frame_max),
            waiting: AtomicUsize::new(0),
            flaws: Mutex::default(),
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

    /// What was wrong with this delivery, once.
    pub fn flaw_of(&self, channel: u16, tag: u64) -> Option<Flaw> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut flaws = lock(&self.flaws);
        let flaw = flaws.remove(&(channel, tag));
        self.waiting.store(flaws.len(), Ordering::Release);
        flaw
    }

    pub(super) fn note(&self, channel: u16, tag: u64, what: impl FnOnce(&mut Flaw)) {
        let mut flaws = lock(&self.flaws);
        what(flaws.entry((channel, tag)).or_default());
        self.waiting.store(flaws.len(), Ordering::Release);
    }

    /// A channel has ended: nobody will read what was left on it, and its number will be used again.
    pub(super) fn forget(&self, channel: u16) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            let mut flaws = lock(&self.flaws);
            flaws.retain(|(of, _), _| *of != channel);
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
