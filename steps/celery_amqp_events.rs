//! Speaks the protocol of the Python package celery-amqp-events, so that services in Rust and in Python share events and queues.
//!
//! A *service* publishes events, and handles those of others: each service that handles an event has a queue of its own for it,
//! `<service>.<event>`. A failed event waits in one of the service's retry queues, exponentially longer each time, and ends in the
//! service's archive.
//!
//! ```
//! use bootstep::steps::celery_amqp_events::{EventPublisher, Service, Settings};
//! use bootstep::{BoxError, Broker, MemoryBroker, Message, Outcome, Worker};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! // The parameters of the event, in their order: `def order_paid(order_id, amount)` in Python.
//! #[derive(Serialize, Deserialize)]
//! struct OrderPaid {
//!     order_id: u64,
//!     amount: f64,
//! }
//!
//! let mut shop = Service::new("shop", Settings::default().max_retries(3))?;
//! let order_paid = shop.event::<OrderPaid>("order.paid")?.validate(|order| match order.amount > 0.0 {
//!     true => Ok(()),
//!     false => Err("an order is paid with more than nothing".into()),
//! });
//! let receipt_sent = shop.event::<(u64,)>("receipt.sent")?;
//! shop.on(&order_paid, move |order: OrderPaid, message: &Message| {
//!     if order.amount > 1000.0 {
//!         // Tried again after a while, three times; then it is archived.
//!         return Err("the till is locked".into());
//!     }
//!     // Confirmed by the broker before `order.paid` is acked.
//!     receipt_sent.send(message, &(order.order_id,))?;
//!     Ok(Outcome::Ack)
//! })?;
//!
//! let memory = MemoryBroker::new();
//! let events = EventPublisher::of(&shop);
//! let mut worker = Worker::new(Broker::from(&memory));
//! worker.steps.add(shop).add(events.clone());
//! let running = worker.start()?;
//!
//! order_paid.publish(&events, &OrderPaid { order_id: 7, amount: 12.5 })?;
//! order_paid.publish(&events, &OrderPaid { order_id: 8, amount: 5000.0 })?;
//! assert!(order_paid.publish(&events, &OrderPaid { order_id: 9, amount: 0.0 }).is_err(), "it is not valid, so it is not published");
//! memory.drain(Duration::from_secs(10))?;
//! let archived = memory.messages("shop:archived");
//! assert_eq!(archived.len(), 1);
//! assert_eq!(archived[0].header("retries"), Some(&4.into()));
//! assert_eq!(archived[0].header("kwargsrepr"), Some(&"{'amount': 5000.0, 'order_id': 8}".into()));
//! assert_eq!(running.stop(), 0);
//! # Ok::<(), BoxError>(())
//! ```
//!
//! # On the broker
//!
//! For a service `S` that handles an event `E`, with `N` retries; all is durable, and declared as the Python package declares it:
//!
//! | name | what | arguments | bound to |
//! |---|---|---|---|
//! | `events`, `S:recover` | topic exchanges | | |
//! | `S.E` | queue | `x-dead-letter-exchange` `S:retry` (none if `N` is 0) | `events` and `S:recover` by `E` |
//! | `S:retry`, `S:retry.1` … `S:retry.(N-1)` | fanout exchange and queue | `x-message-ttl` 1, 2, 4 … seconds; `x-dead-letter-exchange` `S:recover` | its own exchange |
//! | `S:archived` | fanout exchange and queue | `x-message-ttl`, `x-max-length`, `x-queue-mode` `lazy` | its own exchange |
//!
//! Exchanges are declared before queues, and the queues of events first: another order than there, to the same end. A process that
//! only publishes declares `events` and nothing else; a Python one declares all of its service's retry queues as well, and a queue
//! `events` that nobody reads.
//!
//! # What becomes of an event
//!
//! | what happens | what is done |
//! |---|---|
//! | [`Outcome::Ack`] | what the handler sent is confirmed; then ack |
//! | `Err`, a panic, [`Outcome::Retry`] | published to `S:retry[.i]` and confirmed, then ack; after `N` retries to the archive |
//! | [`Outcome::Archive`], [`Outcome::Reject`] | to the archive, at once |
//! | no task of Celery, a task of another name, other arguments, another content type than `application/json` | to the archive, unhandled |
//! | it ends the process, again and again ([`Settings::poison_after`]) | to the archive |
//!
//! Before the retry number `r` (from 0) it waits a random number of seconds up to `2^r`, rounded down to a power of two; what a
//! handler asks for by [`Outcome::after`] is rounded up to one. A Python worker spends the rest of the drawn time holding the message
//! unacked (its `eta`); here nothing is held: `eta` is not looked at, and null in what is published.
//!
//! A copy has the same `id`, `correlation_id`, `root_id` and body; `retries` is one more, `parent_id` its own `id`. In the archive
//! `retries` says how many attempts there were, so one more than `N` when all failed; what was never handled has the count it came
//! with. Beside these it keeps all properties and headers, and says in [`headers`](bootstep::headers) what went wrong; Python
//! workers pass over that.

mod events;
mod layout;
mod settings;

pub use events::{Event, EventPublisher};
pub use settings::Settings;

