//! A broker to try a worker on, memory or RabbitMQ, and the few things every such test does.

use super::vhost::{fresh_vhost, VirtualHost};
use super::wait::eventually;
use bootstep::{Broker, Connection, Error, MemoryBroker, Message, Publication, Queue, Running, Step, Worker};
use std::time::Duration;

/// Long enough for anything that is going to happen at all.
pub const SOON: Duration = Duration::from_secs(20);

/// Where a case is played.
pub struct Stage {
    pub broker: Broker,
    pub connection: Connection,
    pub memory: Option<MemoryBroker>,
    /// Held for as long as the case runs.
    vhost: Option<VirtualHost>,
}

impl Stage {
    pub fn memory() -> Stage {
        let memory = MemoryBroker::new();
        let broker = Broker::from(&memory);
        let connection = broker.connect("test").unwrap();
        Stage { broker, connection, memory: Some(memory), vhost: None }
    }

    pub fn rabbitmq() -> Stage {
        let vhost = fresh_vhost();
        Stage::on(Broker::amqp(&vhost.url).unwrap(), vhost)
    }

    /// A stage on this virtual host of RabbitMQ.
    pub fn on(broker: Broker, vhost: VirtualHost) -> Stage {
        let connection = broker.connect("test").unwrap();
        Stage { broker, connection, memory: None, vhost: Some(vhost) }
    }

    /// A stage on RabbitMQ, and its URL for another process.
    pub fn rabbitmq_with_url() -> (Stage, String) {
        let stage = Stage::rabbitmq();
        let url = stage.vhost.as_ref().map(|vhost| vhost.url.clone()).unwrap_or_default();
        (stage, url)
    }

    /// The name of its virtual host on RabbitMQ.
    pub fn vhost_name(&self) -> &str {
        self.vhost.as_ref().map_or("", VirtualHost::name)
    }

    /// The same after its connection was closed.
    pub fn reconnected(mut self) -> Stage {
        self.connection = self.broker.connect("test").unwrap();
        self
    }

    /// A worker with this step, booted.
    #[track_caller]
    pub fn start(&self, step: impl Step) -> Running {
        let mut worker = Worker::new(self.broker.clone()).drain_within(SOON);
        worker.steps.add(step);
        worker.start().unwrap()
    }

    #[track_caller]
    pub fn publish(&self, queue: &str, bodies: &[&str]) {
        let publications: Vec<_> = bodies.iter().map(|body| Publication::new("", queue, *body).mandatory()).collect();
        self.send(&publications).unwrap();
    }

    pub fn send(&self, publications: &[Publication]) -> Result<(), Error> {
        self.connection.publish(publications, SOON)
    }

    /// Lets time pass until this holds: on memory by turning the clock, on RabbitMQ by waiting.
    #[track_caller]
    pub fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        eventually(what, SOON, || {
            let holds = condition();
            if let (false, Some(memory)) = (holds, &self.memory) {
                memory.advance(Duration::from_millis(100));
            }
            holds
        });
    }

    /// Whether this is RabbitMQ of this version or later; the memory broker is one of 3.10.
    pub fn is_rabbitmq_from(&self, first: [u32; 3]) -> bool {
        let server = self.connection.server();
        let numbers: Vec<u32> = server.trim_start_matches("RabbitMQ ").split('.').map(|it| it.parse().unwrap_or(0)).collect();
        numbers >= first.to_vec()
    }

    /// How many messages are ready on a queue.
    pub fn ready(&self, queue: &str) -> u32 {
        self.connection.declare_queue(&Queue::existing(queue)).unwrap().messages
    }

    /// Waits until a queue has so many messages, and takes them.
    #[track_caller]
    pub fn take(&self, queue: &str, count: usize) -> Vec<Message> {
        self.until(&format!("`{queue}` has {count} messages"), || self.ready(queue) as usize == count);
        let taken = self.connection.consume(queue, 100, |inbox| {
            let mut taken = Vec::new();
            while taken.len() < count {
                let letter = inbox.next(SOON).unwrap().expect("the message is ready");
                inbox.ack(letter.tag).unwrap();
                taken.push(letter.message);
            }
            taken
        });
        taken.unwrap()
    }
}

/// Makes two tests of a case: one on memory, one on RabbitMQ.
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        mod memory {
            $($(#[$meta])* #[test] fn $name() { super::$name(&$crate::support::stage::Stage::memory()); })*
        }
        mod rabbitmq {
            $($(#[$meta])* #[test] fn $name() { super::$name(&$crate::support::stage::Stage::rabbitmq()); })*
        }
    };
}
