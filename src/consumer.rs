//! A consumer: a queue, its handler, and the policies around it.

mod checks;
mod declaring;

pub use declaring::{declare_around, topology_of};

use crate::broker::Connection;
use crate::decode::{Decode, DecodeError};
use crate::delivered::Message;
use crate::error::{BoxError, Error, Fault};
use crate::handler::{AnyHandler, Closure, Handler, Hook, OnDecodeError, Performance};
use crate::kill_switch::{KillSwitch, Switch};
use crate::layout::{Archive, Chosen, CustomLayout, Layout, RetryLayout};
use crate::message::{Table, Value};
use crate::outcome::Outcome;
use crate::poison::Poison;
use crate::retry::RetryPolicy;
use crate::tally::{Tally, TimeLimits};
use crate::topology::{Exchange, Queue, Topology};
use crate::transport::Subscription;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A queue and what handles its messages. It can be added to a worker as it is, or returned by a
/// [`ConsumerStep`](crate::ConsumerStep).
///
/// ```
/// use bootstep::{Consumer, Exchange, Json, Outcome, Queue, RetryPolicy};
/// use std::time::Duration;
///
/// let queue = Queue::new("orders").quorum().bind("shop", "order.*");
/// let consumer = Consumer::new(queue, |order: Json<serde_json::Value>, message| {
///     println!("attempt {} of {}", message.attempt(), order["id"]);
///     Ok(Outcome::Ack)
/// })
/// .exchange(Exchange::topic("shop"))
/// .retry(RetryPolicy::fixed(Duration::from_secs(30), 10))
/// .prefetch(100)
/// .concurrency(8)
/// .accept(["application/json"]);
/// ```
#[derive(Clone)]
pub struct Consumer {
    queue: Queue,
    exchanges: Vec<Exchange>,
    more_queues: Vec<Queue>,
    handler: Arc<dyn AnyHandler>,
    hooks: Vec<Arc<dyn Hook>>,
    accept: Vec<String>,
    on_decode_error: Option<OnDecodeError>,
    retry: RetryPolicy,
    layout: Chosen,
    archive: Archive,
    trusts_dead_letters: bool,
    prefetch: u16,
    concurrency: usize,
    exclusive: bool,
    arguments: Table,
    on_intake_thread: bool,
    kill_switch: Option<KillSwitch>,
    poison_after: Option<u32>,
    time_limits: TimeLimits,
    halt_when_deleted: Option<u8>,
}

/// Unsettled messages per consumer, unless told otherwise.
const DEFAULT_PREFETCH: u16 = 20;

impl Consumer {
    /// A queue (or the name of one) and a closure: what it takes first says how bodies are decoded.
    pub fn new<B, F>(queue: impl Into<Queue>, handler: F) -> Self
    where
        B: Decode + 'static,
        F: Fn(B, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    {
        Consumer::handled_by(queue, Closure { run: handler, body: PhantomData })
    }

    /// A queue (or the name of one) and a [`Handler`] with state of its own.
    pub fn handled_by(queue: impl Into<Queue>, handler: impl Handler) -> Self {
        Consumer {
            queue: queue.into(),
            exchanges: Vec::new(),
            more_queues: Vec::new(),
            handler: Arc::new(handler),
            hooks: Vec::new(),
            accept: Vec::new(),
            on_decode_error: None,
            retry: RetryPolicy::default(),
            layout: Chosen::Shipped(RetryLayout::default()),
            archive: Archive::default(),
            trusts_dead_letters: false,
            prefetch: DEFAULT_PREFETCH,
            concurrency: usize::MAX,
            exclusive: false,
            arguments: Table::new(),
            on_intake_thread: false,
            kill_switch: None,
            poison_after: None,
            time_limits: TimeLimits::default(),
            halt_when_deleted: None,
        }
    }

    /// This declares an exchange that the queue is bound to, or that dead letters go to; call it again for more.
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchanges.push(exchange);
        self
    }

    /// This declares a queue beside its own, such as one for its dead letters; call it again for more.
    pub fn also_declare(mut self, queue: Queue) -> Self {
        self.more_queues.push(queue);
        self
    }

    /// When and how often failed messages are tried again (by default five times, after 1, 2, 4, 8 and 16 seconds).
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Where failed messages wait (by default in [levels](RetryLayout::Levels), a queue for each delay).
    pub fn retry_layout(mut self, layout: RetryLayout) -> Self {
        self.layout = Chosen::Shipped(layout);
        self
    }

    /// Where failed messages go by rules of your own, instead of one of the shipped layouts.
    pub fn layout(mut self, layout: impl CustomLayout) -> Self {
        self.layout = Chosen::Custom(Arc::new(layout));
        self
    }

