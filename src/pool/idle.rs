//! Threads without work: the one that has waited for the shortest is woken first, and none spins.
//!
//! Many threads at one channel each look several times and yield before they sleep, which costs more than a short handler; and
//! taken in turns, all of them stay awake where a few would do.

use super::{Batch, Seat};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// What a thread is to do: a batch, in the seat that is set aside for it.
pub(super) type Work = (Seat, Batch);

#[derive(Default)]
pub(super) struct Idle {
    waiting: Mutex<Waiting>,
    /// Work waits that has no thread.
    is_short: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    is_closed: bool,
    /// The last of them has just come.
    threads: Vec<Arc<Chair>>,
    /// For threads that are on their way here: as many as have given up a seat, and more only where there are more queues than
    /// the pool was made for.
    work: VecDeque<Work>,
}

/// Where one thread waits.
struct Chair {
    thread: Thread,
    call: Mutex<Option<Call>>,
}

enum Call {
    Work(Work),
    End,
}

impl Idle {
    /// Runs what is given to this thread until the end.
    pub fn serve(&self, mut run: impl FnMut(Seat, Batch)) {
        let chair = Arc::new(Chair { thread: std::thread::current(), call: Mutex::new(None) });
        while let Some((seat, batch)) = self.next(&chair) {
            run(seat, batch);
        }
    }

    /// Gives work to a thread; it comes back if there are none any more.
    pub fn give(&self, work: Work) -> Result<(), Work> {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return Err(work);
        }
        match waiting.threads.pop() {
            Some(chair) => {
                drop(waiting);
                chair.call(Call::Work(work));
            }
            None => {
                waiting.work.push_back(work);
                self.is_short.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Whether work waits that has no thread: there are more queues than the pool was made for.
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Acquire)
    }

    /// Every thread ends after what it was given.
    pub fn close(&self) {
        let threads = {
            let mut waiting = self.waiting();
            waiting.is_closed = true;
            std::mem::take(&mut waiting.threads)
        };
        threads.iter().for_each(|chair| chair.call(Call::End));
    }

    fn next(&self, chair: &Arc<Chair>) -> Option<Work> {
        {
            let mut waiting = self.waiting();
            let work = waiting.work.pop_front();
            self.is_short.store(!waiting.work.is_empty(), Ordering::Release);
            match work {
                Some(work) => return Some(work),
                None if waiting.is_closed => return None,
                None => waiting.threads.push(chair.clone()),
            }
        }
        chair.wait()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chair {
    fn call(&self, call: Call) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        self.thread.unpark();
    }

    fn wait(&self) -> Option<Work> {
        loop {
            match self.call.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(Call::Work(work)) => return Some(work),
                Some(Call::End) => return None,
                None => {}
            }
            // May come back for no reason; called before it, it does not wait at all.
            std::thread::park();
        }
    }
}
