//! The wish that the worker stop, from wherever it comes: a signal, a handler, a step, another thread.

use crossbeam_channel::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

/// A handle to stop the worker with; cheap to clone, good from any thread.
#[derive(Clone)]
pub struct Shutdown(Arc<Shared>);

struct Shared {
    wish: Mutex<Wish>,
    /// Room for one wake-up: more would say nothing new.
    wake: (Sender<()>, Receiver<()>),
    /// Dropped when somebody asks to leave now: everybody who holds the other end sees that.
    staying: Mutex<Option<Sender<()>>>,
    leaving: Receiver<()>,
}

/// How far the wish goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    #[default]
    None,
    Drain,
    Now,
}

#[derive(Clone, Copy, Default)]
struct Wish {
    urgency: Urgency,
    code: Option<u8>,
}

impl PartialEq for Shutdown {
    /// Whether both stop the same worker.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        let (staying, leaving) = crossbeam_channel::bounded(0);
        let wake = crossbeam_channel::bounded(1);
        Shutdown(Arc::new(Shared { wish: Mutex::default(), wake, staying: Mutex::new(Some(staying)), leaving }))
    }

    /// Stop: hand back what has not begun, let what runs finish up to the worker's deadline, and end.
    pub fn drain(&self) {
        self.raise(Urgency::Drain, None);
    }

    /// Leave now: unsettled messages are delivered again.
    pub fn now(&self) {
        self.raise(Urgency::Now, None);
    }

    /// Stop as [`drain`](Shutdown::drain) does, and end the process with this code. The first code counts.
    pub fn halt(&self, code: u8) {
        self.raise(Urgency::Drain, Some(code));
    }

    /// Drain if nothing was asked for, leave now if it was: what a second signal means.
    pub fn drain_or_now(&self) {
        let next = if self.urgency() == Urgency::None { Urgency::Drain } else { Urgency::Now };
        self.raise(next, None);
    }

    /// Whether anybody asked.
    pub fn is_asked(&self) -> bool {
        self.urgency() != Urgency::None
    }

    pub(crate) fn urgency(&self) -> Urgency {
        self.0.wish.lock().unwrap_or_else(PoisonError::into_inner).urgency
    }

    pub(crate) fn code(&self) -> Option<u8> {
        self.0.wish.lock().unwrap_or_else(PoisonError::into_inner).code
    }

    /// Gets a message when the wish grows; for the one thread that acts on it.
    pub(crate) fn wake(&self) -> &Receiver<()> {
        &self.0.wake.1
    }

    /// Disconnects when somebody asks to leave now; for whoever waits for something else meanwhile.
    pub(crate) fn leaving(&self) -> &Receiver<()> {
        &self.0.leaving
    }

    fn raise(&self, urgency: Urgency, code: Option<u8>) {
        let mut wish = self.0.wish.lock().unwrap_or_else(PoisonError::into_inner);
        wish.code = wish.code.or(code);
        wish.urgency = wish.urgency.max(urgency);
        if wish.urgency == Urgency::Now {
            self.0.staying.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        let _ = self.0.wake.0.try_send(());
    }
}
