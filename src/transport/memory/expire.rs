//! Time: messages expire at the head of their queue and queues that nobody uses go, when an operation looks or when the timer
//! wakes.

use super::broker::Core;
use super::state::State;
use super::x_death::Reason;
use crate::clock::{later, Clock};
use crossbeam_channel::{bounded, Receiver, Sender};
use std::sync::Weak;
use std::thread;
use std::time::Instant;

impl State {
    /// Lets the messages die that are due and stand at the head; those behind a longer-lived one wait, as in RabbitMQ.
    pub fn expire_head_of(&mut self, id: u64) {
        self.expire_until(id, None);
    }

    fn expire_until(&mut self, id: u64, until: Option<Instant>) {
        let mut now = until;
        while let Some(queue) = self.queues.get_mut(&id) {
            let Some(due) = queue.head_expiry() else { return };
            if due > *now.get_or_insert_with(|| self.clock.now()) {
                return;
            }
            let entry = queue.pop().expect("a queue with a head is not empty");
            self.die(id, entry, Reason::Expired);
        }
    }

    /// Lets everything happen that is due, on all queues, and moves the dead on.
    pub fn expire_due(&mut self) {
        self.close_late_channels();
        self.expire_queues();
        let expiring = self.queues.iter().filter(|(_, queue)| queue.head_expiry().is_some());
        for queue in expiring.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.pump(queue);
        }
        self.bury();
        self.try_held_again();
    }

    /// What was on a queue that goes is no dead letter, unless it was due before.
    fn expire_queues(&mut self) {
        let expiring = self.queues.iter().filter_map(|(id, queue)| Some((queue.expires?, *id)));
        let mut expiring: Vec<(Instant, u64)> = expiring.collect();
        if expiring.is_empty() {
            return;
        }
        let now = self.clock.now();
        expiring.retain(|(due, _)| *due <= now);
        expiring.sort_unstable();
        for (due, queue) in expiring {
            self.expire_until(queue, Some(due));
            self.bury();
            self.remove_queue(queue);
        }
    }

    /// A queue that has no consumer goes when nobody has used it for a while, from now on.
    pub fn begin_disuse(&mut self, id: u64) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if let (Some(after), true) = (queue.policy.expires, queue.line.is_empty()) {
            let due = later(self.clock.now(), after);
            queue.expires = Some(due);
            self.timer.arm(due);
        }
    }

    /// When the next message or queue is due, or when to look after consumers again.
    fn next_due(&self) -> Option<Instant> {
        let queues = self.queues.values();
        let due = queues.flat_map(|queue| [queue.head_expiry(), queue.expires]).chain([self.next_look()]);
        due.flatten().min()
    }
}

/// Wakes a thread when something is due by the system's clock; a clock turned by hand needs none.
pub(super) struct Timer {
    core: Weak<Core>,
    is_needed: bool,
    armed: Option<Instant>,
    /// Dropping it ends the thread.
    wake: Option<Sender<()>>,
}

impl Timer {
    pub fn new(core: Weak<Core>, clock: &Clock) -> Self {
        Timer { core, is_needed: !clock.is_by_hand(), armed: None, wake: None }
    }

    /// Sees to it that somebody looks at that moment or before.
    pub fn arm(&mut self, due: Instant) {
        if !self.is_needed || self.armed.is_some_and(|armed| armed <= due) {
            return;
        }
        self.armed = Some(due);
        match &self.wake {
            // One word waiting is enough: the thread looks for itself.
            Some(wake) => drop(wake.try_send(())),
            None => self.start(),
        }
    }

    fn start(&mut self) {
        let (wake, woken) = bounded(1);
        let core = Weak::clone(&self.core);
        let thread = thread::Builder::new().name("bootstep-memory-timer".into());
        // Without a thread, messages expire when the next operation looks.
        if thread.spawn(move || run(&core, &woken)).is_ok() {
            self.wake = Some(wake);
        }
    }
}

/// Ends when the broker is gone: it holds the broker only while it looks.
fn run(core: &Weak<Core>, woken: &Receiver<()>) {
    while let Some(strong) = core.upgrade() {
        let due = strong.with(|state| {
            state.expire_due();
            state.timer.armed = state.next_due();
            state.timer.armed
        });
        drop(strong);
        let is_gone = match due {
            None => woken.recv().is_err(),
            Some(due) => woken.recv_deadline(due) == Err(crossbeam_channel::RecvTimeoutError::Disconnected),
        };
        if is_gone {
            return;
        }
    }
}
