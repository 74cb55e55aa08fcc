//! Queues with just what a run needs: declared, emptied, filled, counted.

use crate::broker::wait::holds_within;
use crate::case::queue_name;
use crate::order::body;
use amiquip::{AmqpProperties, Channel, Connection, FieldTable, Publish, Queue, QueueDeclareOptions, QueueDeleteOptions};
use std::time::Duration;

const COUNTED_WITHIN: Duration = Duration::from_secs(180);

/// What the worker declares around each queue, and the queue itself.
const AROUND: [&str; 8] = ["", ".archive", ".dead", ".retry.1s", ".retry.2s", ".retry.4s", ".retry.8s", ".retry.16s"];

/// The suite's own connection to its broker.
pub struct Filler {
    // Open for as long as its channel.
    _connection: Connection,
    channel: Channel,
}

impl Filler {
    pub fn connect(url: &str) -> Filler {
        let mut connection = Connection::insecure_open(url).expect("the broker answers");
        let channel = connection.open_channel(None).expect("the broker gives a channel");
        Filler { _connection: connection, channel }
    }

    /// The queues hold so many messages each, of this size; what was there counts.
    pub fn fill(&self, queues: &[String], each: usize, bytes: usize) {
        for queue in queues {
            self.declare(queue);
            // What the last one left unacked is back when it has gone.
            self.wait_for_consumers(queue, 0);
            if self.ready(queue) > each {
                self.purge(std::slice::from_ref(queue));
            }
            self.publish(queue, each - self.ready(queue), bytes);
        }
        let is_full = || queues.iter().all(|queue| self.ready(queue) == each);
        assert!(holds_within(COUNTED_WITHIN, is_full), "the broker counts all that was published");
    }

    /// This publishes as fast as the broker takes it, and does not ask for confirms.
    pub fn publish(&self, queue: &str, messages: usize, bytes: usize) {
        let properties = AmqpProperties::default().with_content_type("application/json".to_owned()).with_delivery_mode(1);
        for id in 0..messages {
            let body = body(id, bytes);
            let publish = Publish::with_properties(&body, queue, properties.clone());
            self.channel.basic_publish("", publish).expect("the connection lives");
        }
    }

    /// A durable classic queue.
    fn declare(&self, queue: &str) {
        let options = QueueDeclareOptions { durable: true, arguments: FieldTable::default(), ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue, options).expect("the suite may declare its queue");
    }

    /// This empties queues that are there, and declares those that are not.
    pub fn purge(&self, queues: &[String]) {
        for queue in queues {
            self.declare(queue);
            self.channel.queue_purge(queue.as_str()).expect("the suite may empty its queue");
        }
    }

    pub fn ready(&self, queue: &str) -> usize {
        self.look(queue).declared_message_count().unwrap_or(0) as usize
    }

    /// How many messages its consumers have left behind, when they have gone.
    pub fn left(&self, queue: &str) -> usize {
        self.wait_for_consumers(queue, 0);
        self.ready(queue)
    }

    fn look(&self, queue: &str) -> Queue<'_> {
        self.channel.queue_declare_passive(queue).expect("the queue is there")
    }

    /// This waits until the queue has so many consumers.
    pub fn wait_for_consumers(&self, queue: &str, wanted: u32) {
        let has_them = || self.look(queue).declared_consumer_count() == Some(wanted);
        assert!(holds_within(COUNTED_WITHIN, has_them), "`{queue}` has {wanted} consumers");
    }

    /// This deletes what the suite and the worker have declared for so many queues. What is not there is no error.
    pub fn tidy_up(&self, queues: usize) {
        for queue in (0..queues).map(queue_name) {
            for around in AROUND {
                let name = format!("{queue}{around}");
                self.channel.queue_delete(name, QueueDeleteOptions::default()).expect("the suite may delete its queues");
            }
        }
    }
}
