//! Exchanges, queues and bindings as plain data; what declares them is elsewhere.

use crate::message::{Table, Value};
use crate::retry::whole;
use std::time::Duration;

pub(crate) const DELAYED_RETRY_TYPE: &str = "x-delayed-retry-type";
pub(crate) const DELAYED_RETRY_MIN: &str = "x-delayed-retry-min";
pub(crate) const DELAYED_RETRY_MAX: &str = "x-delayed-retry-max";

/// The kind of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// Routes by equal routing key.
    Direct,
    /// Routes to every binding.
    Fanout,
    /// Routes by words with `*` (one word) and `#` (any number of words).
    Topic,
    /// Routes by headers.
    Headers,
    /// A kind that a plugin brings, such as `x-consistent-hash`.
    Other(String),
}

impl ExchangeKind {
    /// The kind's name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
            ExchangeKind::Other(name) => name,
        }
    }
}

/// An exchange to be declared; durable unless told otherwise.
///
/// ```
/// use bootstep::Exchange;
///
/// // Takes what the exchange `shop` gets under keys such as `order.paid`; what it routes nowhere goes to `unrouted`.
/// let orders = Exchange::topic("orders").bind("shop", "order.#").alternate("unrouted");
/// assert_eq!(orders.arguments["alternate-exchange"].as_str(), Some("unrouted"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it survives a restart of the broker (on by default).
    pub durable: bool,
    /// Whether it goes when its last binding goes (off by default).
    pub auto_delete: bool,
    /// Whether clients may not publish to it (off by default).
    pub internal: bool,
    /// Whether it is only checked for, because somebody else declares it (off by default).
    pub passive: bool,
    /// Further arguments, such as `alternate-exchange`.
    pub arguments: Table,
    /// Where its messages come from, beside publishers: other exchanges (<https://www.rabbitmq.com/docs/e2e>).
    pub bindings: Vec<Binding>,
}

impl Exchange {
    /// A durable exchange of the given kind.
    pub fn new(name: impl Into<String>, kind: ExchangeKind) -> Self {
        Exchange {
            name: name.into(),
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            passive: false,
            arguments: Table::new(),
            bindings: Vec::new(),
        }
    }

    /// A durable direct exchange.
    pub fn direct(name: impl Into<String>) -> Self {
        Exchange::new(name, ExchangeKind::Direct)
    }

    /// A durable fanout exchange.
    pub fn fanout(name: impl Into<String>) -> Self {
        Exchange::new(name, ExchangeKind::Fanout)
    }

    /// A durable topic exchange.
    pub fn topic(name: impl Into<String>) -> Self {
        Exchange::new(name, ExchangeKind::Topic)
    }

    /// A durable headers exchange.
    pub fn headers(name: impl Into<String>) -> Self {
        Exchange::new(name, ExchangeKind::Headers)
    }

    /// Another team's exchange: it must exist, and is declared by nobody here.
    pub fn existing(name: impl Into<String>) -> Self {
        Exchange { passive: true, ..Exchange::new(name, ExchangeKind::Direct) }
    }

    /// This does not survive a restart of the broker.
    pub fn transient(mut self) -> Self {
        self.durable = false;
        self
    }

    /// This goes when its last binding goes.
    pub fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }

    /// Clients may not publish to this; messages come from other exchanges and from dead-lettering queues.
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// This binds it to another exchange, the source of its messages; call it again for more.
    pub fn bind(self, source: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.bound(Binding::new(source, routing_key))
    }

    /// This adds a binding with arguments.
    pub fn bound(mut self, binding: Binding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// What this routes nowhere goes to that exchange (`alternate-exchange`, <https://www.rabbitmq.com/docs/ae>).
    pub fn alternate(self, exchange: impl Into<String>) -> Self {
        self.argument("alternate-exchange", exchange.into())
    }

    /// This sets an argument.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }
}

/// A binding of a queue, or of another exchange, to an exchange.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Binding {
    /// The exchange that messages come from.
    pub exchange: String,
    /// The binding key.
    pub routing_key: String,
    /// Arguments, which headers exchanges read: the headers that a message must have, and in `x-match` how many of them, `all`
    /// (the default) or `any`. With `all-with-x` and `any-with-x` those count as well whose name begins with `x-`.
    pub arguments: Table,
}

impl Binding {
    /// A binding without arguments.
    pub fn new(exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        Binding { exchange: exchange.into(), routing_key: routing_key.into(), arguments: Table::new() }
    }

    /// This sets an argument.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }
}

/// A queue to be declared; durable and classic unless told otherwise.
///
/// ```
/// use bootstep::Queue;
/// use std::time::Duration;
///
/// let queue = Queue::new("orders")
///     .quorum()
///     .bind("shop", "order.*")
///     .max_length(100_000)
///     .message_ttl(Duration::from_secs(3600));
/// assert_eq!(queue.arguments["x-message-ttl"].as_i64(), Some(3_600_000));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart of the broker (on by default).
    pub durable: bool,
    /// Whether only this connection may use it, and it goes with the connection (off by default).
    pub exclusive: bool,
    /// Whether it goes when its last consumer goes (off by default).
    pub auto_delete: bool,
    /// Whether it is only checked for, because somebody else declares it (off by default).
    pub passive: bool,
    /// Arguments, `x-queue-type` and the like (<https://www.rabbitmq.com/docs/queues#optional-arguments>).
    pub arguments: Table,
    /// Where its messages come from.
    pub bindings: Vec<Binding>,
}

