//! What a case works on: a connection, names of its own, and the few things that every case does.

use crate::support::vhost::{shared_vhost, unique, VirtualHost};
use crate::support::wait::eventually;
use bootstep::{
    Broker, Connection, Error, Exchange, Fault, Inbox, Letter, MemoryBroker, Message, Publication, Queue, Table, Value,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Far more than anything here takes: only a failure waits that long.
pub const SOON: Duration = Duration::from_secs(10);

/// A broker under test and a connection to it.
pub struct Bench {
    pub connection: Connection,
    pub broker: Broker,
    flavour: Flavour,
    queue_type: &'static str,
}

enum Flavour {
    Memory(MemoryBroker),
    /// Held, because on a broker that is not the tests' own the virtual host goes with the last who holds it.
    RabbitMq(Arc<VirtualHost>),
}

impl Bench {
    pub fn memory(queue_type: &'static str) -> Self {
        let memory = MemoryBroker::new();
        Bench::over(Broker::from(&memory), Flavour::Memory(memory), queue_type)
    }

    pub fn rabbitmq(queue_type: &'static str) -> Self {
        let vhost = shared_vhost();
        Bench::over(Broker::amqp(&vhost.url).unwrap(), Flavour::RabbitMq(vhost), queue_type)
    }

    fn over(broker: Broker, flavour: Flavour, queue_type: &'static str) -> Self {
        Bench { connection: broker.connect("conformance").unwrap(), broker, flavour, queue_type }
    }

    pub fn is_quorum(&self) -> bool {
        self.queue_type == "quorum"
    }

    /// Whether this is RabbitMQ of that version or later; the memory broker keeps to 3.10.
    pub fn is_rabbitmq_from(&self, major: u32, minor: u32) -> bool {
        let server = self.connection.server();
        let Some(version) = server.strip_prefix("RabbitMQ ") else { return false };
        let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
        numbers.as_slice() >= [major, minor].as_slice()
    }

    /// The user that the connection is open as.
    pub fn user(&self) -> String {
        match &self.flavour {
            Flavour::Memory(_) => "guest".into(),
            Flavour::RabbitMq(vhost) => url::Url::parse(&vhost.url).unwrap().username().to_owned(),
        }
    }

    /// On the memory broker this turns the clock. On RabbitMQ time passes by itself: what follows waits for its effect.
    pub fn let_pass(&self, time: Duration) {
        if let Flavour::Memory(memory) = &self.flavour {
            memory.advance(time);
        }
    }

    /// A queue with a name of its own, of the type under test, not yet declared.
    pub fn queue(&self) -> Queue {
        Queue::new(unique("queue")).argument("x-queue-type", self.queue_type)
    }

    /// Declares it and answers its name.
    #[track_caller]
    pub fn declare(&self, queue: Queue) -> String {
        self.connection.declare_queue(&queue).unwrap().name
    }

    /// Declares an exchange such as `Exchange::topic` makes, and answers its name.
    #[track_caller]
    pub fn exchange(&self, make: impl FnOnce(String) -> Exchange) -> String {
        let exchange = make(unique("exchange"));
        self.connection.declare_exchange(&exchange).unwrap();
        exchange.name
    }

    #[track_caller]
    pub fn publish(&self, publication: Publication) {
        self.connection.publish(&[publication], SOON).unwrap();
    }

    /// Publishes to a queue by way of the default exchange.
    #[track_caller]
    pub fn send(&self, queue: &str, bodies: &[&str]) {
        let publications: Vec<_> = bodies.iter().map(|body| Publication::new("", queue, *body)).collect();
        self.connection.publish(&publications, SOON).unwrap();
    }

    /// Waits for that many messages and acks them.
    #[track_caller]
    pub fn take(&self, queue: &str, count: u16) -> Vec<Message> {
        let taken = self.connection.consume(queue, count, |inbox| {
            let letters: Vec<Letter> = (0..count).map_while(|_| inbox.next(SOON).unwrap()).collect();
            if let Some(last) = letters.last() {
                inbox.ack_up_to(last.tag).unwrap();
            }
            letters
        });
        let messages: Vec<Message> = taken.unwrap().into_iter().map(|letter| letter.message).collect();
        assert_eq!(messages.len(), usize::from(count), "`{queue}` gave only {:?}", texts(&messages));
        messages
    }

    #[track_caller]
    pub fn take_one(&self, queue: &str) -> Message {
        self.take(queue, 1).remove(0)
    }

    /// Takes these messages from the queue, in this order, and nothing else.
    #[track_caller]
    pub fn assert_holds(&self, queue: &str, bodies: &[&str]) {
        if !bodies.is_empty() {
            assert_eq!(texts(&self.take(queue, bodies.len().try_into().unwrap())), bodies, "on `{queue}`");
        }
        self.wait_for_ready(queue, 0);
    }

    /// Waits until that many messages are ready for delivery.
    #[track_caller]
    pub fn wait_for_ready(&self, queue: &str, count: u32) {
        let mut last = None;
        // RabbitMQ counts what came back or was moved only when the queue's own process has heard of it.
        eventually(&format!("`{queue}` has {count} ready"), SOON, || {
            last = Some(self.connection.declare_queue(&Queue::existing(queue)).unwrap().messages);
            last == Some(count)
        });
    }
}

/// The next message of an inbox.
#[track_caller]
pub fn next(inbox: &mut Inbox<'_>) -> Letter {
    inbox.next(SOON).unwrap().expect("a message should have come")
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

pub fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(text).collect()
}

/// The deaths that a dead letter tells of, the latest first, without their time.
#[track_caller]
pub fn deaths(message: &Message) -> Vec<Table> {
    let Some(Value::Array(deaths)) = message.header("x-death") else { panic!("no x-death: {:?}", message.headers()) };
    let timeless = |death: &Value| match death {
        Value::Table(death) => {
            let mut death = death.clone();
            let time = death.remove("time");
            assert!(matches!(time, Some(Value::Timestamp(_))), "{time:?}");
            death
        }
        other => panic!("{other:?}"),
    };
    deaths.iter().map(timeless).collect()
}

/// One such death.
pub fn death(count: i64, reason: &str, queue: &str, exchange: &str, routing_keys: &[&str]) -> Table {
    let keys = routing_keys.iter().map(|key| Value::from(*key)).collect();
    Table::from([
        ("count".to_owned(), Value::I64(count)),
        ("reason".to_owned(), reason.into()),
        ("queue".to_owned(), queue.into()),
        ("exchange".to_owned(), exchange.into()),
        ("routing-keys".to_owned(), Value::Array(keys)),
    ])
}

/// RabbitMQ 4 differs from 3.10 in a few ways, each written down where it shows.
pub fn is_rabbitmq_4(bench: &Bench) -> bool {
    bench.connection.server().starts_with("RabbitMQ 4")
}

/// Refused, and the reason has these words in it.
#[track_caller]
pub fn assert_refused<T: Debug>(result: Result<T, Error>, expected: Fault, words: &str) {
    let err = result.expect_err("this should be refused");
    assert_eq!((err.fault(), err.to_string().contains(words)), (expected, true), "{err}");
}

#[track_caller]
pub fn assert_fault<T: Debug>(result: Result<T, Error>, expected: Fault) {
    let err = result.expect_err("this should be refused");
    assert_eq!(err.fault(), expected, "{err}");
}
