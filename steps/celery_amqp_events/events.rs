//! Events as typed values: validated, sent as tasks of Celery, and confirmed.

use bootstep::celery::Task;
use bootstep::steps::celery_amqp_events::Service;
use bootstep::Value;
use bootstep::{BoxError, Connection, Context, Error, Exchange, Fault, Message, Publication, Publisher, Step};
use serde::Serialize;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// An event by its name, and what it tells. Made by [`Service::event`]; a clone is the same event.
pub struct Event<T> {
    name: String,
    exchange: String,
    validate: Option<Arc<Validate<T>>>,
    tells: PhantomData<fn(T) -> T>,
}

type Validate<T> = dyn Fn(&T) -> Result<(), BoxError> + Send + Sync;

impl<T> Event<T> {
    pub(crate) fn new(name: String, exchange: &str) -> Self {
        Event { name, exchange: exchange.to_owned(), validate: None, tells: PhantomData }
    }

    /// This looks at each value before it is published; one that it refuses is not.
    pub fn validate(mut self, check: impl Fn(&T) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        self.validate = Some(Arc::new(check));
        self
    }

    /// Its name, which is also its routing key and the name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T: Serialize> Event<T> {
    /// This publishes the event and waits until the broker has confirmed it; the answer is its id. One that no service handles is
    /// confirmed as well, and gone.
    ///
    /// # Errors
    /// What the validation says, as it is; otherwise as [`Publisher::publish`]. It may have been published if no confirm came in time.
    pub fn publish(&self, publisher: &EventPublisher, value: &T) -> Result<String, BoxError> {
        let task = self.task(value)?;
        publisher.publish(self.publication(&task))?;
        Ok(task.id)
    }

    /// This publishes the event when the handler of this message has returned `Ok(Outcome::Ack)`, confirmed before the message is
    /// acked ([`Message::send`]); the answer is its id. The message's task is its parent, as in Celery.
    ///
    /// # Errors
    /// What the validation says, as it is.
    pub fn send(&self, message: &Message, value: &T) -> Result<String, BoxError> {
        let text = |name: &str| message.header(name).and_then(Value::as_str).map(str::to_owned);
        let mut task = self.task(value)?;
        task.parent_id = text("id");
        task.root_id = text("root_id").or_else(|| text("id")).or(task.root_id);
        message.send(self.publication(&task));
        Ok(task.id)
    }

    /// This is the task that would be published, if the value is valid.
    ///
    /// # Errors
    /// What the validation says, as it is; a value that is neither struct nor tuple.
    pub fn task(&self, value: &T) -> Result<Task, BoxError> {
        if let Some(validate) = &self.validate {
            validate(value)?;
        }
        Ok(Task::new(&*self.name).with_arguments(value)?)
    }

    fn publication(&self, task: &Task) -> Publication {
        task.to_publication(&*self.exchange, &*self.name)
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        Event { name: self.name.clone(), exchange: self.exchange.clone(), validate: self.validate.clone(), tells: PhantomData }
    }
}

/// Publishes events from anywhere in a process, beside its handlers or without any: a step, of which one clone goes to the worker.
/// It declares the exchange of the events, and nothing else; the connection is the worker's, which opens it anew when it is lost.
///
/// ```
/// use bootstep::steps::celery_amqp_events::{EventPublisher, Service, Settings};
/// use bootstep::{BoxError, Broker, MemoryBroker, Queue, Worker};
///
/// let shop = Service::new("shop", Settings::default())?;
/// let order_paid = shop.event::<(u64, f64)>("order.paid")?;
/// let events = EventPublisher::of(&shop);
///
/// let memory = MemoryBroker::new();
/// let mut worker = Worker::new(Broker::from(&memory));
/// worker.steps.add(events.clone());
/// let running = worker.start()?;
/// memory.declare_queue(&Queue::new("ledger").bind("events", "order.*"))?;
/// order_paid.publish(&events, &(7, 12.5))?;
/// assert!(memory.texts("ledger")[0].starts_with("[[7,12.5],{},"));
/// assert_eq!(running.stop(), 0);
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Clone)]
pub struct EventPublisher {
    service: String,
    exchange: String,
    within: Duration,
    publisher: Arc<OnceLock<Publisher>>,
}

impl EventPublisher {
    /// One for the events of this service.
    pub fn of(service: &Service) -> Self {
        EventPublisher {
            service: service.name().to_owned(),
            exchange: service.exchange().to_owned(),
            within: Duration::from_secs(30),
            publisher: Arc::default(),
        }
    }

    /// How long a publish may wait for its confirm (30 seconds by default), an outage of the broker included.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    fn publish(&self, publication: Publication) -> Result<(), Error> {
        match self.publisher.get() {
            Some(publisher) => publisher.publish(publication, self.within),
            None => Err(Error::new(
                Fault::Step,
                format!("the step `{}` has not started; add a clone of it to a worker, and start that first", self.name()),
            )),
        }
    }
}

impl Step for EventPublisher {
    fn name(&self) -> Cow<'_, str> {
        format!("publish-events({})", self.service).into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        vec!["connect".into(), "connect-publisher".into()]
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        ctx.get::<Connection>()?.declare_exchange(&Exchange::topic(&*self.exchange))?;
        let publisher = ctx.get::<Publisher>()?;
        // It is the same over every restart of the connection.
        self.publisher.get_or_init(|| publisher);
        Ok(())
    }
}
