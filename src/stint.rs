//! What one thread is at: messages with their handler, and since when, so that others can tell who is late.

use crate::clock::Clock;
use crate::delivered::Message;
use crate::message::Delivery;
use crate::outcome::one_line;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The messages that one thread hands to their handler, one after the other. The thread only stores; whoever wants to know
/// how long a handler has run looks for itself.
pub(crate) struct Stint {
    work: Work,
    /// Which handler runs: no two runs of a stint have the same number. 0 for none.
    run: AtomicU64,
    /// When it began, in nanoseconds after `from`.
    since_ns: AtomicU64,
    from: Instant,
    /// The run that somebody has been told of because it takes long.
    told: AtomicU64,
    /// What has been told of it.
    notes: Mutex<Notes>,
}

enum Work {
    /// All that a pool thread was handed; the run is the place, counted from one.
    Batch(Vec<(u64, Message)>),
    /// What an intake thread is at.
    One { delivery: Mutex<Option<Delivery>>, queue: Arc<str> },
}

/// What has been told of a run.
#[derive(Clone, Copy, Default)]
pub(crate) struct Notes {
    pub run: u64,
    pub overran: bool,
    /// How long it had been stuck when that was last told.
    pub stuck: Option<Duration>,
    pub left: bool,
}

impl Stint {
    /// For a batch.
    pub fn of(messages: Vec<(u64, Message)>, clock: &Clock) -> Self {
        Stint::new(Work::Batch(messages), clock)
    }

    /// For a thread that gets one message at a time.
    pub fn one_by_one(queue: Arc<str>, clock: &Clock) -> Self {
        Stint::new(Work::One { delivery: Mutex::default(), queue }, clock)
    }

    fn new(work: Work, clock: &Clock) -> Self {
        let (run, since_ns, told) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Stint { work, run, since_ns, from: clock.now(), told, notes: Mutex::default() }
    }

    /// Whether each message has to say when it begins: it comes whenever it comes.
    pub fn is_one_by_one(&self) -> bool {
        matches!(self.work, Work::One { .. })
    }

    /// The messages of a batch with their tags.
    pub fn messages(&self) -> &[(u64, Message)] {
        match &self.work {
            Work::Batch(messages) => messages,
            Work::One { .. } => &[],
        }
    }

    /// The next message of a thread that gets one at a time.
    pub fn take(&self, next: &Delivery) {
        if let Work::One { delivery, .. } = &self.work {
            *delivery.lock().unwrap_or_else(PoisonError::into_inner) = Some(next.clone());
        }
    }

    /// A handler begins. Without a time, it counts from when the one before did: good enough where a batch is short.
    pub fn begin(&self, run: u64, now: Option<Instant>) {
        if let Some(now) = now {
            let since = now.saturating_duration_since(self.from).as_nanos();
            self.since_ns.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        // After the time: who sees the run sees its time, or one that is too early by the one before.
        self.run.store(run, Ordering::Release);
    }

    /// The handler is through; says whether somebody was told that it takes long.
    pub fn end(&self, run: u64) -> bool {
        self.run.store(0, Ordering::Release);
        self.told.load(Ordering::Acquire) == run
    }

    /// Somebody was told of this run.
    pub fn tell(&self, run: u64) {
        self.told.store(run, Ordering::Release);
    }

    /// Which handler runs, and for how long at this moment.
    pub fn running(&self, now: Instant) -> Option<(u64, Duration)> {
        let run = self.run.load(Ordering::Acquire);
        let ran = self.ran(now);
        let is_same = run != 0 && self.run.load(Ordering::Acquire) == run;
        is_same.then_some((run, ran))
    }

    /// How long ago the last handler began.
    pub fn ran(&self, now: Instant) -> Duration {
        let since = Duration::from_nanos(self.since_ns.load(Ordering::Acquire));
        now.saturating_duration_since(self.from).saturating_sub(since)
    }

    /// Which delivery a run is about, in words that hold nothing of its body.
    pub fn words(&self, run: u64) -> String {
        match &self.work {
            Work::Batch(messages) => {
                let place = usize::try_from(run).unwrap_or(usize::MAX).wrapping_sub(1);
                messages.get(place).map_or_else(String::new, |(_, message)| words(message))
            }
            Work::One { delivery, queue } => {
                let delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner);
                delivery.as_ref().map_or_else(String::new, |delivery| words(&Message::new(delivery, queue)))
            }
        }
    }

    /// Reads and changes what has been told of this run.
    pub fn note<T>(&self, run: u64, change: impl FnOnce(&mut Notes) -> T) -> T {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.run != run {
            *notes = Notes { run, ..Notes::default() };
        }
        change(&mut notes)
    }
}

fn words(message: &Message) -> String {
    let id = message.properties().message_id.as_ref().map(|id| format!("message id `{}`, ", one_line(id)));
    let key = one_line(message.routing_key());
    format!("{}routing key `{key}`, attempt {}", id.unwrap_or_default(), message.attempt())
}
