//! Joins a deployment of celery-message-consumer: its queues, its retry count, its settings, beside its Python workers.

mod decoded;
mod settings;

pub use decoded::Decoded;
pub use settings::Settings;

use bootstep::{
    BoxError, Connection, Consumer, ConsumerStep, Error, Exchange, Fault, Message, Outcome, Publication, Queue, RetryLayout,
    RetryPolicy, SharedLayout, Table, Value,
};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The reference name of the exchange that handlers are on unless they name another.
const DEFAULT_EXCHANGE: &str = "default";

/// When an archived message was moved back to its queue (timestamp, seconds).
const MOVED_BACK: &str = "x-bootstep-moved-back";

/// Consumes the queues of celery-message-consumer, alone or beside its Python workers: the three queues of each handler, the delays,
/// the header that counts, and the settings are theirs.
///
/// ```
/// use bootstep::steps::celery_message_consumer::{CeleryMessageConsumer, MessageHandler, Settings};
/// use bootstep::{Broker, Exchange, MemoryBroker, Message, Outcome, Publication, Worker};
/// use std::time::Duration;
///
/// let settings = Settings::default().exchange("data", Exchange::topic("data"));
/// let mut handlers = CeleryMessageConsumer::new(settings);
/// handlers.add(MessageHandler::new("order.paid", |order: serde_json::Value, _message: &Message| {
///     println!("{} paid", order["id"]);
///     Ok(Outcome::Ack)
/// }).exchange("data"))?;
///
/// let memory = MemoryBroker::new();
/// let mut worker = Worker::new(Broker::from(&memory));
/// worker.steps.add(handlers);
/// let running = worker.start()?;
/// memory.publish(Publication::new("data", "order.paid", r#"{"id": 7}"#).content_type("application/json"))?;
/// memory.drain(Duration::from_secs(10))?;
/// assert_eq!(running.stop(), 0);
/// # Ok::<(), bootstep::Error>(())
/// ```
///
/// What becomes of a message: `Ok(Outcome::Ack)` is a Python handler that returns; `Err`, a panic and [`Outcome::retry`] are one that
/// raises; [`Outcome::archive`] is `PermanentFailure`. What cannot be decoded, which ends a Python worker, is archived with the reason.
/// Handlers run on the worker's pool, side by side, and not one after the other as there.
pub struct CeleryMessageConsumer {
    settings: Settings,
    layout: RetryLayout,
    registered: Vec<Registered>,
}

/// One routing key of a handler.
struct Registered {
    queue: String,
    routing_key: String,
    /// `None` is the AMQP default exchange, to which nothing is bound.
    exchange: Option<Exchange>,
    handler: Arc<MessageHandler>,
}

impl CeleryMessageConsumer {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "celery-message-consumer";

    /// No handler yet, and these settings.
    pub fn new(settings: Settings) -> Self {
        CeleryMessageConsumer { settings, layout: RetryLayout::Shared, registered: Vec::new() }
    }

    /// Where failed messages wait (by default in the queues that the Python workers use). Where none of them shares the queues,
    /// [`RetryLayout::Levels`] keeps a long wait from holding up shorter ones, and its archive never drops a message.
    pub fn retry_layout(mut self, layout: RetryLayout) -> Self {
        self.layout = layout;
        self
    }

