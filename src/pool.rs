//! Named threads that run handlers, and never touch the broker.
//!
//! Work comes in batches of one queue's messages. A batch takes one thread. So that a slow queue cannot starve a fast one,
//! every queue has one thread it may always use; only what is left beyond those is shared.

mod idle;
mod seating;

pub(crate) use seating::{Line, Place, Seat};

use crate::handler::{Decision, Performance};
use crate::stint::Stint;
use crossbeam_channel::{Receiver, Sender};
use idle::Idle;
use seating::Seating;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use threadpool::ThreadPool;

/// The threads that run handlers. Cloning it shares them; they end when [`Pool::close`] is called or the last clone goes.
#[derive(Clone)]
pub struct Pool {
    door: Arc<Door>,
    threads: usize,
    seating: Arc<Seating>,
    running: Receiver<()>,
}

/// The way to the threads; closed when the last clone of the pool goes.
struct Door(Arc<Idle>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Pool {
    /// A pool of so many threads (at least one), for so many queues; it has at least a thread for each queue.
    pub fn new(threads: usize, queues: usize) -> Self {
        let threads = threads.max(queues).max(1);
        let idle = Arc::new(Idle::default());
        // Nothing is ever sent: it disconnects when the last thread has ended.
        let (alive, running) = crossbeam_channel::bounded::<()>(0);
        let host = ThreadPool::with_name("bootstep-pool".into(), threads);
        for _ in 0..threads {
            let (idle, alive) = (idle.clone(), alive.clone());
            host.execute(move || {
                let _alive = alive;
                idle.serve(|seat, batch| serve(&idle, seat, batch));
            });
        }
        Pool { door: Arc::new(Door(idle)), threads, seating: Arc::new(Seating::new(threads, queues)), running }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// This lets the threads end after what they have begun, and waits for that; `false` if it took longer.
    pub fn close(&self, within: Duration) -> bool {
        self.seating.close();
        self.door.0.close();
        !matches!(self.running.recv_timeout(within), Err(err) if err.is_timeout())
    }

    /// What a queue has of the pool.
    pub(crate) fn place(&self, queue: &str) -> Arc<Place> {
        self.seating.place(queue)
    }

    /// Whether [`hand`](Pool::hand) would take a batch now.
    pub(crate) fn has_room(&self, place: &Place, most: usize, in_line: bool) -> bool {
        self.seating.has_room(place, most, in_line)
    }

    /// Hands a batch of a queue that may use `most` threads at once over: to the queue's own thread if that is free, else to a
    /// shared one if there is any, else, `in_line`, to the one that is done first. It comes back if there is no room, or the
    /// pool has ended.
    pub(crate) fn hand(&self, place: &Arc<Place>, most: usize, in_line: bool, batch: Batch) -> Result<(), Batch> {
        self.seating.seat(place, most, in_line, batch, |work| self.door.0.give(work))
    }

    /// Has threads that other queues have left go on with this one's line; answers what of it waits on.
    pub(crate) fn advance(&self, place: &Arc<Place>, most: usize) -> Line {
        self.seating.advance(place, most, |work| self.door.0.give(work))
    }
}

/// One thread at work, for as long as there is any for its queue.
fn serve(idle: &Idle, mut seat: Seat, mut batch: Batch) {
    loop {
        let done = batch.done.clone();
        let is_told_first = batch.is_told_first;
        let (finished, halts) = batch.run();
        if halts {
            seat.halt();
        }
        let next = if halts || is_told_first {
            match done.try_send(Finished { kept: Some(seat), ..finished }) {
                Ok(()) => return,
                // The intake has gone with its connection: nobody hears of it, and the broker delivers the message again.
                Err(unheard) => unheard.into_inner().kept.and_then(Seat::next),
            }
        } else {
            // The next is taken, or the seat given up, first: whoever hears of the end may want it at once.
            let next = seat.next();
            // The intake may have gone with its connection; then the broker delivers these again.
            let _ = done.try_send(finished);
            next
        };
        match next {
            Some(next) if idle.is_short() => {
                // Behind those that have no thread at all. It comes back where the pool has ended, and begins nowhere then.
                let _ = idle.give(next);
                return;
            }
            Some(next) => (seat, batch) = next,
            None => return,
        }
    }
}

/// Messages of one queue for one thread, in order.
pub(crate) struct Batch {
    pub performance: Arc<Performance>,
    pub stint: Arc<Stint>,
    pub progress: Arc<Progress>,
    pub done: Sender<Finished>,
    /// Its intake is to hear of its end before the next begins.
    pub is_told_first: bool,
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
    /// Of one that halts the worker, or is told first: before its intake has heard that, no other may sit here.
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

    /// Whether no more of it begins.
    pub fn is_revoked(&self) -> bool {
        self.begun.load(Ordering::Acquire) == REVOKED
    }

    fn begin(&self, place: usize) -> bool {
        self.begun.compare_exchange(place, place + 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn decided(&self, tag: u64, decision: Decision) {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).push((tag, decision));
    }
}

impl Batch {
    /// Answers what is to be told of it, and whether it halts the worker.
    fn run(self) -> (Finished, bool) {
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
        (Finished { batch: self.progress.id, messages, took: began.elapsed(), kept: None }, halts)
    }
}
