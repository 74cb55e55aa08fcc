//! A queue: its ready messages in order, how many it may hold, and what becomes of those that come back.

use super::arguments::Policy;
use super::line::{Line, Rule};
use crate::message::{Parts, Value};
use crate::topology::Queue;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message on a queue.
pub(super) struct Entry {
    /// Its place in a classic queue, among those of its priority: what comes back goes there.
    sequence: u64,
    /// How often it came back unsettled.
    pub returns: u32,
    pub expires: Option<Instant>,
    pub parts: Arc<Parts>,
}

impl Entry {
    /// What a consumer gets to see: a quorum queue tells how often the message came back.
    pub fn delivered_parts(&self, is_quorum: bool) -> Arc<Parts> {
        if !is_quorum || self.returns == 0 {
            return Arc::clone(&self.parts);
        }
        let parts = &self.parts;
        let properties = parts.properties.clone().header("x-delivery-count", Value::I64(self.returns.into()));
        let (exchange, routing_key) = (parts.exchange.clone(), parts.routing_key.clone());
        Arc::new(Parts { exchange, routing_key, properties, body: parts.body.clone() })
    }
}

/// A declared queue with what is on it.
pub(super) struct Queueing {
    pub declared: Queue,
    pub policy: Policy,
    /// The connection that an exclusive queue belongs to.
    pub owner: Option<u64>,
    /// When it goes, if nobody uses it until then.
    pub expires: Option<Instant>,
    pub line: Line,
    ready: VecDeque<Entry>,
    ready_bytes: usize,
    /// How many came back to a quorum queue: those go first, in the order in which they came.
    returned: usize,
    last_sequence: u64,
}

impl Queueing {
    pub fn new(declared: Queue, policy: Policy, owner: Option<u64>) -> Self {
        let line = Line::new(match policy {
            Policy { is_single_active: false, .. } => Rule::InTurn,
            Policy { is_quorum: false, .. } => Rule::OneByPriority,
            _ => Rule::OneByAge,
        });
        let ready = VecDeque::new();
        Queueing { declared, policy, owner, expires: None, line, ready, ready_bytes: 0, returned: 0, last_sequence: 0 }
    }

    pub fn name(&self) -> &str {
        &self.declared.name
    }

    /// The messages ready for delivery, the next one first.
    pub fn ready(&self) -> &VecDeque<Entry> {
        &self.ready
    }

    /// Makes an entry of a message that comes in now; `expiration` is the message's own time to live.
    pub fn admit(&mut self, parts: Arc<Parts>, expiration: Option<Duration>, now: impl FnOnce() -> Instant) -> Entry {
        self.last_sequence += 1;
        let ttl = match (self.policy.ttl, expiration) {
            (Some(queue), Some(own)) => Some(queue.min(own)),
            (either, other) => either.or(other),
        };
        Entry { sequence: self.last_sequence, returns: 0, expires: ttl.map(|ttl| now() + ttl), parts }
    }

    /// Puts a message behind all that are as important.
    pub fn push(&mut self, entry: Entry) {
        match self.policy.max_priority {
            None => self.insert(self.ready.len(), entry),
            Some(_) => self.insert_in_place(entry),
        }
    }

    pub fn pop(&mut self) -> Option<Entry> {
        let entry = self.ready.pop_front()?;
        self.ready_bytes -= entry.parts.body.len();
        self.returned = self.returned.saturating_sub(1);
        Some(entry)
    }

    pub fn clear(&mut self) {
        self.ready.clear();
        (self.ready_bytes, self.returned) = (0, 0);
    }

    /// Takes a message that a consumer handed back, or gives it away if it came back too often. A classic queue puts it where
    /// it was, a quorum queue before all that was not delivered yet; one without a delivery limit puts it last, so that its
    /// log can be cut.
    pub fn take_back(&mut self, mut entry: Entry) -> Option<Entry> {
        entry.returns += 1;
        match self.policy {
            Policy { is_quorum: false, .. } => self.insert_in_place(entry),
            Policy { delivery_limit: None, .. } => self.insert(self.ready.len(), entry),
            Policy { delivery_limit: Some(limit), .. } if entry.returns > limit => return Some(entry),
            _ => {
                self.insert(self.returned, entry);
                self.returned += 1;
            }
        }
        None
    }

    /// Takes what the end of a channel leaves unsettled, and gives away, oldest first, what came back too often.
    pub fn take_back_all(&mut self, newest_first: impl Iterator<Item = Entry>) -> Vec<Entry> {
        let mut spent = Vec::new();
        let place = self.returned;
        for mut entry in newest_first {
            entry.returns += 1;
            if !self.policy.is_quorum {
                self.insert_in_place(entry);
            } else if self.policy.delivery_limit.is_some_and(|limit| entry.returns > limit) {
                spent.push(entry);
            } else {
                self.insert(place, entry);
                self.returned += 1;
            }
        }
        spent.reverse();
        spent
    }

    fn insert_in_place(&mut self, entry: Entry) {
        let rank = self.rank(&entry);
        let place = self.ready.partition_point(|other| self.rank(other) < rank);
        self.insert(place, entry);
    }

    fn insert(&mut self, place: usize, entry: Entry) {
        self.ready_bytes += entry.parts.body.len();
        self.ready.insert(place, entry);
    }

    fn rank(&self, entry: &Entry) -> (Reverse<u8>, u64) {
        let most = self.policy.max_priority.unwrap_or(0);
        let priority = entry.parts.properties.priority.unwrap_or(0).min(most);
        (Reverse(priority), entry.sequence)
    }

    /// Whether one more of that size is too much for a classic queue.
    pub fn would_be_over_limit(&self, bytes: usize) -> bool {
        self.exceeds(self.ready.len() + 1, self.ready_bytes + bytes)
    }

    /// Whether there is too much on it; `held` counts messages, and bytes, that died and have not been taken elsewhere.
    pub fn is_over_limit(&self, held: (usize, usize)) -> bool {
        self.exceeds(self.ready.len() + held.0, self.ready_bytes + held.1)
    }

    /// Whether a quorum queue that refused messages takes them again: at four fifths of what it may hold.
    pub fn is_below_soft_limit(&self, held: (usize, usize)) -> bool {
        let is_below = |most: Option<usize>, count: usize| most.is_none_or(|most| count <= most / 5 * 4 + most % 5 * 4 / 5);
        let Policy { max_length, max_bytes, .. } = self.policy;
        is_below(max_length, self.ready.len() + held.0) && is_below(max_bytes, self.ready_bytes + held.1)
    }

    fn exceeds(&self, count: usize, bytes: usize) -> bool {
        let Policy { max_length, max_bytes, .. } = self.policy;
        max_length.is_some_and(|most| count > most) || max_bytes.is_some_and(|most| bytes > most)
    }

    pub fn head_expiry(&self) -> Option<Instant> {
        self.ready.front().and_then(|head| head.expires)
    }
}
