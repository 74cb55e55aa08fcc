//! What the rest of the crate sees of a transport: a broker, a connection to it, and what to ask of the connection.

mod inbox;
pub(crate) mod mismatch;
#[cfg(any(feature = "cli", test))]
mod probe;
mod publish_all;
mod publish_each;
mod subscribe;
mod version;

pub use inbox::Inbox;
#[cfg(feature = "cli")]
pub(crate) use probe::{DeliveryLimit, Room};
pub use publish_each::{Answers, Receipt};
pub use subscribe::Subscribe;

use crate::clock::{later, Clock};
use crate::delivered::Message;
use crate::error::{Error, Fault};
use crate::message::Publication;
use crate::topology::{Binding, Exchange, Queue, Topology};
use crate::transport::amqp::{Addresses, AmqpConnection};
use crate::transport::memory::{MemoryBroker, MemoryConnection};
use crate::transport::{ConsumeVisit, PublishVisit, QueueStatus, Subscription, Transport};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where to connect: a RabbitMQ, or a broker in this process.
///
/// ```
/// use bootstep::{Broker, MemoryBroker};
///
/// let rabbitmq = Broker::amqp("amqp://guest:guest@localhost")?;
/// assert_eq!(rabbitmq.to_string(), "guest@localhost:5672, virtual host `/`");
/// let here = Broker::from(&MemoryBroker::new());
/// assert_eq!(here.to_string(), "the memory broker");
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone)]
pub struct Broker(Place);

#[derive(Clone)]
enum Place {
    Amqp(Addresses),
    Memory(MemoryBroker),
    /// A setting that cannot be used: told when somebody connects, so that making a broker cannot fail.
    Wrong(String),
}

impl Broker {
    /// The broker that the environment variable `AMQP_URL` names; without it, `amqp://guest:guest@localhost:5672`.
    ///
    /// A URL that cannot be read is an error at boot.
    pub fn from_env() -> Self {
        match std::env::var("AMQP_URL") {
            Err(std::env::VarError::NotPresent) => Broker::amqp("amqp://localhost").expect("this is a good URL"),
            Err(_) => Broker(Place::Wrong("the environment variable `AMQP_URL` is not UTF-8".into())),
            Ok(url) => Broker::amqp(&url).unwrap_or_else(|err| Broker(Place::Wrong(format!("`AMQP_URL`: {err}")))),
        }
    }

    /// The RabbitMQ at this URL: `amqp://user:password@host:port/virtual-host?heartbeat=10`.
    ///
    /// It may name several hosts of one cluster, `amqp://user:password@a,b:5673,[::1]/virtual-host`. On every connect they are
    /// tried in random order until one is open; if none is, the error names each with its cause. Each has the whole
    /// `connection_timeout`: as many silent hosts take as many times that.
    ///
    /// | in the query | default | what it sets |
    /// |---|---|---|
    /// | `heartbeat` | 10 | seconds; a broker that is silent for two of them is lost; 0 for none |
    /// | `connection_timeout` | 10000 | milliseconds; for each host by itself, everything up to the open connection |
    /// | `channel_max` | 0 | the most channels on a connection, a consumer needs one; 0 for what the broker grants |
    /// | `frame_max` | what the broker proposes | bytes, 4096 to 16777216: the largest frame, and so the most that all headers of a message sent from here may have |
    ///
    /// | `auth_mechanism` | `plain` | `external`: the client certificate says who we are, not user and password |
    ///
    /// `amqps://` is TLS, on port 5671 by default, and needs the feature `tls`:
    ///
    /// | in the query | default | what it sets |
    /// |---|---|---|
    /// | `cacertfile` | the system's | a PEM file of the authorities that may have signed the broker's certificate |
    /// | `certfile`, `keyfile` | none | PEM files of a certificate of ours, with its chain, and its key, which has no password |
    /// | `server_name_indication` | the host | the name or address to find in the broker's certificate, on all hosts |
    /// | `verify` | `verify_peer` | nothing else: the broker's certificate is always checked |
    ///
    /// The files are read on every connect, so a renewed one needs no restart.
    ///
    /// What stands for something else in a URL is written as a percent escape, such as `%2f` for a `/` in a password or in the
    /// name of a virtual host. A password never shows in an error, a log line or a `Debug` output.
    ///
    /// # Errors
    /// When the URL cannot be read ([`Fault::Config`]).
    pub fn amqp(url: &str) -> Result<Self, Error> {
        Addresses::parse(url).map(|addresses| Broker(Place::Amqp(addresses)))
    }

