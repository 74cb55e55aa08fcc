//! A message as a handler meets it: its bytes, where it came from, which attempt this is, and what it publishes in turn.

use crate::message::{Delivery, Flaw, Parts, Properties, Publication, Table, Value};
use std::borrow::Cow;
use std::fmt;
use std::ops::Bound::{Included, Unbounded};
use std::sync::{Arc, Mutex, PoisonError};

/// Headers that the worker writes on messages it moves, and by which it counts.
pub mod headers {
    /// How many retries there were before this attempt (int32).
    pub const RETRIES: &str = "x-bootstep-retries";
    /// How many retries there were, in the layout that is shared with celery-message-consumer (int32).
    pub const RETRY_COUNT: &str = "x-retry-count";
    /// How many attempts a quorum queue has counted; the broker writes it, and it counts the retries of the native layout.
    pub const DELIVERY_COUNT: &str = "x-delivery-count";
    /// When the first attempt failed (timestamp, seconds).
    pub const FIRST_FAILED: &str = "x-bootstep-first-failed";
    /// Why the last attempt failed, or why the message was archived or rejected (text, at most 2,000 bytes).
    pub const REASON: &str = "x-bootstep-reason";
    /// The exchange that the message first came by.
    pub const EXCHANGE: &str = "x-bootstep-exchange";
    /// The routing key that the message first came by.
    pub const ROUTING_KEY: &str = "x-bootstep-routing-key";
    /// The queue that the message was consumed from.
    pub const QUEUE: &str = "x-bootstep-queue";
    /// The publisher's expiration, set aside so that it does not end a wait (text, milliseconds).
    pub const EXPIRATION: &str = "x-bootstep-expiration";
    /// The publisher's user id, set aside because the broker takes only that of the connection.
    pub const USER_ID: &str = "x-bootstep-user-id";
    /// How often it came again without a word of its worker since its last retry, where the worker counts that itself (int32; see
    /// [`Consumer::poison_after`](crate::Consumer::poison_after)).
    pub const REDELIVERIES: &str = "x-bootstep-redeliveries";
    /// When it was last sent back to work by `bootstep archive replay` (timestamp, seconds).
    pub const REPLAYED: &str = "x-bootstep-replayed";
    /// How often it was sent back to work by `bootstep archive replay` (int32).
    pub const REPLAYS: &str = "x-bootstep-replays";
    /// With the name of a property (or `exchange`, `routing-key`, `headers`, `properties`) behind it: the bytes of what could not be
    /// read as it came ([`Message::flaw`](super::Message::flaw)).
    pub const ORIGINAL: &str = "x-bootstep-original-";
    /// On every mandatory message that the worker publishes: tells returned messages apart.
    pub const PUBLISH_ID: &str = crate::limits::PUBLISH_ID;
}

/// A message from a queue, handed to a handler by reference: a retry needs its bytes.
///
/// It holds nothing of the transport. What it publishes is collected, and confirmed by the broker before it is acked itself.
pub struct Message {
    pub(crate) parts: Arc<Parts>,
    redelivered: bool,
    queue: Arc<str>,
    flaw: Option<Arc<Flaw>>,
    /// The header that says how many retries there were.
    counted_by: Cow<'static, str>,
    outbox: Mutex<Vec<Publication>>,
}

impl Message {
    pub(crate) fn new(delivery: &Delivery, queue: &Arc<str>) -> Self {
        Message {
            parts: delivery.parts.clone(),
            redelivered: delivery.redelivered,
            queue: queue.clone(),
            flaw: delivery.flaw.clone(),
            counted_by: headers::RETRIES.into(),
            outbox: Mutex::new(Vec::new()),
        }
    }

    /// The same where another header counts the retries.
    pub(crate) fn counted_by(mut self, header: Cow<'static, str>) -> Self {
        self.counted_by = header;
        self
    }

    /// A message that no broker delivered, to call a handler with in a test.
    pub fn from_publication(publication: Publication) -> Self {
        let parts = Parts {
            exchange: publication.exchange,
            routing_key: publication.routing_key.clone(),
            properties: publication.properties,
            body: publication.body,
        };
        Message {
            parts: Arc::new(parts),
            redelivered: false,
            queue: publication.routing_key.into(),
            flaw: None,
            counted_by: headers::RETRIES.into(),
            outbox: Mutex::new(Vec::new()),
        }
    }

    /// The bytes.
    pub fn body(&self) -> &[u8] {
        &self.parts.body
    }

    /// Everything else that the publisher set.
    pub fn properties(&self) -> &Properties {
        &self.parts.properties
    }

