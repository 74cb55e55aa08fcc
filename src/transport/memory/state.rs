//! All that the broker holds, behind its one mutex.

use super::arguments::DeadLetter;
use super::exchange::Exchanging;
use super::expire::Timer;
use super::queue::{Entry, Queueing};
use super::refusal::{self, Refusal};
use super::timeout::{Stamps, DEFAULT_CONSUMER_TIMEOUT};
use super::unsettled::Unsettled;
use super::x_death::Reason;
use crate::clock::Clock;
use crate::topology::Exchange;
use crate::transport::{Incoming, Taken};
use crossbeam_channel::Sender;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// A confirm on its way to the publisher: the sequence number and what became of the message.
pub(super) type Confirm = (u64, Taken);

/// The broker's state; the methods that change it are in the file named for what they do.
pub(super) struct State {
    pub clock: Clock,
    pub timer: Timer,
    pub is_listening: bool,
    /// Open connections and their names.
    pub connections: BTreeMap<u64, String>,
    /// Channels that consume, or did and may still settle.
    pub channels: BTreeMap<u64, Consuming>,
    /// Channels that publish.
    pub outlets: BTreeMap<u64, Publishing>,
    pub exchanges: BTreeMap<String, Exchanging>,
    pub queues: BTreeMap<u64, Queueing>,
    pub names: HashMap<String, u64>,
    /// Died, and not yet moved on: empty whenever the mutex is free.
    pub dead: VecDeque<Dead>,
    /// Dead letters of queues that dead-letter at least once, which not every queue they go to has taken.
    pub held: Vec<Dead>,
    /// For how long a consumer may hold a message, where its queue says nothing else.
    pub consumer_timeout: Option<Duration>,
    /// Why the broker closed the channels that are closed and whose owners are still there.
    pub closed: BTreeMap<u64, Refusal>,
    last_id: u64,
}

/// A channel that consumes one queue.
pub(super) struct Consuming {
    pub connection: u64,
    pub queue: u64,
    pub is_quorum: bool,
    pub is_exclusive: bool,
    pub is_cancelled: bool,
    pub prefetch: usize,
    pub sender: Sender<Incoming>,
    pub unsettled: Unsettled,
    /// From here on they count against the prefetch: what an earlier consumer of the channel was given does not.
    pub first_tag: u64,
    pub stamps: Stamps,
}

/// A channel that publishes; dropping the sender is how its owner learns that it is gone.
pub(super) struct Publishing {
    pub connection: u64,
    pub sender: Sender<Confirm>,
    /// The quorum queues it has published to, and whether they told it that they are full.
    pub is_refused_by: HashMap<u64, bool>,
}

/// A message that left its queue otherwise than by an ack.
pub(super) struct Dead {
    pub entry: Entry,
    pub reason: Reason,
    /// The queue it left, and that queue's name.
    pub queue: u64,
    pub name: String,
    pub letter: DeadLetter,
    pub is_at_least_once: bool,
    /// The queues that have taken it already, if it was held.
    pub taken_by: Vec<u64>,
}

impl State {
    pub fn new(clock: Clock, timer: Timer) -> Self {
        let mut exchanges = BTreeMap::new();
        for exchange in [
            Exchange::direct("amq.direct"),
            Exchange::fanout("amq.fanout"),
            Exchange::topic("amq.topic"),
            Exchange::headers("amq.headers"),
            Exchange::headers("amq.match"),
            Exchange::topic("amq.rabbitmq.trace").internal(),
        ] {
            let name = exchange.name.clone();
            exchanges.insert(name, Exchanging::new(exchange).expect("they have no arguments"));
        }
        State {
            clock,
            timer,
            is_listening: true,
            connections: BTreeMap::new(),
            channels: BTreeMap::new(),
            outlets: BTreeMap::new(),
            exchanges,
            queues: BTreeMap::new(),
            names: HashMap::new(),
            dead: VecDeque::new(),
            held: Vec::new(),
            consumer_timeout: Some(DEFAULT_CONSUMER_TIMEOUT),
            closed: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// A number that was never given before, so that what is gone is never taken for what came after it.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The queue of that name, if there is one and this connection may use it.
    pub fn queue_of(&self, name: &str, connection: u64) -> Result<u64, Refusal> {
        let id = *self.names.get(name).ok_or_else(|| refusal::no_queue(name))?;
        match self.queues[&id].owner {
            Some(owner) if owner != connection => Err(refusal::locked(name)),
            _ => Ok(id),
        }
    }

    /// How many messages of a queue are with consumers.
    pub fn unacked_of(&self, queue: u64) -> usize {
        self.channels.values().filter(|channel| channel.queue == queue).map(|channel| channel.unsettled.len()).sum()
    }
}