    /// Whichever RabbitMQ can be connected to, of all hosts in these URLs; each URL has its own user, virtual host and query.
    ///
    /// ```
    /// let broker = bootstep::Broker::amqp_any(["amqp://a", "amqp://user:password@b:5673/orders"])?;
    /// assert_eq!(broker.to_string(), "guest@a:5672, virtual host `/`, or user@b:5673, virtual host `orders`");
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no URL, or one cannot be read ([`Fault::Config`]).
    pub fn amqp_any<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let urls: Vec<U> = urls.into_iter().collect();
        Addresses::parse_all(urls.iter().map(AsRef::as_ref)).map(|addresses| Broker(Place::Amqp(addresses)))
    }

    /// The RabbitMQ at these hosts.
    #[cfg(feature = "cli")]
    pub(crate) fn at(addresses: Addresses) -> Self {
        Broker(Place::Amqp(addresses))
    }

    /// The clock that everything goes by here: the system's, or the memory broker's.
    pub fn clock(&self) -> Clock {
        match &self.0 {
            Place::Memory(memory) => memory.clock(),
            _ => Clock::system(),
        }
    }

    /// This connects; `name` is what an operator sees of the connection (`information` among its client properties).
    ///
    /// # Errors
    /// [`Fault::Unreachable`] and [`Fault::Timeout`] may pass; the others want somebody to change something: a setting or a file
    /// ([`Fault::Config`]), a login or a certificate that one end refuses ([`Fault::AccessRefused`]). With several hosts
    /// it is one that may pass, if any of their errors is.
    pub fn connect(&self, name: &str) -> Result<Connection, Error> {
        self.connect_while(name, || true)
    }

    /// This connects as [`connect`](Broker::connect) does, and tries no further host once it is not wanted any more: silent hosts
    /// take their time one after the other, and a worker that is to stop should not wait for all of them.
    ///
    /// # Errors
    /// As `connect`; [`Fault::Unreachable`] if it was given up.
    pub fn connect_while(&self, name: &str, is_wanted: impl Fn() -> bool) -> Result<Connection, Error> {
        let link = match &self.0 {
            Place::Amqp(addresses) => Link::Amqp(AmqpConnection::open_any(addresses, name, is_wanted)?),
            Place::Memory(memory) => Link::Memory(memory.connect(name)?),
            Place::Wrong(what) => return Err(Error::new(Fault::Config, what.clone())),
        };
        Ok(Connection(Arc::new(Shared { link, lost: AtomicBool::new(false), when_lost: Mutex::new(None) })))
    }
}

impl From<&MemoryBroker> for Broker {
    fn from(memory: &MemoryBroker) -> Self {
        Broker(Place::Memory(memory.clone()))
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Amqp(addresses) => write!(f, "{addresses}"),
            Place::Memory(_) => f.write_str("the memory broker"),
            Place::Wrong(what) => f.write_str(what),
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({self})")
    }
}

/// An open connection, shared by all who use it; it closes when the last of them lets go.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    link: Link,
    lost: AtomicBool,
    when_lost: Mutex<Option<WhenLost>>,
}

type WhenLost = Box<dyn FnOnce(Error) + Send>;

#[allow(clippy::large_enum_variant)] // one per connection, behind an Arc
enum Link {
    Amqp(AmqpConnection),
    Memory(MemoryConnection),
}