    /// This registers a handler for each of its routing keys.
    ///
    /// # Errors
    /// [`Fault::Config`] for a registration that celery-message-consumer refuses, or that could not work there: a queue registered
    /// before, a custom queue name (or a prefix) on the AMQP default exchange, one queue for several routing keys, an exchange that
    /// the settings do not name. Nothing is registered then.
    pub fn add(&mut self, handler: MessageHandler) -> Result<&mut Self, Error> {
        let exchange = self.exchange_of(&handler)?;
        if handler.routing_keys.is_empty() {
            return Err(wrong("a handler has no routing key; name at least one".into()));
        }
        if let (Some(queue), [_, _, ..]) = (&handler.queue, &*handler.routing_keys) {
            return Err(wrong(format!(
                "the handler of `{}` has the one queue `{queue}` for several routing keys; each key has a queue of its own, so leave \
                 the queue out, or register a handler for each key",
                handler.routing_keys.join("`, `")
            )));
        }
        let handler = Arc::new(handler);
        let mut registered: Vec<Registered> = Vec::new();
        for key in &handler.routing_keys {
            let queue = handler.queue.clone().unwrap_or_else(|| format!("{}{key}", self.settings.queue_name_prefix));
            if queue.is_empty() {
                let what = "has a queue without a name, to which no retry could come back; name it";
                return Err(wrong(format!("the handler of `{key}` {what}")));
            }
            if self.registered.iter().chain(&registered).any(|other| other.queue == queue) {
                let what = "has a handler already, and each message would go to either; name another";
                return Err(wrong(format!("the queue `{queue}` {what}")));
            }
            let (exchange, handler) = (exchange.clone(), handler.clone());
            registered.push(Registered { queue, routing_key: key.clone(), exchange, handler });
        }
        self.registered.append(&mut registered);
        Ok(self)
    }

    fn exchange_of(&self, handler: &MessageHandler) -> Result<Option<Exchange>, Error> {
        let (name, settings) = (handler.exchange.as_str(), &self.settings);
        let keys = handler.routing_keys.join("`, `");
        let exchange = match settings.exchanges.get(name) {
            Some(exchange) => Some(exchange).filter(|exchange| !exchange.name.is_empty()),
            None if name == DEFAULT_EXCHANGE => None,
            None => {
                let known: Vec<&str> = settings.exchanges.keys().map(String::as_str).collect();
                let known =
                    if known.is_empty() { "there are none".into() } else { format!("there is `{}`", known.join("`, `")) };
                return Err(wrong(format!("the handler of `{keys}` is on `{name}`, which is not in `EXCHANGES`: {known}")));
            }
        };
        let has_own_name = handler.queue.is_some() || !settings.queue_name_prefix.is_empty();
        if exchange.is_none() && has_own_name {
            return Err(wrong(format!(
                "the handler of `{keys}` is on the AMQP default exchange, where a queue's name is its routing key; name an exchange \
                 from `EXCHANGES`, or leave out the queue's name and `QUEUE_NAME_PREFIX`"
            )));
        }
        Ok(exchange.cloned())
    }

    fn consumer(&self, registered: &Registered) -> Consumer {
        let Registered { queue: name, routing_key, exchange, handler } = registered;
        let mut queue = Queue::new(name);
        queue.arguments = handler.queue_arguments.clone();
        if let Some(exchange) = exchange {
            queue = queue.bind(&*exchange.name, routing_key);
        }
        let mut consumer = (handler.make)(queue).prefetch(self.settings.prefetch_count).retry(self.policy());
        if let Some(exchange) = exchange {
            consumer = consumer.exchange(exchange.clone());
        }
        (handler.adjust)(match self.layout {
            RetryLayout::Shared => consumer.layout(self.shared_layout(name)),
            layout => consumer.retry_layout(layout),
        })
    }

    fn policy(&self) -> RetryPolicy {
        RetryPolicy::delays((0..self.settings.max_retries).map(|retries| (self.settings.backoff)(retries)))
    }

    fn shared_layout(&self, queue: &str) -> SharedLayout {
        let settings = &self.settings;
        let layout =
            SharedLayout::around(queue).retry_header(&*settings.retry_header).archive_arguments(settings.archive_arguments());
        // There, an exchange of this name is the one that retry and archive queues are on.
        match settings.exchanges.get(DEFAULT_EXCHANGE).filter(|exchange| !exchange.name.is_empty()) {
            Some(exchange) => layout.bound_to(exchange.clone()),
            None => layout,
        }
    }
}

impl ConsumerStep for CeleryMessageConsumer {
    fn consumers(&self) -> Vec<Consumer> {
        self.registered.iter().map(|registered| self.consumer(registered)).collect()
    }

