//! The broker as its user holds it: declare, publish, look, turn the clock, cut the line.

use super::connection::MemoryConnection;
use super::copies;
use super::expire::Timer;
use super::queue::Entry;
use super::refusal::{self, Refusal};
use super::route::{self, Publisher};
use super::state::State;
use crate::clock::Clock;
use crate::error::{Error, Fault};
use crate::message::Publication;
use crate::topology::{Exchange, Queue, Topology};
use crate::transport::{QueueStatus, Taken};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Whoever holds the broker itself comes over no connection.
const NO_CONNECTION: u64 = 0;

/// A broker in this process, for tests and for trying out: RabbitMQ's semantics, no socket, and a clock turned by hand.
///
/// What it does not model it refuses: an argument that it does not know is an error. A clone is the same broker.
///
/// ```
/// use bootstep::{MemoryBroker, Publication, Queue};
/// use std::time::Duration;
///
/// let broker = MemoryBroker::new();
/// broker.declare_queue(&Queue::new("orders"))?;
/// broker.declare_queue(&Queue::new("later").message_ttl(Duration::from_secs(60)).dead_letter_to("", "orders"))?;
///
/// broker.publish(Publication::new("", "later", "two cups"))?;
/// assert!(broker.bodies("orders").is_empty());
///
/// broker.advance(Duration::from_secs(60));
/// assert_eq!(broker.bodies("orders"), [b"two cups"]);
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    pub(super) core: Arc<Core>,
}

/// What broker, connections and timer share.
pub(super) struct Core {
    pub clock: Clock,
    state: Mutex<State>,
    /// Told of every change while somebody waits for the broker to come to rest.
    pub changed: Condvar,
    pub waiting: AtomicUsize,
    /// Confirms sent and not yet read by their publishers.
    pub unread: AtomicU64,
}

impl Core {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the broker's state panics")
    }

    /// Does something to the state, and tells whoever waits for the broker to come to rest.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let output = act(&mut state);
        let is_awaited = self.waiting.load(Ordering::SeqCst) > 0;
        drop(state);
        if is_awaited {
            self.changed.notify_all();
        }
        output
    }

    pub fn confirms_were_read(&self, count: u64) {
        self.unread.fetch_sub(count, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Whoever waits has either seen this count or waits by the time the lock is free: no wake is lost.
            drop(self.lock());
            self.changed.notify_all();
        }
    }
}

impl MemoryBroker {
    /// An empty broker whose clock is turned by [`advance`](MemoryBroker::advance).
    pub fn new() -> Self {
        MemoryBroker::with_clock(Clock::by_hand())
    }

    /// An empty broker that reads the given clock.
    ///
    /// With [`Clock::system`] messages expire by themselves. A clock by hand that others turn is noticed at the next call on
    /// the queue, or by [`advance`](MemoryBroker::advance).
    pub fn with_clock(clock: Clock) -> Self {
        let core = Arc::new_cyclic(|core| Core {
            state: Mutex::new(State::new(clock.clone(), Timer::new(core.clone(), &clock))),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            unread: AtomicU64::new(0),
            clock,
        });
        MemoryBroker { core }
    }

    /// The clock that messages expire by.
    pub fn clock(&self) -> Clock {
        self.core.clock.clone()
    }

    /// The time by that clock.
    pub fn now(&self) -> Instant {
        self.core.clock.now()
    }

    /// Turns the clock forward, and lets all messages expire that are due then; a system clock does not turn.
    pub fn advance(&self, by: Duration) {
        // What is out was delivered before the clock turns.
        self.core.with(State::note_deliveries);
        self.core.clock.advance(by);
        self.core.with(State::expire_due);
    }

    /// How long a consumer may hold a message before its channel is closed (30 minutes by default, as in RabbitMQ; `None` is
    /// for ever). A queue's own `x-consumer-timeout`, in milliseconds, comes first.
    ///
    /// It goes by the broker's clock: whoever advances that by an hour while a handler runs takes its message away.
    pub fn consumer_timeout(&self, timeout: Option<Duration>) {
        self.core.with(|state| {
            state.consumer_timeout = timeout;
            state.watch_consumers();
        });
    }

    /// Declares all exchanges, binds them to each other, and then declares queues with their bindings.
    ///
    /// # Errors
    /// As in RabbitMQ, and [`Fault::Unsupported`] for what is not modelled.
    pub fn declare(&self, topology: &Topology) -> Result<(), Error> {
        // An exchange may be bound to one that is declared after it.
        topology.exchanges.iter().try_for_each(|exchange| self.declare_unbound(exchange))?;
        topology.exchanges.iter().try_for_each(|exchange| self.bind_declared(exchange))?;
        topology.queues.iter().try_for_each(|queue| self.declare_queue(queue).map(drop))
    }

    /// Declares an exchange and its bindings.
    ///
    /// # Errors
    /// As in RabbitMQ, and [`Fault::Unsupported`] for what is not modelled.
    pub fn declare_exchange(&self, exchange: &Exchange) -> Result<(), Error> {
        self.declare_unbound(exchange)?;
        self.bind_declared(exchange)
    }

