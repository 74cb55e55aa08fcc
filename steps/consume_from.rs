//! One queue, one function: what the article "Demystifying celery" builds on Celery's bootsteps, with dead letters that work.

use bootstep::celery::Task;
use bootstep::{
    BoxError, Connection, Consumer, Context, Decode, Error, Exchange, Fault, Json, Message, Outcome, Queue, Step, Topology,
};
use std::borrow::Cow;
use std::sync::Arc;

/// The queue that Celery sends tasks to unless told otherwise; its exchange and routing key are called the same.
pub const CELERY_QUEUE: &str = "celery";

/// What the names of dead letters end in.
const SUFFIX: &str = "dead";

/// Consumes a queue (or the name of one) with this function; each queue once in a worker.
///
/// ```
/// use bootstep::steps::consume_from::consume_from;
/// use bootstep::{Broker, Exchange, Json, MemoryBroker, Outcome, Publication, Worker};
/// use serde_json::Value;
/// use std::time::Duration;
///
/// let memory = MemoryBroker::new();
/// let mut worker = Worker::new(Broker::from(&memory));
/// let orders = consume_from("orders", |order: Json<Value>, _message| {
///     println!("packing {}", order["id"]);
///     Ok(Outcome::Ack)
/// });
/// worker.steps.add(orders.exchange(Exchange::topic("shop")).routing_key("order.*").dead_letters());
/// let running = worker.start()?;
///
/// memory.publish(Publication::new("shop", "order.web", r#"{"id": 7}"#))?;
/// memory.publish(Publication::new("shop", "order.web", "{bad"))?;
/// memory.drain(Duration::from_secs(10))?;
/// assert_eq!(memory.texts("orders.dead"), ["{bad"]);
/// assert_eq!(running.stop(), 0);
/// # Ok::<(), bootstep::Error>(())
/// ```
pub fn consume_from<B, F>(queue: impl Into<Queue>, handler: F) -> ConsumeFrom
where
    B: Decode + 'static,
    F: Fn(B, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    let make = move |queue: Queue| {
        let handler = handler.clone();
        Consumer::new(queue, move |body: B, message: &Message| handler(body, message))
    };
    ConsumeFrom {
        queue: queue.into(),
        exchange: None,
        routing_key: None,
        suffix: None,
        make: Box::new(make),
        options: Vec::new(),
    }
}

/// Consumes a queue by passing each message on to Celery: its body, which must be JSON, becomes the one argument of the task of this
/// name, on Celery's default queue ([`CELERY_QUEUE`]). The message is acked when the broker has confirmed the task. While no queue
/// takes it, that is a failed attempt: tried again, and archived when there is no try left. A whole number of more than 64 bits
/// becomes a floating-point one.
///
/// ```
/// use bootstep::celery::Task;
/// use bootstep::steps::consume_from::republish_as_task;
/// use bootstep::{Broker, Decode, MemoryBroker, Message, Publication, Worker};
/// use std::time::Duration;
///
/// let memory = MemoryBroker::new();
/// memory.declare_queue(&"celery".into())?;
/// let mut worker = Worker::new(Broker::from(&memory));
/// worker.steps.add(republish_as_task("orders", "shop.tasks.pack"));
/// let running = worker.start()?;
/// memory.publish(Publication::new("", "orders", r#"{"id": 7}"#))?;
/// memory.drain(Duration::from_secs(10))?;
///
/// let task = Task::decode(&Message::from_publication(memory.messages("celery").remove(0)))?;
/// assert_eq!((task.name.as_str(), &task.args[0]["id"]), ("shop.tasks.pack", &7.into()));
/// assert_eq!(running.stop(), 0);
/// # Ok::<(), bootstep::BoxError>(())
/// ```
pub fn republish_as_task(queue: impl Into<Queue>, task: impl Into<String>) -> ConsumeFrom {
    let task = task.into();
    consume_from(queue, move |body: Json<serde_json::Value>, message: &Message| {
        let task = Task::new(task.as_str()).arg(body.0).to_publication("", CELERY_QUEUE);
        // Confirmed before the ack, because it goes out with it.
        message.send(task.mandatory());
        Ok(Outcome::Ack)
    })
}

/// A queue and the function that consumes it; made by [`consume_from`] and [`republish_as_task`].
pub struct ConsumeFrom {
    queue: Queue,
    exchange: Option<Exchange>,
    routing_key: Option<String>,
    suffix: Option<String>,
    make: Box<dyn Fn(Queue) -> Consumer + Send>,
    options: Vec<Box<dyn Fn(Consumer) -> Consumer + Send>>,
}

