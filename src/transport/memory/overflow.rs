//! Full queues: what they drop, and whom they refuse.

use super::arguments::Overflow;
use super::route::Publisher;
use super::state::State;
use super::x_death::Reason;
use crate::message::Parts;
use std::sync::Arc;
use std::time::Instant;

impl State {
    /// RabbitMQ looks whenever messages come in or come back.
    pub fn mind_the_limit(&mut self, id: u64) {
        match self.queues.get(&id).map(|queue| queue.policy.overflow) {
            Some(Overflow::DropHead) => self.drop_heads_over_limit(id),
            Some(_) => self.tell_whether_full(id),
            None => {}
        }
    }

    /// A classic queue looks before what came back goes to another consumer, a quorum queue after that: see [`State::pump`].
    pub fn mind_the_limit_before_delivery(&mut self, id: u64) {
        if self.queues.get(&id).is_some_and(|queue| !queue.policy.is_quorum) {
            self.mind_the_limit(id);
        }
    }

    fn drop_heads_over_limit(&mut self, id: u64) {
        let mut dropped = Vec::new();
        while let Some(queue) = self.queues.get_mut(&id).filter(|queue| queue.is_over_limit((0, 0))) {
            dropped.push(queue.pop().expect("a queue over its limit is not empty"));
        }
        // What a quorum queue drops at once it sends on backwards.
        if dropped.len() > 1 && self.queues[&id].policy.is_quorum {
            dropped.reverse();
        }
        for entry in dropped {
            self.die(id, entry, Reason::MaxLength);
        }
    }

    /// What becomes of a message that a full queue does not take.
    pub fn refuse(&mut self, id: u64, parts: Arc<Parts>) {
        let queue = self.queues.get_mut(&id).expect("it has just refused something");
        if queue.policy.overflow == Overflow::RejectPublishToDeadLetters {
            let entry = queue.admit(parts, None, Instant::now);
            self.die(id, entry, Reason::MaxLength);
        }
    }

    /// Whether a queue that does not drop is too full for one more of that size.
    ///
    /// A classic queue never holds more than it may. A quorum queue tells publishers only when it does, and again when they
    /// may go on; whoever publishes to it for the first time is told by what it holds then.
    pub fn is_refused(&mut self, id: u64, bytes: usize, publisher: Publisher) -> bool {
        let queue = self.queues.get(&id).expect("a queue that is named or bound exists");
        if queue.policy.overflow == Overflow::DropHead {
            return false;
        }
        if !queue.policy.is_quorum {
            return queue.would_be_over_limit(bytes);
        }
        let is_over = queue.is_over_limit(self.held_of(id));
        match publisher {
            Publisher::Unconfirmed => false,
            Publisher::New => is_over,
            Publisher::Channel(channel) => {
                let outlet = self.outlets.get_mut(&channel).expect("only an open channel publishes");
                *outlet.is_refused_by.entry(id).or_insert(is_over)
            }
        }
    }

    /// What a quorum queue tells its publishers when what it holds has changed.
    pub fn tell_whether_full(&mut self, id: u64) {
        let Some(queue) = self.queues.get(&id) else { return };
        if !queue.policy.is_quorum || queue.policy.overflow == Overflow::DropHead {
            return;
        }
        let held = self.held_of(id);
        let is_full = match (queue.is_over_limit(held), queue.is_below_soft_limit(held)) {
            (true, _) => true,
            (_, true) => false,
            _ => return,
        };
        for outlet in self.outlets.values_mut() {
            outlet.is_refused_by.entry(id).and_modify(|is_refused| *is_refused = is_full);
        }
    }

    /// How many dead letters of a queue, and how many bytes, wait for somebody to take them: they count as if still on it.
    fn held_of(&self, id: u64) -> (usize, usize) {
        let held = self.held.iter().filter(|dead| dead.queue == id);
        held.fold((0, 0), |(count, bytes), dead| (count + 1, bytes + dead.entry.parts.body.len()))
    }
}