impl Queue {
    /// A durable queue of the broker's default type (classic, unless the virtual host says otherwise).
    pub fn new(name: impl Into<String>) -> Self {
        Queue {
            name: name.into(),
            durable: true,
            exclusive: false,
            auto_delete: false,
            passive: false,
            arguments: Table::new(),
            bindings: Vec::new(),
        }
    }

    /// Another team's queue: it must exist, and is declared by nobody here.
    pub fn existing(name: impl Into<String>) -> Self {
        Queue { passive: true, ..Queue::new(name) }
    }

    /// A classic queue, said expressly (`x-queue-type`).
    pub fn classic(self) -> Self {
        self.argument("x-queue-type", "classic")
    }

    /// A quorum queue (`x-queue-type`).
    pub fn quorum(self) -> Self {
        self.argument("x-queue-type", "quorum")
    }

    /// This does not survive a restart of the broker. RabbitMQ 4.3 refuses it unless the queue is exclusive.
    pub fn transient(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Only this connection may use it, and it goes with the connection.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// This goes when its last consumer goes.
    pub fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }

    /// This adds a binding; call it again for more.
    pub fn bind(self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.bound(Binding::new(exchange, routing_key))
    }

    /// This adds a binding with arguments.
    pub fn bound(mut self, binding: Binding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// Rejected and expired messages go to this exchange under this key (`x-dead-letter-exchange`, `-routing-key`).
    pub fn dead_letter_to(self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.argument("x-dead-letter-exchange", exchange.into()).argument("x-dead-letter-routing-key", routing_key.into())
    }

    /// Messages expire after this long on the queue (`x-message-ttl`; whole milliseconds).
    pub fn message_ttl(self, ttl: Duration) -> Self {
        self.argument("x-message-ttl", milliseconds(ttl))
    }

    /// The queue itself goes after this long without use (`x-expires`; whole milliseconds).
    pub fn expires(self, after: Duration) -> Self {
        self.argument("x-expires", milliseconds(after))
    }

    /// No more than this many ready messages (`x-max-length`); what happens to more is [`overflow`](Queue::overflow)'s.
    pub fn max_length(self, messages: u32) -> Self {
        self.argument("x-max-length", i64::from(messages))
    }

    /// No more than this many bytes of ready bodies (`x-max-length-bytes`).
    pub fn max_length_bytes(self, bytes: u32) -> Self {
        self.argument("x-max-length-bytes", i64::from(bytes))
    }

    /// What happens above the maximum (`x-overflow`): `drop-head` (the broker's default), `reject-publish` or `reject-publish-dlx`.
    pub fn overflow(self, behaviour: impl Into<String>) -> Self {
        self.argument("x-overflow", behaviour.into())
    }

    /// A classic queue with priorities from 0 to this (`x-max-priority`).
    pub fn max_priority(self, priority: u8) -> Self {
        self.argument("x-max-priority", i64::from(priority))
    }

    /// A quorum queue that holds failed messages back by itself: the first time for `first`, then twice as long, three times, and so
    /// on, no longer than `longest` (whole milliseconds; `x-delayed-retry-type` `failed`, `x-delayed-retry-min`, `-max`). It gives
    /// none up by itself (`x-delivery-limit` -1). For consumers with [`RetryLayout::Native`](crate::RetryLayout::Native).
    ///
    /// RabbitMQ has it from 4.3.1 on; an older one takes the arguments and ignores them.
    pub fn delayed_retry(self, first: Duration, longest: Duration) -> Self {
        let (first, longest) = (whole(first), whole(longest.max(first)));
        let delays = self.argument(DELAYED_RETRY_MIN, milliseconds(first)).argument(DELAYED_RETRY_MAX, milliseconds(longest));
        delays.quorum().argument(DELAYED_RETRY_TYPE, "failed").argument("x-delivery-limit", -1)
    }

    /// A quorum queue gives a message up after this many returns (`x-delivery-limit`).
    pub fn delivery_limit(self, deliveries: u32) -> Self {
        self.argument("x-delivery-limit", i64::from(deliveries))
    }

    /// Only one consumer at a time gets messages (`x-single-active-consumer`).
    pub fn single_active_consumer(self) -> Self {
        self.argument("x-single-active-consumer", true)
    }

    /// This sets any other argument.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }

    /// The exchange that rejected messages go to, if one is declared here.
    pub fn dead_letter_exchange(&self) -> Option<&str> {
        self.arguments.get("x-dead-letter-exchange").and_then(Value::as_str)
    }

    /// The queue type as declared here; `None` leaves it to the broker.
    pub fn queue_type(&self) -> Option<&str> {
        self.arguments.get("x-queue-type").and_then(Value::as_str)
    }
}

impl From<&str> for Queue {
    fn from(name: &str) -> Self {
        Queue::new(name)
    }
}

impl From<String> for Queue {
    fn from(name: String) -> Self {
        Queue::new(name)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Everything a consumer or a worker wants declared.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Topology {
    /// Exchanges, declared first, and bound to each other when all are there.
    pub exchanges: Vec<Exchange>,
    /// Queues, declared and bound after.
    pub queues: Vec<Queue>,
}

impl Topology {
    /// This adds an exchange.
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchanges.push(exchange);
        self
    }

    /// This adds a queue.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push(queue);
        self
    }
}