impl ConsumeFrom {
    /// This declares an exchange and binds the queue to it by the [routing key](ConsumeFrom::routing_key).
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchange = Some(exchange);
        self
    }

    /// What the queue is bound by, and what the key of its dead letters begins with. By default the key of the queue's first binding,
    /// or its name.
    pub fn routing_key(mut self, key: impl Into<String>) -> Self {
        self.routing_key = Some(key.into());
        self
    }

    /// What cannot be decoded, and what the function rejects, is dead-lettered by the broker: to the queue `<queue>.dead`, by way of the
    /// direct exchange `<queue>.dead` and the key `<routing key>.dead`. Without this it is published to the queue `<queue>.dead`.
    pub fn dead_letters(self) -> Self {
        self.dead_letters_ending_in(SUFFIX)
    }

    /// The same with another word than `dead`.
    pub fn dead_letters_ending_in(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = Some(suffix.into());
        self
    }

    /// This sets what else a consumer can be told: prefetch, retries, hooks. Call it again for more.
    ///
    /// ```
    /// use bootstep::steps::consume_from::consume_from;
    /// use bootstep::Outcome;
    ///
    /// let step = consume_from("orders", |_order: String, _message| Ok(Outcome::Ack)).with(|consumer| consumer.prefetch(5));
    /// ```
    pub fn with(mut self, set: impl Fn(Consumer) -> Consumer + Send + 'static) -> Self {
        self.options.push(Box::new(set));
        self
    }

    /// What the queue is bound by, on its exchange.
    fn key(&self) -> String {
        let of_binding = || self.queue.bindings.first().map(|binding| binding.routing_key.clone());
        self.routing_key.clone().or_else(of_binding).unwrap_or_else(|| self.queue.name.clone())
    }

    fn consumer(&self) -> Consumer {
        let (key, mut queue) = (self.key(), self.queue.clone());
        if let Some(exchange) = &self.exchange {
            queue = queue.bind(&*exchange.name, &*key);
        }
        let mut beside = Topology::default();
        if let Some(suffix) = &self.suffix {
            beside = with_dead_letters(queue, &key, suffix);
            queue = beside.queues.remove(0);
        }
        let mut consumer = (self.make)(queue);
        for exchange in self.exchange.iter().chain(&beside.exchanges) {
            consumer = consumer.exchange(exchange.clone());
        }
        consumer = beside.queues.into_iter().fold(consumer, Consumer::also_declare);
        self.options.iter().fold(consumer, |consumer, set| set(consumer))
    }

    /// A key that nothing could ever come by is a mistake.
    fn check(&self) -> Result<(), Error> {
        let (queue, bindings) = (&self.queue.name, &self.queue.bindings);
        match &self.routing_key {
            Some(key) if self.exchange.is_none() && key != queue && !bindings.iter().any(|it| it.routing_key == *key) => {
                let what = format!(
                    "the queue `{queue}` has the routing key `{key}` and no exchange that could route by it; name one with \
                     `ConsumeFrom::exchange`, or give the queue that binding"
                );
                Err(Error::new(Fault::Config, what))
            }
            _ => Ok(()),
        }
    }
}

impl Step for ConsumeFrom {
    /// Two steps of one name are an error at boot, and so are two of one queue.
    fn name(&self) -> Cow<'_, str> {
        format!("consume_from({})", self.queue.name).into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        ["connect", "spawn-pool", "declare-dead-letters"].map(Cow::Borrowed).into()
    }

    fn brings(&self) -> Vec<Consumer> {
        vec![self.consumer()]
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        self.check()?;
        let consumers = ctx.brought();
        Ok(ctx.consume(&consumers)?)
    }
}

/// A queue with its dead letters, as the article's `setup_dlq` has them: first the queue itself with `x-dead-letter-exchange`
/// `<queue>.<suffix>` and `x-dead-letter-routing-key` `<routing key>.<suffix>`; then that exchange (direct), and a queue of the same name,
/// bound to it by that key.
pub fn with_dead_letters(queue: Queue, routing_key: &str, suffix: &str) -> Topology {
    let (name, key) = (format!("{}.{suffix}", queue.name), format!("{routing_key}.{suffix}"));
    let mut topology = Topology::default();
    topology.exchanges.push(Exchange::direct(&*name));
    topology.queues.push(queue.dead_letter_to(&*name, &*key));
    topology.queues.push(Queue::new(&*name).bind(&*name, &*key));
    topology
}

/// Declares Celery's default queue with dead letters (`celery.dead`), as the article's `setup_default_dlq` does: for a worker that sends
/// tasks to it and does not consume it. Celery's workers must be set up alike; without, they declare the queue without dead
/// letters, and whoever comes second is refused.
#[derive(Default)]
pub struct DeclareDefaultQueue;

impl DeclareDefaultQueue {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "declare-celery-queue";
}

impl Step for DeclareDefaultQueue {
    fn name(&self) -> Cow<'_, str> {
        DeclareDefaultQueue::NAME.into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        vec!["connect".into()]
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let queue = Queue::new(CELERY_QUEUE).bind(CELERY_QUEUE, CELERY_QUEUE);
        let mut topology = with_dead_letters(queue, CELERY_QUEUE, SUFFIX);
        topology.exchanges.push(Exchange::direct(CELERY_QUEUE));
        Ok(ctx.get::<Connection>()?.declare(&topology)?)
    }
}
