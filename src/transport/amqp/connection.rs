//! One connection to RabbitMQ: opened over a socket of our own, every call under a deadline.

use super::address::{Address, Addresses};
use super::deadline::Deadline;
use super::settings::Mechanism;
use super::stream::Speech;
use super::wire::{Screened, Seen};
use super::{convert, dial, fault, outlet, source};
use crate::error::{Error, Fault};
use crate::limits::{check_name, long_name};
use crate::message::Table;
use crate::topology::{Binding, Exchange, ExchangeKind, Queue};
use crate::transport::{ConsumeVisit, PublishVisit, QueueStatus, Subscription, Transport};
use amiquip::{Channel, ConnectionBlockedNotification, ConnectionOptions, ConnectionTuning, ExchangeType};
use crossbeam_channel::Receiver;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a call on an open connection may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(10);

/// An open connection to RabbitMQ.
pub(crate) struct AmqpConnection {
    inner: Mutex<Inner>,
    socket: Arc<TcpStream>,
    deadline: Deadline,
    blocked: Receiver<ConnectionBlockedNotification>,
    seen: Arc<Seen>,
    server: String,
    place: String,
}

struct Inner {
    connection: Option<amiquip::Connection>,
    failure: Option<(Fault, String)>,
}

impl AmqpConnection {
    /// Connects to one of the hosts; `name` is what an operator sees among the connection's client properties.
    pub fn open_any(addresses: &Addresses, name: &str, is_wanted: impl Fn() -> bool) -> Result<Self, Error> {
        dial::any(addresses, &is_wanted, |address| {
            let (address, name) = (address.clone(), name.to_owned());
            dial::while_wanted(&is_wanted, move || AmqpConnection::open(&address, &name))
        })
    }

    fn open(address: &Address, name: &str) -> Result<Self, Error> {
        let settings = &address.settings;
        let speech = Speech::with(address)?;
        let due = Instant::now() + settings.connection_timeout;
        let left = || due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let (socket, kept) = dial::connect(address, due)?;
        let kept = Arc::new(kept);
        let deadline = Deadline::over(kept.clone());
        let stream = deadline.within(left(), || speech.begin(socket));
        let stream = stream.map_err(|err| fault::shaking(err, &address.to_string(), deadline.has_passed()))?;
        let stream = Screened::new(stream, settings.frame_max);
        let seen = stream.seen();
        let options = ConnectionOptions::default()
            .auth(match settings.mechanism {
                Mechanism::Plain => amiquip::Auth::Plain { username: address.user.clone(), password: address.password.clone() },
                Mechanism::External => amiquip::Auth::External,
            })
            .virtual_host(address.virtual_host.clone())
            .channel_max(settings.channel_max)
            .frame_max(settings.frame_max)
            .heartbeat(u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX))
            // Ours comes first, and is told apart from a refused login; this one would not be.
            .connection_timeout(Some(left() + CALL_LIMIT))
            // amiquip lets `information` be set among the client properties, and nothing else.
            .information(Some(name.to_owned()));
        let opened =
            deadline.within(left(), || amiquip::Connection::insecure_open_stream(stream, options, ConnectionTuning::default()));
        let mut connection = opened.map_err(|err| match seen.complaint() {
            Some((fault, why)) => Error::new(fault, format!("{address} did not answer as a broker: {why}")),
            None => fault::opening(&err, address, deadline.has_passed()),
        })?;
        let blocked = connection
            .listen_for_connection_blocked()
            .map_err(|err| fault::calling(&err, "listen for alarms", deadline.has_passed()))?;
        let server = server(&connection);
        let inner = Mutex::new(Inner { connection: Some(connection), failure: None });
        Ok(AmqpConnection { inner, socket: kept, deadline, blocked, seen, server, place: address.to_string() })
    }

    /// Which of the hosts it is open to, and as whom.
    pub fn place(&self) -> String {
        self.place.clone()
    }

    /// The largest frame on this connection.
    pub fn frame_max(&self) -> u32 {
        self.seen.frame_max()
    }

    pub(super) fn blocked(&self) -> &Receiver<ConnectionBlockedNotification> {
        &self.blocked
    }

    /// What was seen on the stream: what was agreed, and which deliveries were mended.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(super) fn deadline_for_channel(&self) -> Deadline {
        Deadline::over(self.socket.clone())
    }

    /// The cause of the connection's end, which amiquip tells only to whoever closes it.
    pub(super) fn cause_of_end(&self) -> Error {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = inner.connection.take() {
            let closed = self.deadline.within(CALL_LIMIT, || connection.close());
            let overran = self.deadline.has_passed();
            let cause = match closed {
                _ if overran => Error::new(Fault::Timeout, "the broker did not answer in time"),
                Ok(()) => Error::new(Fault::Lost, "the connection was closed"),
                Err(err) => fault::ended(&err),
            };
            inner.failure = Some((cause.fault(), cause.to_string()));
        }
        match &inner.failure {
            Some((fault, what)) => Error::new(*fault, what.clone()),
            None => Error::new(Fault::Lost, "the connection was closed"),
        }
    }

    fn open_channel(&self) -> Result<Channel, Error> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = inner.connection.as_mut() else {
            let cause = inner.failure.as_ref().map_or("it is closed", |(_, what)| what.as_str());
            return Err(Error::new(Fault::Lost, format!("could not open a channel: {cause}")));
        };
        let opened = self.deadline.within(CALL_LIMIT, || connection.open_channel(None));
        opened.map_err(|err| fault::calling(&err, "open a channel", self.deadline.has_passed()))
    }

    /// Runs one call on a channel of its own, because an error closes the channel that it happens on.
    fn call<T>(&self, deed: String, call: impl FnOnce(&Channel) -> amiquip::Result<T>) -> Result<T, Error> {
        let channel = self.open_channel()?;
        let deadline = self.deadline_for_channel();
        let result = deadline.within(CALL_LIMIT, || call(&channel));
        let result = result.map_err(|err| fault::calling(&err, &deed, deadline.has_passed()));
        let _ = deadline.within(CALL_LIMIT, || channel.close());
        result
    }
}

