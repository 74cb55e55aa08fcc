//! Consumers: who may be one, and who gets the next message.

use super::checks::Arguments;
use super::copies;
use super::queue::Entry;
use super::refusal::{self, Refusal};
use super::state::{Consuming, State};
use super::timeout::Stamps;
use super::unsettled::Unsettled;
use crate::message::{Delivery, Table, Value};
use crate::transport::{Incoming, Subscription};
use crossbeam_channel::{unbounded, Receiver};

impl Consuming {
    pub fn has_room(&self) -> bool {
        !self.is_cancelled && self.unsettled.len_from(self.first_tag) < self.prefetch
    }

    pub fn deliver(&mut self, entry: Entry) {
        let redelivered = entry.returns > 0;
        let parts = copies::without_blind(entry.delivered_parts(self.is_quorum));
        let tag = self.unsettled.keep(entry);
        // Whoever consumed may be on its way out: then the end of its channel puts the message back.
        let _ = self.sender.send(Incoming::Delivery(Delivery { tag, redelivered, parts, flaw: None }));
    }
}

impl State {
    fn may_consume(&self, subscription: &Subscription, connection: u64) -> Result<(u64, i64), Refusal> {
        let queue = self.queue_of(&subscription.queue, connection)?;
        let priority = priority_of(subscription, self.queues[&queue].policy.is_quorum)?;
        if self.is_in_exclusive_use(queue, subscription) {
            let whom = refusal::queue_in_full(&subscription.queue);
            return Err(refusal::access(format!("{whom} in exclusive use")));
        }
        Ok((queue, priority))
    }

    /// Puts another consumer on a channel whose first was cancelled.
    pub fn resume(&mut self, channel: u64, subscription: &Subscription, connection: u64) -> Result<(), Refusal> {
        let (queue, priority) = self.may_consume(subscription, connection)?;
        let Some(consuming) = self.channels.get_mut(&channel) else { return Ok(()) };
        if consuming.queue != queue {
            return Err(refusal::unsupported("the memory broker does not model another queue of the same name"));
        }
        consuming.is_cancelled = false;
        consuming.prefetch = usize::from(subscription.prefetch.max(1));
        consuming.first_tag = consuming.unsettled.next_tag();
        let consumed = self.queues.get_mut(&queue).expect("`queue_of` found it");
        consumed.line.join(channel, priority);
        consumed.expires = None;
        self.watch_consumers();
        self.pump(queue);
        self.bury();
        Ok(())
    }

    /// Opens a channel with one consumer on it.
    pub fn consume(&mut self, subscription: &Subscription, connection: u64) -> Result<(u64, Receiver<Incoming>), Refusal> {
        let (queue, priority) = self.may_consume(subscription, connection)?;
        let channel = self.next_id();
        // Bounded by the prefetch, and a word about the end.
        let (sender, receiver) = unbounded();
        let consumed = self.queues.get_mut(&queue).expect("`queue_of` found it");
        consumed.line.join(channel, priority);
        consumed.expires = None;
        let consuming = Consuming {
            connection,
            queue,
            is_quorum: consumed.policy.is_quorum,
            is_exclusive: subscription.exclusive,
            is_cancelled: false,
            prefetch: usize::from(subscription.prefetch.max(1)),
            sender,
            unsettled: Unsettled::new(),
            first_tag: 1,
            stamps: Stamps::default(),
        };
        self.channels.insert(channel, consuming);
        self.watch_consumers();
        self.pump(queue);
        self.bury();
        Ok((channel, receiver))
    }

    /// A quorum queue knows no exclusive consumers, and one with a single active consumer has no use for them.
    fn is_in_exclusive_use(&self, queue: u64, subscription: &Subscription) -> bool {
        let queue = &self.queues[&queue];
        let is_sole = |other: u64| subscription.exclusive || self.channels[&other].is_exclusive;
        !queue.policy.is_quorum
            && (queue.line.channels().any(is_sole) || (subscription.exclusive && queue.policy.is_single_active))
    }

    /// Moves a queue on: what is due dies, and what is ready goes to whoever has room.
    ///
    /// Dead letters are left in `dead`, because moving those on moves other queues; the caller calls `bury`.
    pub fn pump(&mut self, id: u64) {
        loop {
            self.expire_head_of(id);
            let State { queues, channels, .. } = self;
            let Some(queue) = queues.get_mut(&id) else { return };
            if queue.ready().is_empty() {
                break;
            }
            let Some(channel) = queue.line.next(|channel| channels[&channel].has_room()) else { break };
            let entry = queue.pop().expect("the queue is not empty");
            channels.get_mut(&channel).expect("a queue's consumers have channels").deliver(entry);
        }
        if self.queues.get(&id).is_some_and(|queue| queue.policy.is_quorum) {
            self.mind_the_limit(id);
        }
        if let Some(due) = self.queues.get(&id).and_then(|queue| queue.head_expiry()) {
            self.timer.arm(due);
        }
    }
}

/// What RabbitMQ checks before it looks at the queue.
fn priority_of(subscription: &Subscription, is_quorum: bool) -> Result<i64, Refusal> {
    let Subscription { queue, arguments, .. } = subscription;
    // Any other name means nothing to RabbitMQ: it only shows it, for people to read.
    let is_meant_for_the_broker = |(name, _): &(&String, &Value)| name.starts_with("x-") || name.starts_with("rabbitmq:");
    let meant: Table =
        arguments.iter().filter(is_meant_for_the_broker).map(|(name, value)| (name.clone(), value.clone())).collect();
    let known = ["x-priority", "x-cancel-on-ha-failover"];
    if let Some(other) = meant.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(refusal::unsupported(format!("the memory broker does not model the consumer argument `{other}`")));
    }
    let checked = Arguments::of_consumer(queue, &meant);
    let priority = checked.integer("x-priority")?.unwrap_or(0);
    if is_quorum {
        checked.fit_the_type(&["x-priority"], "quorum")?;
    } else {
        checked.flag("x-cancel-on-ha-failover")?;
    }
    Ok(priority)
}
