//! Declaring and deleting, with RabbitMQ's checks in RabbitMQ's order.

use super::arguments;
use super::bind::refuse_default;
use super::binding::Destination;
use super::exchange::Exchanging;
use super::queue::Queueing;
use super::refusal::{self, Refusal};
use super::state::State;
use crate::topology::{Exchange, Queue};
use crate::transport::{Incoming, QueueStatus};

impl State {
    pub fn declare_exchange(&mut self, exchange: &Exchange) -> Result<(), Refusal> {
        if !exchange.passive {
            // Told even where something else is wrong as well.
            Exchanging::check_modelled(exchange)?;
        }
        refuse_default(&exchange.name)?;
        match self.exchanges.get(&exchange.name) {
            Some(_) if exchange.passive => Ok(()),
            Some(current) => current.assert_same(exchange),
            None if exchange.passive => Err(refusal::no_exchange(&exchange.name)),
            None => {
                check_name("exchange", &exchange.name)?;
                self.exchanges.insert(exchange.name.clone(), Exchanging::new(exchange.clone())?);
                // Its alternate exchange may take what was held.
                self.try_held_again();
                Ok(())
            }
        }
    }

    pub fn declare_queue(&mut self, queue: &Queue, connection: u64) -> Result<QueueStatus, Refusal> {
        let id = match self.names.get(&queue.name) {
            None if queue.passive => return Err(refusal::no_queue(&queue.name)),
            None => self.create_queue(queue, connection)?,
            Some(_) if queue.passive => self.queue_of(&queue.name, connection)?,
            Some(_) => {
                check_name("queue", &queue.name)?;
                let id = self.queue_of(&queue.name, connection)?;
                arguments::all_modelled(queue)?;
                arguments::assert_same(&self.queues[&id].declared, queue)?;
                id
            }
        };
        if !self.queues[&id].policy.is_quorum {
            self.begin_disuse(id);
        }
        self.pump(id);
        self.bury();
        self.try_held_again();
        Ok(self.status_of(id))
    }

    fn create_queue(&mut self, queue: &Queue, connection: u64) -> Result<u64, Refusal> {
        let mut declared = queue.clone();
        let id = self.next_id();
        match queue.name.as_str() {
            "" if queue.queue_type() == Some("quorum") => {
                let text = "Cannot declare a server-named queue for type rabbit_quorum_queue";
                return Err(refusal::precondition(text));
            }
            "" => declared.name = format!("amq.gen-{id}"),
            name => check_name("queue", name)?,
        }
        let policy = arguments::policy_of(&declared)?;
        let owner = queue.exclusive.then_some(connection);
        self.names.insert(declared.name.clone(), id);
        self.queues.insert(id, Queueing::new(declared, policy, owner));
        self.begin_disuse(id);
        Ok(id)
    }

    fn status_of(&self, id: u64) -> QueueStatus {
        let queue = &self.queues[&id];
        // A quorum queue does not count those who wait to be its active consumer.
        let is_one = queue.policy.is_quorum && queue.policy.is_single_active && !queue.line.is_empty();
        let consumers = if is_one { 1 } else { count(queue.line.len()) };
        QueueStatus { name: queue.name().to_owned(), messages: count(queue.ready().len()), consumers }
    }

    pub fn purge(&mut self, queue: &str, connection: u64) -> Result<u32, Refusal> {
        let id = self.queue_of(queue, connection)?;
        self.pump(id);
        self.bury();
        let queue = self.queues.get_mut(&id).expect("it was found just now, and a dead letter deletes no queue");
        let purged = count(queue.ready().len());
        queue.clear();
        self.try_held_again();
        Ok(purged)
    }

    pub fn delete_exchange(&mut self, exchange: &str) -> Result<(), Refusal> {
        refuse_default(exchange)?;
        if exchange.starts_with("amq.") {
            let text = format!("deletion of system {} not allowed", refusal::exchange(exchange));
            return Err(refusal::access(text));
        }
        self.remove_exchange(exchange);
        Ok(())
    }

    /// Deletes a queue if it exists, and answers how many ready messages went with it.
    pub fn delete_queue(&mut self, queue: &str, connection: u64) -> Result<u32, Refusal> {
        if !self.names.contains_key(queue) {
            return Ok(0);
        }
        let id = self.queue_of(queue, connection)?;
        self.pump(id);
        self.bury();
        Ok(self.remove_queue(id))
    }

    pub fn remove_queue(&mut self, id: u64) -> u32 {
        let Some(queue) = self.queues.remove(&id) else { return 0 };
        self.names.remove(queue.name());
        self.held.retain(|dead| dead.queue != id);
        for channel in queue.line.channels() {
            if let Some(channel) = self.channels.get_mut(&channel) {
                channel.is_cancelled = true;
                // Whoever consumed may be on its way out; then nobody needs to know.
                let _ = channel.sender.send(Incoming::Cancelled);
            }
        }
        self.forget_destination(&Destination::Queue(id));
        count(queue.ready().len())
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn check_name(kind: &str, name: &str) -> Result<(), Refusal> {
    if name.starts_with("amq.") {
        return Err(refusal::access(format!("{kind} name '{name}' contains reserved prefix 'amq.*'")));
    }
    Ok(())
}