impl Transport for AmqpConnection {
    fn server(&self) -> String {
        self.server.clone()
    }

    fn declare_exchange(&self, exchange: &Exchange) -> Result<(), Error> {
        check("exchange", &exchange.name, &exchange.arguments)?;
        let deed = format!("declare the exchange `{}`", exchange.name);
        let options = amiquip::ExchangeDeclareOptions {
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: convert::table_to(&exchange.arguments),
        };
        self.call(deed, |channel| match exchange.passive {
            true => channel.exchange_declare_passive(&exchange.name).map(drop),
            false => channel.exchange_declare(kind(&exchange.kind), &exchange.name, options).map(drop),
        })
    }

    fn declare_queue(&self, queue: &Queue) -> Result<QueueStatus, Error> {
        check("queue", &queue.name, &queue.arguments)?;
        let deed = format!("declare the queue `{}`", queue.name);
        let options = amiquip::QueueDeclareOptions {
            durable: queue.durable,
            exclusive: queue.exclusive,
            auto_delete: queue.auto_delete,
            arguments: convert::table_to(&queue.arguments),
        };
        self.call(deed, |channel| {
            let declared = match queue.passive {
                true => channel.queue_declare_passive(&queue.name)?,
                false => channel.queue_declare(&queue.name, options)?,
            };
            Ok(QueueStatus {
                name: declared.name().to_owned(),
                messages: declared.declared_message_count().unwrap_or(0),
                consumers: declared.declared_consumer_count().unwrap_or(0),
            })
        })
    }

    fn bind_queue(&self, queue: &str, binding: &Binding) -> Result<(), Error> {
        check("exchange", &binding.exchange, &binding.arguments)?;
        check_name("binding", &binding.routing_key).map_err(|what| Error::new(Fault::Config, what))?;
        let deed = format!("bind the queue `{queue}` to the exchange `{}`", binding.exchange);
        let arguments = convert::table_to(&binding.arguments);
        self.call(deed, |channel| channel.queue_bind(queue, &binding.exchange, &binding.routing_key, arguments))
    }

