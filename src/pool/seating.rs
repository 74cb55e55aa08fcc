//! Who may use which thread, and what a thread goes on with.
//!
//! Every queue has one thread it may always use; only what is left beyond those is shared. A thread that is done goes on with the
//! next of its own queue's line, at once: telling the intake, and hearing from it, would leave it idle for longer than some
//! handlers run.

use super::idle::Work;
use super::Batch;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long one queue may keep a thread that others share.
const STAY: Duration = Duration::from_millis(10);

pub(super) struct Seating {
    /// Threads beyond the one that each queue has for itself.
    shared: AtomicUsize,
    /// Whether there is more than one queue.
    has_others: bool,
    /// Nothing more is begun from a line.
    is_closed: AtomicBool,
    /// By queue; they outlive reconnects, as running handlers do.
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// How long a queue's line is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub batches: usize,
    /// Threads that go on with it.
    pub threads: usize,
}

/// What one queue has of the pool.
#[derive(Default)]
pub(crate) struct Place(Mutex<Own>);

#[derive(Default)]
struct Own {
    /// Threads in use.
    used: usize,
    /// Of those, how many have asked for the worker's end, which their intake has not heard yet: nothing begins meanwhile.
    halting: usize,
    /// What they go on with. There is some only while a thread is in use that will look here, or its intake will.
    line: VecDeque<Batch>,
}

impl Seating {
    pub fn new(threads: usize, queues: usize) -> Self {
        Seating {
            shared: AtomicUsize::new(threads - queues.min(threads)),
            has_others: queues > 1,
            is_closed: AtomicBool::new(false),
            places: Mutex::default(),
        }
    }

    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub fn place(&self, queue: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(queue.to_owned()).or_default().clone()
    }

    /// Whether a batch of this queue, which may use `most` threads at once, would find a thread or room in the line.
    pub fn has_room(&self, place: &Place, most: usize, in_line: bool) -> bool {
        let own = place.own();
        self.has_seat(&own, most) || (in_line && own.has_room())
    }

    /// Gives a batch to a thread, or puts it in the line; it comes back if there is no room for it.
    pub fn seat(
        self: &Arc<Self>,
        place: &Arc<Place>,
        most: usize,
        in_line: bool,
        batch: Batch,
        give: impl Fn(Work) -> Result<(), Work>,
    ) -> Result<(), Batch> {
        // Decided under the lock: a thread that gives its seat up in between would leave the line to nobody, and two intakes
        // of one queue would both take its own thread.
        let mut own = place.own();
        let may_wait = in_line && own.has_room();
        let progress = batch.progress.clone();
        own.line.push_back(batch);
        let Some(work) = self.seat_first(place, &mut own, most) else {
            return if may_wait { Ok(()) } else { own.line.pop_back().map_or(Ok(()), Err) };
        };
        drop(own);
        if begin(work, &give) || may_wait {
            return Ok(());
        }
        // The pool has ended; others of this queue may have put theirs there meanwhile.
        let mut own = place.own();
        let at = own.line.iter().rposition(|batch| Arc::ptr_eq(&batch.progress, &progress));
        at.and_then(|at| own.line.remove(at)).map_or(Ok(()), Err)
    }

    /// Gives what waits in the line to threads that others have left; answers what waits on.
    pub fn advance(self: &Arc<Self>, place: &Arc<Place>, most: usize, give: impl Fn(Work) -> Result<(), Work>) -> Line {
        loop {
            let mut own = place.own();
            let line = Line { batches: own.line.len(), threads: own.used };
            // The threads of an only queue see to its line themselves.
            if line.batches == 0 || (line.threads > 0 && !self.has_others) {
                return line;
            }
            let Some(work) = self.seat_first(place, &mut own, most) else { return line };
            drop(own);
            if !begin(work, &give) {
                return line;
            }
        }
    }

    /// Sets a thread aside for the first in the line, if there is one.
    fn seat_first(self: &Arc<Self>, place: &Arc<Place>, own: &mut Own, most: usize) -> Option<Work> {
        if own.halting > 0 || own.used >= most || (own.used > 0 && !self.take_shared()) {
            return None;
        }
        own.used += 1;
        let Some(first) = own.line.pop_front() else { unreachable!("somebody looked, under the lock") };
        Some((Seat { seating: self.clone(), place: place.clone(), since: Instant::now(), is_left: false, halts: false }, first))
    }

    fn has_seat(&self, own: &Own, most: usize) -> bool {
        own.halting == 0 && own.used < most && (own.used == 0 || self.shared.load(Ordering::Acquire) > 0)
    }

    fn take_shared(&self) -> bool {
        self.shared.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1)).is_ok()
    }
}

/// Not under the lock: to wake a thread takes long, and others that are done would wait for it. Says whether it was taken.
fn begin(work: Work, give: impl Fn(Work) -> Result<(), Work>) -> bool {
    let Err((mut seat, refused)) = give(work) else { return true };
    // The pool has ended.
    let place = seat.place.clone();
    let mut own = place.own();
    seat.leave(&mut own);
    own.line.push_front(refused);
    false
}

impl Place {
    /// Takes those out of the line that are not to be begun any more; nobody hears of them again.
    pub fn forget(&self, is_gone: impl Fn(&Batch) -> bool) {
        let mut own = self.own();
        let (gone, line) = std::mem::take(&mut own.line).into_iter().partition(is_gone);
        own.line = line;
        drop(own);
        // What they hold is let go without the lock.
        let _: VecDeque<Batch> = gone;
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    /// One for each thread: what waits here was not begun, and whoever drains takes it back.
    fn has_room(&self) -> bool {
        self.line.len() < self.used
    }
}

/// A thread set aside; given back when dropped.
pub(crate) struct Seat {
    seating: Arc<Seating>,
    place: Arc<Place>,
    since: Instant,
    is_left: bool,
    /// Whoever sits here has asked for the worker's end.
    halts: bool,
}

impl Seat {
    /// Until this is given back, nothing of its queue begins.
    pub(super) fn halt(&mut self) {
        let place = self.place.clone();
        place.own().halting += usize::from(!std::mem::replace(&mut self.halts, true));
    }

    /// What this thread goes on with; without anything, the seat is given back.
    pub(super) fn next(mut self) -> Option<(Seat, Batch)> {
        let place = self.place.clone();
        let mut own = place.own();
        self.go_on(&mut own);
        // The last one given back is the queue's own: nobody else waits for that.
        let may_stay = own.halting == 0 && (own.used == 1 || !self.seating.has_others || self.since.elapsed() < STAY);
        if may_stay && !self.seating.is_closed.load(Ordering::Acquire) {
            if let Some(batch) = own.line.pop_front() {
                drop(own);
                return Some((self, batch));
            }
        }
        self.leave(&mut own);
        None
    }

    fn go_on(&mut self, own: &mut Own) {
        own.halting -= usize::from(std::mem::take(&mut self.halts));
    }

    fn leave(&mut self, own: &mut Own) {
        if std::mem::replace(&mut self.is_left, true) {
            return;
        }
        self.go_on(own);
        own.used -= 1;
        // The last one given back is the queue's own; all others are shared.
        if own.used > 0 {
            self.seating.shared.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Whoever has left it may hold the lock.
        if !self.is_left {
            let place = self.place.clone();
            self.leave(&mut place.own());
        }
    }
}
