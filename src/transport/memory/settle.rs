//! What a settlement does, and what goes back when a consumer or its channel ends.

use super::queue::Entry;
use super::refusal::{self, Refusal};
use super::state::{Dead, State};
use super::x_death::Reason;
use crate::transport::{Incoming, Settle};

impl State {
    /// Does what the consumer says, or tells why its channel must be closed.
    pub fn settle(&mut self, channel: u64, settle: Settle) -> Result<(), Refusal> {
        let Some(consuming) = self.channels.get_mut(&channel) else { return Ok(()) };
        let (queue, had_room) = (consuming.queue, consuming.has_room());
        let tag = settle.tag();
        let unknown = || refusal::precondition(format!("unknown delivery tag {tag}"));
        if let Settle::AckUpTo { tag } = settle {
            if !consuming.unsettled.forget_up_to(tag) {
                return Err(unknown());
            }
        } else {
            let entry = consuming.unsettled.take(tag).ok_or_else(unknown)?;
            match settle {
                Settle::Reject { .. } => self.die(queue, entry, Reason::Rejected),
                // Up to RabbitMQ 4.2 both count alike.
                Settle::Fail { .. } | Settle::Requeue { .. } => self.take_back(queue, entry),
                Settle::Ack { .. } | Settle::AckUpTo { .. } => {}
            }
        }
        if let (false, Some(queue)) = (had_room, self.queues.get_mut(&queue)) {
            queue.line.has_room_again(channel, queue.policy.is_quorum);
        }
        self.pump(queue);
        self.bury();
        self.try_held_again();
        Ok(())
    }

    fn take_back(&mut self, id: u64, entry: Entry) {
        // A queue deleted in between takes its messages along.
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if let Some(spent) = queue.take_back(entry) {
            self.die(id, spent, Reason::DeliveryLimit);
        }
        self.mind_the_limit_before_delivery(id);
    }

    fn take_back_all(&mut self, id: u64, newest_first: impl Iterator<Item = Entry>) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        for spent in queue.take_back_all(newest_first) {
            self.die(id, spent, Reason::DeliveryLimit);
        }
        self.mind_the_limit_before_delivery(id);
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
        // A classic queue serves the next active consumer when something else happens on it.
        if self.queues.get(&queue).is_some_and(|queue| queue.policy.is_quorum) {
            self.pump(queue);
            self.bury();
        }
    }

    fn leave_line(&mut self, queue: u64, channel: u64) {
        let Some(left) = self.queues.get_mut(&queue) else { return };
        let was_in_use = !left.line.is_empty();
        left.line.leave(channel);
        if was_in_use && left.line.is_empty() {
            if left.declared.auto_delete {
                self.remove_queue(queue);
            } else {
                self.begin_disuse(queue);
            }
        }
    }

    /// Ends a channel, by its own doing or the broker's: whatever is unsettled goes back to where it was.
    pub fn end_channel(&mut self, channel: u64, last_word: Option<&Refusal>) {
        let Some(consuming) = self.channels.remove(&channel) else { return };
        if let Some(last_word) = last_word {
            let _ = consuming.sender.send(Incoming::Closed(last_word.error()));
            self.closed.insert(channel, last_word.clone());
        }
        let queue = consuming.queue;
        // Put back before the line is left: with its last consumer an auto-delete queue goes.
        self.take_back_all(queue, consuming.unsettled.into_newest_first());
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