    fn unbind_queue(&self, queue: &str, binding: &Binding) -> Result<(), Error> {
        let deed = format!("unbind the queue `{queue}` from the exchange `{}`", binding.exchange);
        let arguments = convert::table_to(&binding.arguments);
        self.call(deed, |channel| channel.queue_unbind(queue, &binding.exchange, &binding.routing_key, arguments))
    }

    fn bind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error> {
        check("exchange", destination, &binding.arguments)?;
        check("exchange", &binding.exchange, &binding.arguments)?;
        check_name("binding", &binding.routing_key).map_err(|what| Error::new(Fault::Config, what))?;
        let deed = format!("bind the exchange `{destination}` to the exchange `{}`", binding.exchange);
        let arguments = convert::table_to(&binding.arguments);
        self.call(deed, |channel| channel.exchange_bind(destination, &binding.exchange, &binding.routing_key, arguments))
    }

    fn unbind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error> {
        let deed = format!("unbind the exchange `{destination}` from the exchange `{}`", binding.exchange);
        let arguments = convert::table_to(&binding.arguments);
        self.call(deed, |channel| channel.exchange_unbind(destination, &binding.exchange, &binding.routing_key, arguments))
    }

    fn delete_queue(&self, queue: &str) -> Result<u32, Error> {
        let options = amiquip::QueueDeleteOptions::default();
        self.call(format!("delete the queue `{queue}`"), |channel| channel.queue_delete(queue, options))
    }

    fn delete_exchange(&self, exchange: &str) -> Result<(), Error> {
        self.call(format!("delete the exchange `{exchange}`"), |channel| channel.exchange_delete(exchange, false))
    }

    fn purge_queue(&self, queue: &str) -> Result<u32, Error> {
        self.call(format!("purge the queue `{queue}`"), |channel| channel.queue_purge(queue))
    }

    fn consume<V: ConsumeVisit>(&self, subscription: &Subscription, visit: V) -> Result<V::Output, Error> {
        source::consume(self, self.open_channel()?, subscription, visit)
    }

    fn publish<V: PublishVisit>(&self, visit: V) -> Result<V::Output, Error> {
        outlet::publish(self, self.open_channel()?, visit)
    }

    fn close(&self, limit: Duration) {
        // A deadline of its own, around the lock too: whoever holds that may be in a call which only the socket's end frees.
        self.deadline_for_channel().within(limit, || {
            let connection = self.inner.lock().unwrap_or_else(PoisonError::into_inner).connection.take();
            // Whatever it says: after this the connection is closed, by word or by force.
            let _ = connection.map(amiquip::Connection::close);
        });
    }
}

impl Drop for AmqpConnection {
    fn drop(&mut self) {
        self.close(CALL_LIMIT);
    }
}

/// What AMQP cannot carry would close the connection.
fn check(what: &str, name: &str, arguments: &Table) -> Result<(), Error> {
    check_name(what, name).map_err(|what| Error::new(Fault::Config, what))?;
    match long_name(arguments) {
        Some(long) => {
            Err(Error::new(Fault::Config, format!("an argument of the {what} `{name}` has a name of {} bytes", long.len())))
        }
        None => Ok(()),
    }
}

fn server(connection: &amiquip::Connection) -> String {
    let properties = convert::table_from(connection.server_properties());
    let text = |name: &str| properties.get(name).map(ToString::to_string).unwrap_or_else(|| "unknown".into());
    format!("{} {}", text("product"), text("version"))
}

fn kind(ours: &ExchangeKind) -> ExchangeType {
    match ours {
        ExchangeKind::Direct => ExchangeType::Direct,
        ExchangeKind::Fanout => ExchangeType::Fanout,
        ExchangeKind::Topic => ExchangeType::Topic,
        ExchangeKind::Headers => ExchangeType::Headers,
        ExchangeKind::Other(name) => ExchangeType::Custom(name.clone()),
    }
}