use bootstep::celery::Task;
use bootstep::{BoxError, Consumer, ConsumerStep, Error, Exchange, Fault, Message, Outcome, Queue, RetryPolicy};
use layout::EventLayout;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A service: the handlers it has for events, each with a queue of its own. As a step it consumes them all.
pub struct Service {
    name: String,
    settings: Settings,
    handlers: Vec<(String, Consumer)>,
    tuned: Option<Arc<dyn Fn(Consumer) -> Consumer + Send + Sync>>,
}

impl Service {
    /// A service of this name, which its queues begin with.
    ///
    /// # Errors
    /// When there is no name, or a setting cannot be ([`Fault::Config`]); all of them are named.
    pub fn new(name: impl Into<String>, settings: Settings) -> Result<Self, Error> {
        let name = name.into();
        let mut wrong = settings.mistakes();
        if name.is_empty() {
            wrong.insert(0, "a service has a name, and this one is empty".into());
        }
        match wrong.is_empty() {
            true => Ok(Service { name, settings, handlers: Vec::new(), tuned: None }),
            false => Err(Error::new(Fault::Config, format!("the service `{name}` cannot be: {}", wrong.join("; ")))),
        }
    }

    /// The event of this name, with these arguments: a struct whose fields are its parameters in their order (sent by keyword, taken
    /// in either spelling), or a tuple (by position only).
    ///
    /// # Errors
    /// When the name is empty or has a wildcard ([`Fault::Config`]).
    pub fn event<T>(&self, name: impl Into<String>) -> Result<Event<T>, Error> {
        let name = name.into();
        if name.is_empty() {
            return Err(Error::new(Fault::Config, "an event has a name, and this one is empty"));
        }
        if name.split('.').any(|word| word == "*" || word == "#") {
            let what = format!(
                "the event `{name}` has a wildcard: a task is known by its whole name, so a queue bound to many events would get \
                 what no handler is for; handle each event by its name"
            );
            return Err(Error::new(Fault::Config, what));
        }
        Ok(Event::new(name, self.settings.exchange_name()))
    }

    /// This handles an event. What the handler takes may be another type than what is published, if it has the same parameters.
    ///
    /// # Errors
    /// When this service handles the event already ([`Fault::Config`]).
    pub fn on<E, T, F>(&mut self, event: &Event<E>, handler: F) -> Result<&mut Self, Error>
    where
        T: DeserializeOwned + 'static,
        F: Fn(T, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    {
        let (service, name) = (&self.name, event.name());
        if self.handlers.iter().any(|(handled, _)| handled == name) {
            let what = format!(
                "the service `{service}` handles the event `{name}` already: there is one handler for an event, and it may do two \
                 things; another service may handle it as well"
            );
            return Err(Error::new(Fault::Config, what));
        }
        let consumer = self.consumer_of(name, handler);
        self.handlers.push((name.to_owned(), consumer));
        Ok(self)
    }

    /// This sets what else a consumer may have, for all of this service: [`prefetch`](Consumer::prefetch), hooks, time limits.
    pub fn tuned(mut self, tune: impl Fn(Consumer) -> Consumer + Send + Sync + 'static) -> Self {
        self.tuned = Some(Arc::new(tune));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The exchange that its events are published to.
    pub fn exchange(&self) -> &str {
        self.settings.exchange_name()
    }

    fn consumer_of<T, F>(&self, event: &str, handler: F) -> Consumer
    where
        T: DeserializeOwned + 'static,
        F: Fn(T, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    {
        let (exchange, retries) = (self.settings.exchange_name(), self.settings.retries());
        let layout = EventLayout::new(&self.name, event, retries, self.settings.archive());
        let mut queue = Queue::new(format!("{}.{event}", self.name)).bind(exchange, event);
        let mut exchanges = vec![Exchange::topic(exchange)];
        if retries > 0 {
            queue = queue.bind(layout.recover_name(), event).argument("x-dead-letter-exchange", layout.retry_name(0));
            exchanges.push(Exchange::topic(layout.recover_name()));
        }
        let name = event.to_owned();
        let consumer = Consumer::new(queue, move |task: Task, message: &Message| {
            if task.name != name {
                // Another attempt would not make it ours, and the queue's dead letters come back here.
                return Ok(Outcome::reject(format!("the task `{}` is none that `{name}` has a handler for", task.name)));
            }
            match task.arguments::<T>() {
                Ok(arguments) => handler(arguments, message),
                Err(error) => Ok(Outcome::reject(error)),
            }
        });
        let delays = (0..retries).map(layout::own_delay);
        let consumer = consumer.retry(RetryPolicy::delays(delays)).layout(layout).accept(["application/json"]);
        exchanges.into_iter().fold(consumer, Consumer::exchange).poison_after(self.settings.deaths())
    }
}

impl ConsumerStep for Service {
    fn consumers(&self) -> Vec<Consumer> {
        let consumers = self.handlers.iter().map(|(_, consumer)| consumer.clone());
        match &self.tuned {
            Some(tune) => consumers.map(|consumer| tune(consumer)).collect(),
            None => consumers.collect(),
        }
    }

    fn step_name(&self) -> String {
        format!("handle-events({})", self.name)
    }
}