    /// One header.
    pub fn header(&self, name: &str) -> Option<&Value> {
        self.parts.properties.headers.as_ref()?.get(name)
    }

    /// What could not be read as it came, if anything: a text that is not UTF-8 (here it has a `?` for each such byte), headers
    /// that break the rules of AMQP or are nested more than 64 deep (here there are none). A worker takes it for a message that
    /// cannot be decoded; one that was moved and is back on its queue stays one.
    pub fn flaw(&self) -> Option<&str> {
        match &self.flaw {
            Some(flaw) => Some(&flaw.why),
            None => self.was_flawed().then_some("it was moved before, and could not be read then"),
        }
    }

    /// What was replaced or taken out did not come back with it.
    fn was_flawed(&self) -> bool {
        let first = self.headers().and_then(|headers| headers.range::<str, _>((Included(headers::ORIGINAL), Unbounded)).next());
        let has_originals = first.is_some_and(|(name, _)| name.starts_with(headers::ORIGINAL));
        has_originals && self.header(headers::QUEUE).and_then(Value::as_str) == Some(self.queue())
    }

    /// The bytes of what could not be read, by name.
    pub(crate) fn originals(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.flaw.iter().flat_map(|flaw| &flaw.originals)
    }

    /// The queue it was consumed from.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The exchange it was first published to, also after retries; empty is the default exchange.
    pub fn exchange(&self) -> &str {
        self.header(headers::EXCHANGE).and_then(Value::as_str).unwrap_or(&self.parts.exchange)
    }

    /// The routing key it was first published with, also after retries.
    pub fn routing_key(&self) -> &str {
        self.header(headers::ROUTING_KEY).and_then(Value::as_str).unwrap_or(&self.parts.routing_key)
    }

    /// Whether the broker has handed it out before and did not hear what became of it.
    pub fn is_redelivered(&self) -> bool {
        self.redelivered
    }

    /// How many retries there were before this attempt.
    pub fn retries(&self) -> u32 {
        // A foreign or broken header must neither fail nor grant more attempts than the policy does.
        let retries =
            self.header(&self.counted_by).and_then(|count| count.as_i64().or_else(|| count.as_str()?.trim().parse().ok()));
        u32::try_from(retries.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.retries().saturating_add(1)
    }

    /// This publishes a persistent message once the handler has returned `Ok(Outcome::Ack)`; the broker confirms it before this
    /// message is acked. A crash in between repeats this message, and so what it publishes. With any other outcome it is not
    /// published: the message's work is not done.
    ///
    /// On the default exchange (`""`) a queue that does not exist is a failed attempt, unless it is the reply queue of a caller
    /// that may have gone (<https://www.rabbitmq.com/docs/direct-reply-to>). On another exchange, what no queue is bound
    /// for is dropped by the broker, as RabbitMQ does; [`send`](Message::send) a [mandatory](Publication::mandatory) message where
    /// that would be a mistake.
    pub fn publish(&self, exchange: impl Into<String>, routing_key: impl Into<String>, body: impl Into<Vec<u8>>) {
        let publication = Publication::new(exchange, routing_key, body);
        // RabbitMQ returns a mandatory reply to such a caller even as it delivers it.
        let to_caller = publication.routing_key.starts_with("amq.rabbitmq.reply-to");
        self.send(if publication.exchange.is_empty() && !to_caller { publication.mandatory() } else { publication });
    }

    /// This publishes a message with properties of its own, as [`publish`](Message::publish) does.
    pub fn send(&self, publication: Publication) {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).push(publication);
    }

    /// What has been published so far with [`publish`](Message::publish) and [`send`](Message::send): for a test that calls a
    /// handler with a message of its own.
    ///
    /// ```
    /// use bootstep::{Message, Publication};
    ///
    /// let message = Message::from_publication(Publication::new("shop", "order.web", "two cups"));
    /// message.publish("shop", "packed", "two cups");
    /// assert_eq!(message.published()[0].routing_key, "packed");
    /// ```
    pub fn published(&self) -> Vec<Publication> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the handler has published so far, taken out.
    pub(crate) fn take_outbox(&self) -> Vec<Publication> {
        std::mem::take(&mut *self.outbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The headers as they came.
    pub fn headers(&self) -> Option<&Table> {
        self.parts.properties.headers.as_ref()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the body: it may hold what must not be logged.
        write!(f, "Message(queue {:?}, key {:?}, {} bytes)", self.queue, self.parts.routing_key, self.parts.body.len())
    }
}
