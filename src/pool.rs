//! Named threads behind one bounded channel: they run handlers, and never touch the broker.
//!
//! Work comes in batches of one queue's messages. A batch takes one thread. So that a slow queue cannot starve a fast one,
//! every queue has one thread it may always use; only what is left beyond those is shared, first come first served.

use crate::handler::{Decision, Performance};
use crate::stint::Stint;
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use threadpool::ThreadPool;

/// The threads that run handlers. Cloning it shares them; they end when [`Pool::close`] is called or the last clone goes.
#[derive(Clone)]
pub struct Pool {
    /// Gone when the pool is closed: the threads end when what they read from does.
    work: Arc<Mutex<Option<Sender<Batch>>>>,
    seating: Arc<Seating>,
    running: Receiver<()>,
}

/// Who may use which thread.
struct Seating {
    threads: usize,
    /// Threads beyond the one that each queue has for itself.
    shared: AtomicUsize,
    /// How many threads each queue uses; it outlives reconnects, as running handlers do.
    queues: Mutex<HashMap<String, Arc<AtomicUsize>>>,
}

impl Pool {
    /// A pool of so many threads (at least one), for so many queues; it has at least a thread for each queue.
    pub fn new(threads: usize, queues: usize) -> Self {
        let threads = threads.max(queues).max(1);
        // A batch is sent only when a thread is set aside for it, so this never holds more than there are threads.
        let (work, inbox) = crossbeam_channel::bounded::<Batch>(threads);
        // Nothing is ever sent: it disconnects when the last thread has ended.
        let (alive, running) = crossbeam_channel::bounded::<()>(0);
        let host = ThreadPool::with_name("bootstep-pool".into(), threads);
        for _ in 0..threads {
            let (inbox, alive) = (inbox.clone(), alive.clone());
            host.execute(move || {
                let _alive = alive;
                inbox.iter().for_each(Batch::run);
            });
        }
        let shared = AtomicUsize::new(threads - queues.min(threads));
        let work = Arc::new(Mutex::new(Some(work)));
        Pool { work, seating: Arc::new(Seating { threads, shared, queues: Mutex::default() }), running }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.seating.threads
    }

    /// This lets the threads end after what they have begun, and waits for that; `false` if it took longer.
    pub fn close(&self, within: Duration) -> bool {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        !matches!(self.running.recv_timeout(within), Err(err) if err.is_timeout())
    }

    /// A thread for a queue that may use `most` at once: its own if that is free, else a shared one if there is any.
    pub(crate) fn seat(&self, queue: &str, most: usize) -> Option<Seat> {
        let mut queues = self.seating.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let used = queues.entry(queue.to_owned()).or_default().clone();
        // Under the lock, so that two intakes of one queue cannot both take its own thread.
        let now_used = used.load(Ordering::Acquire);
        if now_used >= most || (now_used > 0 && !self.seating.take_shared()) {
            return None;
        }
        used.fetch_add(1, Ordering::AcqRel);
        Some(Seat { seating: self.seating.clone(), used })
    }

    /// Hands a batch over, and back if the pool has ended or is still busy with what was handed over before a reconnect.
    pub(crate) fn hand(&self, batch: Batch) -> Result<(), Batch> {
        match self.work.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(work) => work.try_send(batch).map_err(crossbeam_channel::TrySendError::into_inner),
            None => Err(batch),
        }
    }
}

impl Seating {
    fn take_shared(&self) -> bool {
        self.shared.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1)).is_ok()
    }
}

/// A thread set aside for one batch; given back when dropped.
pub(crate) struct Seat {
    seating: Arc<Seating>,
    used: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // The last one given back is the queue's own; all others are shared.
        if self.used.fetch_sub(1, Ordering::AcqRel) > 1 {
            self.seating.shared.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Messages of one queue for one thread, in order.
pub(crate) struct Batch {
    pub performance: Arc<Performance>,
    pub stint: Arc<Stint>,
    pub progress: Arc<Progress>,
    pub seat: Seat,
    pub done: Sender<Finished>,
}

/// How far a batch is, shared with its intake. Each message is begun by the pool or revoked by the intake, never both.
#[derive(Default)]
pub(crate) struct Progress {
    pub id: u64,
    /// How many are begun; [`REVOKED`] when no more may begin.
    begun: AtomicUsize,
    decided: Mutex<Vec<(u64, Decision)>>,
}

/// A batch that came to its end, told to its intake.
pub(crate) struct Finished {
    pub batch: u64,
    pub messages: u32,
    pub took: Duration,
    /// Of one that halts the worker: before its intake has heard that, no other may sit here.
    pub kept: Option<Seat>,
}

const REVOKED: usize = usize::MAX;

impl Progress {
    pub fn new(id: u64) -> Self {
        Progress { id, ..Progress::default() }
    }

    /// No more of the batch begins; answers how many had, and `None` if it was revoked before.
    pub fn revoke(&self) -> Option<usize> {
        let begun = self.begun.swap(REVOKED, Ordering::AcqRel);
        (begun != REVOKED).then_some(begun)
    }

    /// What has been decided since somebody last asked.
    pub fn take_decided(&self) -> Vec<(u64, Decision)> {
        std::mem::take(&mut *self.decided.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, place: usize) -> bool {
        self.begun.compare_exchange(place, place + 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn decided(&self, tag: u64, decision: Decision) {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).push((tag, decision));
    }
}

impl Batch {
    fn run(self) {
        let began = Instant::now();
        let (mut messages, mut halts) = (0, false);
        let watched = self.performance.tally.watch(self.stint);
        for (place, (tag, message)) in watched.stint().messages().iter().enumerate() {
            if !self.progress.begin(place) {
                break;
            }
            messages += 1;
            let decision = watched.run(u64::from(messages), || self.performance.perform(message));
            halts = decision.halts();
            self.progress.decided(*tag, decision);
            if halts {
                // What stands behind it begins nowhere any more; the intake has the rest.
                break;
            }
        }
        drop(watched);
        // The seat goes first: whoever hears of the end may want it at once.
        let kept = Some(self.seat).filter(|_| halts);
        // The intake may have gone with its connection; then the broker delivers these again.
        let _ = self.done.try_send(Finished { batch: self.progress.id, messages, took: began.elapsed(), kept });
    }
}