    /// How much is kept of what was given up (by default 1,000,000 messages, for ever).
    pub fn archive(mut self, archive: Archive) -> Self {
        self.archive = archive;
        self
    }

    /// Rejected messages are left to the queue's dead-letter exchange, its own or a policy's, whoever stands behind it: **without one,
    /// or where that routes them nowhere, they are gone**. By default only if a queue declared here is sure to take them, and else they
    /// are published to `<queue>.dead`. A [layout](Consumer::layout) of your own decides by itself.
    pub fn trust_dead_letter_exchange(mut self) -> Self {
        self.trusts_dead_letters = true;
        self
    }

    /// How many messages the broker hands over before it hears what became of them (20 by default; at least 1).
    /// See <https://www.rabbitmq.com/docs/consumer-prefetch>.
    pub fn prefetch(mut self, messages: u16) -> Self {
        self.prefetch = messages.max(1);
        self
    }

    /// How many of this queue's messages are handled at once, at the most (by default as many as the pool allows; at least 1).
    /// 1 means one after the other, and with [`prefetch`](Consumer::prefetch) 1 strictly in order.
    pub fn concurrency(mut self, messages: usize) -> Self {
        self.concurrency = messages.max(1);
        self
    }

    /// Only these content types are taken, parameters aside; anything else, and a message without one, goes to the dead
    /// letters. By default every content type is taken and the body decides.
    pub fn accept<T: Into<String>>(mut self, content_types: impl IntoIterator<Item = T>) -> Self {
        self.accept = content_types.into_iter().map(Into::into).collect();
        self
    }

    /// What becomes of a message that cannot be decoded or is not accepted (by default `Outcome::reject(error)`).
    pub fn on_decode_error<F>(mut self, decide: F) -> Self
    where
        F: Fn(&DecodeError, &Message) -> Outcome + Send + Sync + 'static,
    {
        self.on_decode_error = Some(Arc::new(decide));
        self
    }

    /// This runs around each message, on the thread that runs the handler; call it again for more, first in is outermost.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// The broker serves consumers of a higher priority first (0 by default).
    /// See <https://www.rabbitmq.com/docs/consumer-priority>.
    pub fn priority(self, priority: i32) -> Self {
        self.argument("x-priority", priority)
    }

    /// Nobody else may consume from the queue while this does.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// This sets any other consumer argument.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }

    /// The handler runs on the thread that owns the queue, without a hop to the pool: fastest, for handlers that are cheap and
    /// never block. One message at a time, whatever [`concurrency`](Consumer::concurrency) says.
    pub fn on_intake_thread(mut self) -> Self {
        self.on_intake_thread = true;
        self
    }

    /// This stops handling for a while when nearly everything fails (off by default): what the handler stands on is then likely
    /// away, and messages should not use up their attempts meanwhile. A reconnect closes an open switch.
    pub fn kill_switch(mut self, kill_switch: KillSwitch) -> Self {
        self.kill_switch = Some(kill_switch);
        self
    }

    /// A message is archived without being handled when it has come again so often, because its worker ended or lost its
    /// connection before it had said what becomes of it (at least 1; 3 or more tell the culprit from its neighbours).
    ///
    /// Everything that a worker held when it ended comes again, not the culprit alone. So what has come again half as often is
    /// handled alone: nothing more is consumed until all else is settled, and then one such message after the other is handled.
    ///
    /// On a quorum queue the broker counts, and this is on by default: at the queue's `x-delivery-limit` (20 if it has none),
    /// since beyond that the broker itself would drop the message
    /// (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>). What is handed back counts as well, up to RabbitMQ 4.2.
    /// A negative limit of the queue turns it off, unless this is set; with [`RetryLayout::Bare`](crate::RetryLayout::Bare), which
    /// could only lose the message, it is left to the broker, unless this is set. With [`RetryLayout::Native`] the policy's retries come on top,
    /// because the broker counts those as well.
    ///
    /// On any other queue it is off by default, because there the worker has to count: what comes again is first published to the
    /// end of its queue with its count in a header ([`headers::REDELIVERIES`](crate::headers::REDELIVERIES)), confirmed and acked,
    /// and handled when its turn has come. So it loses its place; where the queue is full and refuses it, it is handled alone at once,
    /// without being counted. Whatever is handed back comes again too, and is counted like the rest: by a shutdown, an
    /// [`Outcome::Requeue`](crate::Outcome::Requeue), a kill switch that was open for long.
    pub fn poison_after(mut self, deliveries: u32) -> Self {
        self.poison_after = Some(deliveries.max(1));
        self
    }

    /// A handler that runs for longer is warned of, by queue and message, and counted; it goes on all the same (no such limit by
    /// default). When it ends, it is told how long it took.
    pub fn soft_time_limit(mut self, limit: Duration) -> Self {
        self.time_limits.soft = Some(limit);
        self
    }