    fn step_name(&self) -> String {
        CeleryMessageConsumer::NAME.into()
    }
}

/// A handler and what it is registered for, as the decorator `message_handler` has it.
pub struct MessageHandler {
    routing_keys: Vec<String>,
    queue: Option<String>,
    exchange: String,
    queue_arguments: Table,
    make: Box<dyn Fn(Queue) -> Consumer + Send + Sync>,
    adjust: Box<dyn Fn(Consumer) -> Consumer + Send + Sync>,
}

impl MessageHandler {
    /// This handles messages of one routing key, or of a wildcard; several keys at once: [`for_each`](MessageHandler::for_each).
    pub fn new<T, F>(routing_key: impl Into<String>, handle: F) -> Self
    where
        T: DeserializeOwned + 'static,
        F: Fn(T, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    {
        MessageHandler::for_each([routing_key], handle)
    }

    /// This handles messages of each of these routing keys, each from a queue of its own.
    pub fn for_each<T, F>(routing_keys: impl IntoIterator<Item = impl Into<String>>, handle: F) -> Self
    where
        T: DeserializeOwned + 'static,
        F: Fn(T, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    {
        let handle = Arc::new(handle);
        let make = move |queue: Queue| {
            let handle = handle.clone();
            Consumer::new(queue, move |body: Decoded<T>, message: &Message| handle(body.0, message))
        };
        MessageHandler {
            routing_keys: routing_keys.into_iter().map(Into::into).collect(),
            queue: None,
            exchange: DEFAULT_EXCHANGE.into(),
            queue_arguments: Table::new(),
            make: Box::new(make),
            adjust: Box::new(|consumer| consumer),
        }
    }

    /// The queue's name (by default `QUEUE_NAME_PREFIX` and the routing key).
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = Some(name.into());
        self
    }

    /// The reference name of its exchange among `EXCHANGES` (`default` by default, which is the AMQP default exchange unless the
    /// settings say otherwise).
    pub fn exchange(mut self, reference: impl Into<String>) -> Self {
        self.exchange = reference.into();
        self
    }

    /// This adds an argument to the main queue; retry and archive queue have none of them, as there.
    pub fn queue_argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.queue_arguments.insert(name.into(), value.into());
        self
    }

    /// What else its consumers should be: how many messages at once, a hook around each message, a kill switch.
    pub fn with(mut self, adjust: impl Fn(Consumer) -> Consumer + Send + Sync + 'static) -> Self {
        self.adjust = Box::new(adjust);
        self
    }
}

/// How long a move may take, message by message.
const MOVE_LIMIT: Duration = Duration::from_secs(30);

/// Moves messages from the archive of a queue back to it, the oldest first, and gives how many those were: no more than are there now,
/// and no more than `at_most`. Their retries count anew. Each is confirmed before it leaves the archive, so nothing is lost if this is
/// cut off.
///
/// # Errors
/// When there is no such archive or queue, or the broker cannot be reached.
pub fn move_back(connection: &Connection, settings: &Settings, queue: &str, at_most: u32) -> Result<u32, Error> {
    let archive = format!("{queue}.archived");
    let there = connection.declare_queue(&Queue::existing(&*archive))?.messages;
    connection.consume(&archive, 1, |inbox| {
        for moved in 0..there.min(at_most) {
            let Some(letter) = inbox.next(MOVE_LIMIT)? else { return Ok(moved) };
            let mut properties = letter.message.properties().clone();
            let headers = properties.headers.get_or_insert_default();
            headers.retain(|name, _| *name != settings.retry_header && !name.starts_with("x-bootstep-re"));
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            headers.insert(MOVED_BACK.into(), Value::Timestamp(seconds));
            let publication = Publication::new("", queue, letter.message.body()).with(properties).mandatory();
            connection.publish(&[publication], MOVE_LIMIT)?;
            inbox.ack(letter.tag)?;
        }
        Ok(there.min(at_most))
    })?
}

fn wrong(what: String) -> Error {
    Error::new(Fault::Config, what)
}
