//! Waiting until the broker is at rest, and turning its clock where only time stands between a message and its consumer.

use super::broker::MemoryBroker;
use super::state::State;
use super::x_death::{self, Reason};
use crate::error::{Error, Fault};
use crate::message::Parts;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longer than any test, short enough to be added to any instant.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

impl MemoryBroker {
    /// Waits until nothing is deliverable, unacked or unconfirmed, not even after time has passed.
    ///
    /// Whenever the broker is at rest, the clock is turned to the next expiry that sends a message on to a queue with a
    /// consumer; messages that wait for nobody, as in an archive, do not age by it, and no queue goes for want of use. With
    /// [`Clock::system`](crate::Clock::system) it waits for those expiries instead. The deadline is real time in any case.
    ///
    /// # Errors
    /// [`Fault::Timeout`] when the deadline passes; it says what the broker was stuck on.
    pub fn drain(&self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline.min(LONGEST_WAIT);
        // Counted under the lock, so that whoever changes the state afterwards sees that somebody waits.
        let mut state = self.core.lock();
        self.core.waiting.fetch_add(1, Ordering::SeqCst);
        let drained = loop {
            state.expire_due();
            let unread = self.core.unread.load(Ordering::SeqCst);
            let is_quiescent = unread == 0 && state.is_quiescent();
            let next = if is_quiescent { state.next_onward_expiry() } else { None };
            if is_quiescent && next.is_none() {
                break Ok(());
            }
            let now = Instant::now();
            if now >= until {
                break Err(stuck(deadline, state.what_moves(unread)));
            }
            match next {
                Some(due) if self.core.clock.is_by_hand() => {
                    let by = due.saturating_duration_since(self.core.clock.now());
                    self.core.clock.advance(by);
                }
                other => {
                    let wait = other.map_or(until, |due| due.min(until)).saturating_duration_since(now);
                    let waited = self.core.changed.wait_timeout(state, wait);
                    state = waited.expect("no holder of the broker's state panics").0;
                }
            }
        };
        self.core.waiting.fetch_sub(1, Ordering::SeqCst);
        drained
    }
}

fn stuck(deadline: Duration, on: String) -> Error {
    Error::new(Fault::Timeout, format!("the memory broker did not come to rest within {deadline:?}: {on}"))
}

impl State {
    /// Whether nothing is deliverable and nothing unacked.
    fn is_quiescent(&self) -> bool {
        let is_deliverable = self.queues.values().any(|queue| !queue.line.is_empty() && !queue.ready().is_empty());
        !is_deliverable && self.channels.values().all(|channel| channel.unsettled.len() == 0)
    }

    fn what_moves(&self, unread: u64) -> String {
        let mut told = Vec::new();
        for (id, queue) in &self.queues {
            let (ready, unacked) = (queue.ready().len(), self.unacked_of(*id));
            if unacked > 0 || (ready > 0 && !queue.line.is_empty()) {
                told.push(format!("queue `{}` has {ready} ready and {unacked} unacked", queue.name()));
            }
        }
        let orphans = self.channels.values().filter(|channel| !self.queues.contains_key(&channel.queue));
        let orphaned: usize = orphans.map(|channel| channel.unsettled.len()).sum();
        if orphaned > 0 {
            told.push(format!("{orphaned} unacked from deleted queues"));
        }
        if unread > 0 {
            told.push(format!("{unread} confirms unread"));
        }
        if told.is_empty() {
            told.push("messages keep expiring into consumed queues".into());
        }
        told.join(", ")
    }

    /// When the next head expires that goes on to a consumer by that.
    fn next_onward_expiry(&self) -> Option<Instant> {
        let onward = self.queues.iter().filter(|(id, queue)| {
            // What goes with its queue before it is due gets nowhere.
            let is_due = |due: &Instant| queue.expires.is_none_or(|gone| *due <= gone);
            let head = queue.ready().front().filter(|head| head.expires.as_ref().is_some_and(is_due));
            head.is_some_and(|head| self.leads_to_consumer(**id, &head.parts, &mut Vec::new()))
        });
        onward.filter_map(|(_, queue)| queue.head_expiry()).min()
    }

    /// Whether a message that expires on this queue gets to a consumer, if need be by way of other queues it expires on.
    fn leads_to_consumer(&self, id: u64, parts: &Parts, passed: &mut Vec<u64>) -> bool {
        let queue = &self.queues[&id];
        let Some(letter) = &queue.policy.dead_letter else { return false };
        passed.push(id);
        let dead = x_death::dead_lettered(parts, queue.name(), Reason::Expired, letter);
        self.targets_of(&dead).into_iter().any(|target| {
            let next = &self.queues[&target];
            let is_dropped = x_death::is_cycle(&dead.properties, next.name());
            let moves_on = next.policy.ttl.is_some() && !passed.contains(&target);
            !is_dropped && (!next.line.is_empty() || (moves_on && self.leads_to_consumer(target, &dead, passed)))
        })
    }
}