    fn declare_unbound(&self, exchange: &Exchange) -> Result<(), Error> {
        let declared = self.core.with(|state| state.declare_exchange(exchange));
        declared.map_err(|refusal| refusal.to(&format!("declare the exchange `{}`", exchange.name)))
    }

    fn bind_declared(&self, exchange: &Exchange) -> Result<(), Error> {
        let bind =
            |state: &mut State| exchange.bindings.iter().try_for_each(|binding| state.bind_exchange(&exchange.name, binding));
        self.core.with(bind).map_err(|refusal| refusal.to(&format!("bind the exchange `{}`", exchange.name)))
    }

    /// Declares a queue and its bindings.
    ///
    /// # Errors
    /// As in RabbitMQ, and [`Fault::Unsupported`] for what is not modelled.
    pub fn declare_queue(&self, queue: &Queue) -> Result<QueueStatus, Error> {
        let declared = self.core.with(|state| {
            if queue.exclusive {
                return Err(refusal::unsupported("an exclusive queue needs a connection that it can belong to"));
            }
            let status = state.declare_queue(queue, NO_CONNECTION)?;
            queue.bindings.iter().try_for_each(|binding| state.bind(&status.name, binding, NO_CONNECTION))?;
            Ok(status)
        });
        declared.map_err(|refusal: Refusal| refusal.to(&format!("declare the queue `{}`", queue.name)))
    }

    /// Publishes a message, which is on its queues when this returns.
    ///
    /// # Errors
    /// [`Fault::NotTaken`] if no queue is bound for it or one refuses it; otherwise as in RabbitMQ.
    pub fn publish(&self, publication: Publication) -> Result<(), Error> {
        let whither = format!("publish to `{}` with the routing key `{}`", publication.exchange, publication.routing_key);
        // Whoever calls this wants to know, even if the message says that its publisher does not.
        let publication = publication.mandatory();
        let checked = route::check(&publication);
        let taken = self.core.with(|state| state.publish(&publication.exchange, checked, Publisher::New));
        match taken.map_err(|refusal| refusal.to(&whither))? {
            Taken::Yes => Ok(()),
            refused => Err(Error::new(Fault::NotTaken, format!("could not {whither}: {}", refused.reason()))),
        }
    }

    /// The bodies of the ready messages of a queue, the next to be delivered first; none if there is no such queue.
    pub fn bodies(&self, queue: &str) -> Vec<Vec<u8>> {
        self.messages(queue).iter().map(|message| message.body().to_vec()).collect()
    }

    /// The same as text: a failed assertion prints what a reader can read. What is not UTF-8 is replaced by `\u{FFFD}`.
    pub fn texts(&self, queue: &str) -> Vec<String> {
        self.messages(queue).iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
    }

    /// The ready messages of a queue as they would be delivered; none if there is no such queue.
    pub fn messages(&self, queue: &str) -> Vec<Publication> {
        self.core.with(|state| {
            state.expire_due();
            let Some(queue) = state.names.get(queue).and_then(|id| state.queues.get(id)) else { return Vec::new() };
            let delivered = |entry: &Entry| copies::without_blind(entry.delivered_parts(queue.policy.is_quorum));
            queue.ready().iter().map(|entry| publication_of(&delivered(entry))).collect()
        })
    }

    /// The names of all queues, sorted.
    pub fn queue_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.core.lock().names.keys().cloned().collect();
        names.sort();
        names
    }

    /// How many consumers a queue has: one for each worker and consumer of it that is connected; 0 if there is no such queue.
    pub fn consumers(&self, queue: &str) -> usize {
        let state = self.core.lock();
        state.names.get(queue).and_then(|id| state.queues.get(id)).map_or(0, |queue| queue.line.len())
    }

    /// Cuts every open connection, as a network that goes away would: what is unsettled goes back to its queue.
    ///
    /// New connections are taken at once; see [`stop_listening`](MemoryBroker::stop_listening). A worker comes back when the
    /// broker's clock has passed its delay, which [`until`](MemoryBroker::until) sees to.
    pub fn sever(&self) {
        self.core.with(|state| {
            // None may get what another gives back: that would count as one more delivery.
            state.channels.values_mut().for_each(|channel| channel.is_cancelled = true);
            for connection in state.connections.keys().copied().collect::<Vec<_>>() {
                state.end_connection(connection);
            }
        });
    }

    /// Takes no new connection until [`listen`](MemoryBroker::listen); open ones stay.
    pub fn stop_listening(&self) {
        self.core.with(|state| state.is_listening = false);
    }

    /// Takes connections again, as a new broker does.
    pub fn listen(&self) {
        self.core.with(|state| state.is_listening = true);
    }

    pub(crate) fn connect(&self, name: &str) -> Result<MemoryConnection, Error> {
        MemoryConnection::open(&self.core, name)
    }
}

fn publication_of(parts: &crate::message::Parts) -> Publication {
    Publication {
        exchange: parts.exchange.clone(),
        routing_key: parts.routing_key.clone(),
        properties: parts.properties.clone(),
        body: parts.body.clone(),
        mandatory: false,
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        MemoryBroker::new()
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBroker({:?})", self.queue_names())
    }
}