/// Calls the same method on whichever flavour this is.
macro_rules! on_link {
    ($self:ident, $link:ident => $call:expr) => {
        match &$self.0.link {
            Link::Amqp($link) => $call,
            Link::Memory($link) => $call,
        }
    };
}

impl Connection {
    /// The broker's product and version, such as `RabbitMQ 3.10.8`.
    pub fn server(&self) -> String {
        on_link!(self, link => link.server())
    }

    /// Where it is open to, and as whom, such as `guest@localhost:5672, virtual host `/``: one of the broker's hosts.
    pub fn place(&self) -> String {
        on_link!(self, link => link.place())
    }

    /// The largest frame, which all properties and headers of a message have to fit into.
    pub(crate) fn frame_max(&self) -> u32 {
        on_link!(self, link => link.frame_max())
    }

    /// Whether the broker is RabbitMQ of this version or later.
    pub(crate) fn is_rabbitmq_from(&self, first: (u32, u32, u32)) -> bool {
        version::is_rabbitmq_from(&self.server(), first)
    }

    /// This declares all exchanges, binds them to each other, and then declares queues with their bindings.
    ///
    /// # Errors
    /// [`Fault::Mismatch`] when one exists with other arguments; the error says which, and how.
    pub fn declare(&self, topology: &Topology) -> Result<(), Error> {
        // An exchange may be bound to one that is declared after it.
        topology.exchanges.iter().try_for_each(|exchange| self.declare_unbound(exchange))?;
        topology.exchanges.iter().try_for_each(|exchange| self.bind_declared(exchange))?;
        topology.queues.iter().try_for_each(|queue| self.declare_queue(queue).map(drop))
    }

    /// This declares an exchange and its bindings, or checks that a passive one exists (and binds it, if bindings are given).
    pub fn declare_exchange(&self, exchange: &Exchange) -> Result<(), Error> {
        self.declare_unbound(exchange)?;
        self.bind_declared(exchange)
    }

    fn declare_unbound(&self, exchange: &Exchange) -> Result<(), Error> {
        let declared = on_link!(self, link => link.declare_exchange(exchange));
        self.seen(declared.map_err(|err| mismatch::in_words("exchange", &exchange.name, err)))
    }

    fn bind_declared(&self, exchange: &Exchange) -> Result<(), Error> {
        exchange.bindings.iter().try_for_each(|binding| self.bind_exchange(&exchange.name, binding))
    }

    /// This declares a queue and its bindings, or checks that a passive one exists (and binds it, if bindings are given).
    pub fn declare_queue(&self, queue: &Queue) -> Result<QueueStatus, Error> {
        let declared = on_link!(self, link => link.declare_queue(queue));
        let status = self.seen(declared.map_err(|err| mismatch::in_words("queue", &queue.name, err)))?;
        queue.bindings.iter().try_for_each(|binding| self.bind(&status.name, binding))?;
        Ok(status)
    }

    /// The same with the broker's refusal in its own words.
    #[cfg(any(feature = "cli", test))]
    fn declare_as_asked(&self, queue: &Queue) -> Result<QueueStatus, Error> {
        self.seen(on_link!(self, link => link.declare_queue(queue)))
    }

    /// This binds a queue to an exchange; binding it again changes nothing.
    pub fn bind(&self, queue: &str, binding: &Binding) -> Result<(), Error> {
        self.seen(on_link!(self, link => link.bind_queue(queue, binding)))
    }

    /// This takes a binding away; taking it away again changes nothing.
    pub fn unbind(&self, queue: &str, binding: &Binding) -> Result<(), Error> {
        self.seen(on_link!(self, link => link.unbind_queue(queue, binding)))
    }

    /// This binds an exchange to the one that the binding names, where messages come from; binding it again changes nothing.
    pub fn bind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error> {
        self.seen(on_link!(self, link => link.bind_exchange(destination, binding)))
    }

    /// This takes a binding between exchanges away; taking it away again changes nothing.
    pub fn unbind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error> {
        self.seen(on_link!(self, link => link.unbind_exchange(destination, binding)))
    }

