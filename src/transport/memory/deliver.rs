//! Consumers: who gets the next message, what a settlement does, and what goes back when a channel ends.

use super::copies;
use super::queue::Entry;
use super::refusal::{self, Refusal};
use super::state::{Consuming, Dead, State};
use super::unsettled::Unsettled;
use super::x_death::Reason;
use crate::message::{Delivery, Table};
use crate::transport::{Incoming, Settle, Subscription};
use crossbeam_channel::{unbounded, Receiver};

impl Consuming {
    pub fn has_room(&self) -> bool {
        !self.is_cancelled && self.unsettled.len() < self.prefetch
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
    /// Opens a channel with one consumer on it.
    pub fn consume(&mut self, subscription: &Subscription, connection: u64) -> Result<(u64, Receiver<Incoming>), Refusal> {
        let priority = priority_of(&subscription.arguments)?;
        let queue = self.queue_of(&subscription.queue, connection)?;
        let is_taken = self.queues[&queue].channels().any(|other| subscription.exclusive || self.channels[&other].is_exclusive);
        if is_taken {
            return Err(refusal::access(format!("queue '{}' in vhost '/' in exclusive use", subscription.queue)));
        }
        let channel = self.next_id();
        // Bounded by the prefetch, and a word about the end.
        let (sender, receiver) = unbounded();
        let line = self.queues.get_mut(&queue).expect("`queue_of` found it");
        line.add_consumer(channel, priority);
        let consuming = Consuming {
            connection,
            queue,
            is_quorum: line.policy.is_quorum,
            is_exclusive: subscription.exclusive,
            is_cancelled: false,
            prefetch: usize::from(subscription.prefetch.max(1)),
            sender,
            unsettled: Unsettled::new(),
        };
        self.channels.insert(channel, consuming);
        self.pump(queue);
        self.bury();
        Ok((channel, receiver))
    }

    /// Moves a queue on: what is due dies, and what is ready goes to whoever has room.
    ///
    /// Dead letters are left in `dead`, because moving those on moves other queues; the caller calls `bury`.
    pub fn pump(&mut self, id: u64) {
        loop {
            self.expire_head_of(id);
            let State { queues, channels, .. } = self;
            let Some(queue) = queues.get_mut(&id) else { return };
            if queue.ready.is_empty() {
                return;
            }
            let Some(channel) = queue.next_consumer(|channel| channels[&channel].has_room()) else { break };
            let entry = queue.ready.pop_front().expect("the queue is not empty");
            channels.get_mut(&channel).expect("a queue's consumers have channels").deliver(entry);
        }
        if let Some(due) = self.queues.get(&id).and_then(|queue| queue.head_expiry()) {
            self.timer.arm(due);
        }
    }

    /// Does what the consumer says, or tells why its channel must be closed.
    pub fn settle(&mut self, channel: u64, settle: Settle) -> Result<(), Refusal> {
        let Some(consuming) = self.channels.get_mut(&channel) else { return Ok(()) };
        let queue = consuming.queue;
        let (Settle::Ack { tag } | Settle::AckUpTo { tag } | Settle::Reject { tag } | Settle::Requeue { tag }) = settle;
        let unknown = || refusal::precondition(format!("unknown delivery tag {tag}"));
        if let Settle::AckUpTo { tag } = settle {
            if !consuming.unsettled.forget_up_to(tag) {
                return Err(unknown());
            }
        } else {
            let entry = consuming.unsettled.take(tag).ok_or_else(unknown)?;
            match settle {
                Settle::Reject { .. } => self.die(queue, entry, Reason::Rejected),
                Settle::Requeue { .. } => {
                    // A queue deleted in between takes its messages along.
                    if let Some(queue) = self.queues.get_mut(&queue) {
                        queue.take_back(entry);
                    }
                    self.drop_heads_over_length(queue);
                }
                Settle::Ack { .. } | Settle::AckUpTo { .. } => {}
            }
        }
        self.pump(queue);
        self.bury();
        self.try_held_again();
        Ok(())
    }

    fn put_back(&mut self, queue: u64, entry: Entry) {
        // A queue deleted in between takes its messages along.
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.put_back(entry);
        }
    }

    /// Notes a message as dead, if its queue wants to know.
    pub fn die(&mut self, queue: u64, entry: Entry, reason: Reason) {
        let Some(left) = self.queues.get(&queue) else { return };
        let Some(letter) = left.policy.dead_letter.clone() else { return };
        let (name, is_at_least_once) = (left.name().to_owned(), left.policy.is_at_least_once);
        self.dead.push_back(Dead { entry, reason, queue, name, letter, is_at_least_once, taken_by: Vec::new() });
    }

    /// Stops deliveries; what was already pushed stays with the consumer until it is settled.
    pub fn cancel(&mut self, channel: u64) {
        let Some(consuming) = self.channels.get_mut(&channel) else { return };
        if consuming.is_cancelled {
            return;
        }
        consuming.is_cancelled = true;
        // The answer comes after all deliveries, because it goes the same way.
        let _ = consuming.sender.send(Incoming::CancelDone);
        let queue = consuming.queue;
        self.leave_line(queue, channel);
    }

    fn leave_line(&mut self, queue: u64, channel: u64) {
        let Some(line) = self.queues.get_mut(&queue) else { return };
        let before = line.consumers();
        line.remove_consumer(channel);
        if before > 0 && line.consumers() == 0 && line.declared.auto_delete {
            self.remove_queue(queue);
        }
    }

    /// Ends a channel, by its own doing or the broker's: whatever is unsettled goes back to where it was.
    pub fn end_channel(&mut self, channel: u64, last_word: Option<&Refusal>) {
        let Some(consuming) = self.channels.remove(&channel) else { return };
        if let Some(last_word) = last_word {
            let _ = consuming.sender.send(Incoming::Closed(last_word.error()));
        }
        let queue = consuming.queue;
        // Put back before the line is left: with its last consumer an auto-delete queue goes.
        for entry in consuming.unsettled.into_newest_first() {
            self.put_back(queue, entry);
        }
        self.drop_heads_over_length(queue);
        self.leave_line(queue, channel);
        self.pump(queue);
        self.bury();
    }

    /// Ends a connection and all that stood on it.
    pub fn end_connection(&mut self, connection: u64) {
        if self.connections.remove(&connection).is_none() {
            return;
        }
        self.outlets.retain(|_, outlet| outlet.connection != connection);
        let ours = self.channels.iter().filter(|(_, channel)| channel.connection == connection);
        let ours: Vec<u64> = ours.map(|(id, _)| *id).collect();
        // None may get what another gives back: all leave the line first.
        for channel in &ours {
            self.channels.get_mut(channel).expect("it was listed just now").is_cancelled = true;
        }
        for channel in ours {
            self.end_channel(channel, None);
        }
        let exclusive = self.queues.iter().filter(|(_, queue)| queue.owner == Some(connection));
        for queue in exclusive.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove_queue(queue);
        }
    }
}

fn priority_of(arguments: &Table) -> Result<i64, Refusal> {
    if let Some(other) = arguments.keys().find(|name| *name != "x-priority") {
        return Err(refusal::unsupported(format!("the memory broker does not model the consumer argument `{other}`")));
    }
    let Some(value) = arguments.get("x-priority") else { return Ok(0) };
    value.as_i64().ok_or_else(|| {
        let kind = refusal::type_name(value);
        refusal::precondition(format!("invalid arg 'x-priority' for consumer: {{unacceptable_type,{kind}}}"))
    })
}
