//! A queue: its ready messages in order, and whose turn it is to get one.

use super::arguments::{Overflow, Policy};
use crate::message::{Parts, Value};
use crate::topology::Queue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message on a queue.
pub(super) struct Entry {
    /// Its place in the queue: what comes back goes there.
    pub sequence: u64,
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
    pub ready: VecDeque<Entry>,
    last_sequence: u64,
    consumers: Vec<Turn>,
}

struct Turn {
    channel: u64,
    priority: i64,
}

impl Queueing {
    pub fn new(declared: Queue, policy: Policy, owner: Option<u64>) -> Self {
        Queueing { declared, policy, owner, ready: VecDeque::new(), last_sequence: 0, consumers: Vec::new() }
    }

    pub fn name(&self) -> &str {
        &self.declared.name
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

    /// Takes a message that a consumer returned. A quorum queue without a delivery limit puts it last, so that its log can be
    /// cut; this models no limit.
    pub fn take_back(&mut self, mut entry: Entry) {
        if self.policy.is_quorum {
            self.last_sequence += 1;
            entry.sequence = self.last_sequence;
        }
        self.put_back(entry);
    }

    /// Puts a message that came back to where it was.
    pub fn put_back(&mut self, mut entry: Entry) {
        entry.returns += 1;
        let place = self.ready.partition_point(|other| other.sequence < entry.sequence);
        self.ready.insert(place, entry);
    }

    pub fn refuses_more(&self) -> bool {
        let refuses = self.policy.overflow != Overflow::DropHead;
        refuses && self.policy.max_length.is_some_and(|most| self.ready.len() >= most)
    }

    pub fn is_over_length(&self) -> bool {
        let drops = self.policy.overflow == Overflow::DropHead;
        drops && self.policy.max_length.is_some_and(|most| self.ready.len() > most)
    }

    pub fn head_expiry(&self) -> Option<Instant> {
        self.ready.front().and_then(|head| head.expires)
    }

    pub fn consumers(&self) -> usize {
        self.consumers.len()
    }

    pub fn channels(&self) -> impl Iterator<Item = u64> + '_ {
        self.consumers.iter().map(|turn| turn.channel)
    }

    pub fn add_consumer(&mut self, channel: u64, priority: i64) {
        self.line_up(Turn { channel, priority });
    }

    pub fn remove_consumer(&mut self, channel: u64) {
        self.consumers.retain(|turn| turn.channel != channel);
    }

    /// The first in line that has room, which then goes to the end of the line of its priority.
    pub fn next_consumer(&mut self, has_room: impl Fn(u64) -> bool) -> Option<u64> {
        let place = self.consumers.iter().position(|turn| has_room(turn.channel))?;
        let channel = self.consumers[place].channel;
        if self.consumers.len() > 1 {
            let turn = self.consumers.remove(place);
            self.line_up(turn);
        }
        Some(channel)
    }

    fn line_up(&mut self, turn: Turn) {
        let place = self.consumers.partition_point(|other| other.priority >= turn.priority);
        self.consumers.insert(place, turn);
    }
}