    /// This deletes a queue with all it holds, and says how many messages that were.
    pub fn delete_queue(&self, queue: &str) -> Result<u32, Error> {
        self.seen(on_link!(self, link => link.delete_queue(queue)))
    }

    /// This deletes an exchange and the bindings to and from it.
    pub fn delete_exchange(&self, exchange: &str) -> Result<(), Error> {
        self.seen(on_link!(self, link => link.delete_exchange(exchange)))
    }

    /// This removes the ready messages of a queue, and says how many there were.
    pub fn purge_queue(&self, queue: &str) -> Result<u32, Error> {
        self.seen(on_link!(self, link => link.purge_queue(queue)))
    }

    /// This publishes messages and waits until the broker has confirmed all of them.
    ///
    /// # Errors
    /// [`Fault::NotTaken`] when the broker nacked one, or returned a mandatory one; [`Fault::Timeout`] when the confirms did
    /// not come in time; [`Fault::NotFound`] when there is no such exchange.
    pub fn publish(&self, publications: &[Publication], within: Duration) -> Result<(), Error> {
        let visit = publish_all::PublishAll { publications, due: later(Instant::now(), within) };
        self.seen(on_link!(self, link => link.publish(visit)).and_then(|published| published))
    }

    /// This consumes a queue on the calling thread for as long as `visit` runs; whatever is not settled then goes back. For
    /// tools and tests: a worker consumes by its consumer steps.
    ///
    /// # Errors
    /// When the queue does not exist, or may not be consumed.
    pub fn consume<R>(&self, queue: &str, prefetch: u16, visit: impl FnOnce(&mut Inbox<'_>) -> R) -> Result<R, Error> {
        self.consume_with(queue, &Subscribe::new().prefetch(prefetch), visit)
    }

    /// The same, with what else a consumer may ask for: a priority, to be alone.
    ///
    /// # Errors
    /// [`Fault::AccessRefused`] when another consumer is in the way.
    pub fn consume_with<R>(
        &self,
        queue: &str,
        options: &Subscribe,
        visit: impl FnOnce(&mut Inbox<'_>) -> R,
    ) -> Result<R, Error> {
        self.visit(&options.to(queue), inbox::visitor(queue.into(), visit))
    }

    /// This closes the connection, at the latest after `within`.
    pub fn close(&self, within: Duration) {
        self.0.when_lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        on_link!(self, link => link.close(within));
    }

    /// This is called once, when somebody finds the connection lost; not after [`close`](Connection::close).
    pub fn when_lost(&self, tell: impl FnOnce(Error) + Send + 'static) {
        *self.0.when_lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(tell));
    }

    pub(crate) fn visit<V: ConsumeVisit>(&self, subscription: &Subscription, visit: V) -> Result<V::Output, Error> {
        self.seen(on_link!(self, link => link.consume(subscription, visit)))
    }

    pub(crate) fn visit_outlet<V: PublishVisit>(&self, visit: V) -> Result<V::Output, Error> {
        self.seen(on_link!(self, link => link.publish(visit)))
    }

    /// Tells whoever wants to know, once, that the connection is gone.
    pub(crate) fn tell_lost(&self, error: &Error) {
        if !self.0.lost.swap(true, Ordering::AcqRel) {
            let tell = self.0.when_lost.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(tell) = tell {
                tell(Error::new(error.fault(), error.to_string()));
            }
        }
    }

    fn seen<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(err) = &result {
            // A call that overran shut its socket: the connection is as lost as if the broker had gone.
            if matches!(err.fault(), Fault::Lost | Fault::Timeout) {
                self.tell_lost(err);
            }
        }
        result
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.server())
    }
}

/// A message together with the tag to settle it by, from an [`Inbox`].
#[derive(Debug)]
pub struct Letter {
    /// What to settle it by.
    pub tag: u64,
    /// The message.
    pub message: Message,
}