    /// A handler that runs for longer counts as stuck: an error is logged, and again each time its time has doubled (10 minutes by
    /// default; [`Duration::MAX`] for never). It is good to know before the broker takes the message away, by default after half an
    /// hour: <https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>.
    pub fn stuck_after(mut self, limit: Duration) -> Self {
        self.time_limits.stuck = limit;
        self
    }

    /// When a handler runs for longer, the worker halts with the exit code [`EXIT_STUCK`](crate::EXIT_STUCK), so that whoever
    /// starts it again gets rid of what hangs, and the broker delivers the message again (no such limit by default). The other
    /// handlers may finish within [`drain_within`](crate::Worker::drain_within); the process then leaves whatever still runs.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limits.leave = Some(limit);
        self
    }

    /// When somebody deletes the queue while it is consumed, the worker halts with this exit code. By default a queue that was
    /// declared here is declared again, and another team's is waited for. An auto-delete queue goes with its last consumer, so also
    /// when the channel is lost.
    pub fn halt_when_deleted(mut self, code: u8) -> Self {
        self.halt_when_deleted = Some(code);
        self
    }

    /// The queue it consumes from.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The same with its queue as the broker has named it just now, where the broker is to name it.
    pub(crate) fn named_by(&self, connection: &Connection) -> Result<Self, Error> {
        let mut named = self.clone();
        if self.queue.name.is_empty() {
            named.queue.name = connection.declare_queue(&self.queue)?.name;
            let Queue { name, exclusive, auto_delete, arguments, .. } = &named.queue;
            if !exclusive && !auto_delete && !arguments.contains_key("x-expires") {
                log::warn!(
                    "`{name}`, named by the broker, stays when its connection is lost, and fills up with what nobody consumes: the \
                     next connection has another one; declare it `exclusive` or `auto_delete`"
                );
            }
        }
        Ok(named)
    }

    pub(crate) fn exit_code_when_deleted(&self) -> Option<u8> {
        self.halt_when_deleted
    }

    pub(crate) fn runs_on_intake_thread(&self) -> bool {
        self.on_intake_thread
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.concurrency
    }

    fn native_retries(&self) -> Option<u32> {
        self.layout.is_native().then(|| self.retry.retries())
    }

    pub(crate) fn switch(&self) -> Option<Switch> {
        self.kill_switch.clone().map(Switch::new)
    }

    pub(crate) fn queues_around(&self, declared: &Topology) -> Layout {
        let layout = Layout::of(&self.queue, &self.retry, &self.layout, self.archive, declared);
        layout.trusting(self.trusts_dead_letters)
    }

    pub(crate) fn time_limits(&self) -> TimeLimits {
        self.time_limits
    }

    pub(crate) fn performance(&self, declared: &Topology, frame_max: u32, tally: Arc<Tally>) -> Performance {
        Performance {
            handler: self.handler.clone(),
            hooks: self.hooks.clone(),
            accept: self.accept.clone(),
            on_decode_error: self.on_decode_error.clone(),
            layout: self.queues_around(declared).fitting(frame_max),
            poison: Poison::of(&self.queue, self.poison_after, self.native_retries(), self.layout.is_bare()),
            tally,
        }
    }

    pub(crate) fn subscription(&self) -> Subscription {
        Subscription {
            queue: self.queue.name.clone(),
            prefetch: self.prefetch,
            exclusive: self.exclusive,
            arguments: self.arguments.clone(),
        }
    }

    /// What to declare beside its own queue; what is declared here anyway, as it is.
    pub(crate) fn beside(&self, declared: &Topology, quorum_archive: bool) -> Topology {
        let mut beside = self.queues_around(declared).topology(quorum_archive);
        for queue in &mut beside.queues {
            if let Some(same) = declared.queues.iter().find(|other| other.name == queue.name) {
                *queue = same.clone();
            }
        }
        beside
    }

    /// Whether the broker has what the layout of its retries needs.
    pub(crate) fn check_broker(&self, connection: &Connection) -> Result<(), Error> {
        match self.layout.first_version() {
            Some(first @ (major, minor, patch)) if !connection.is_rabbitmq_from(first) => {
                let (queue, server) = (&self.queue.name, connection.server());
                Err(Error::new(
                    Fault::Config,
                    format!(
                        "the consumer of `{queue}` leaves retries to the queue ({:?}), which needs RabbitMQ \
                         {major}.{minor}.{patch} or later; this is {server}, where failed messages would come again at once, for ever; \
                         use `RetryLayout::Levels` with a queue declared without `delayed_retry`",
                        self.layout
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consumer({:?}, prefetch {})", self.queue.name, self.prefetch)
    }
}
