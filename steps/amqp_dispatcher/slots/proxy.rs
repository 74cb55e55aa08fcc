//! What a consumer does with the message at hand: ack, nack, reject, and publish others.

use bootstep::{BoxError, Error, Message, Outcome, Publication, Publisher, Table};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// How long a publish may wait for the broker's confirm: less than a worker takes to drain.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);

/// What a consumer does with the message at hand. The first of [`ack`](Proxy::ack), [`nack`](Proxy::nack) and
/// [`reject`](Proxy::reject) says what becomes of it; a second one is an error. It is done when `consume` has returned: until then
/// the message is unsettled, and comes again if the process ends.
pub struct Proxy<'m> {
    message: &'m Message,
    publisher: Option<Publisher>,
    response: Cell<Option<Response>>,
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    Ack,
    Nack,
    RejectAndRequeue,
    Reject,
}

/// A consumer has said a second time what is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyResponded;

impl fmt::Display for AlreadyResponded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("already responded to this message; call one of `ack`, `nack` and `reject`, once")
    }
}

impl std::error::Error for AlreadyResponded {}

impl<'m> Proxy<'m> {
    /// For a test that calls a consumer with a message of its own: what it publishes is collected in
    /// [`Message::published`].
    pub fn detached(message: &'m Message) -> Self {
        Proxy { message, publisher: None, response: Cell::new(None) }
    }

    /// The proxy of a worker.
    pub(super) fn new(message: &'m Message, publisher: Publisher) -> Self {
        Proxy { publisher: Some(publisher), ..Proxy::detached(message) }
    }

    /// Done; the message leaves its queue.
    ///
    /// # Errors
    /// When there was a response already.
    pub fn ack(&self) -> Result<(), AlreadyResponded> {
        self.respond(Response::Ack)
    }

    /// Not now: the message is tried again after a delay, as a failed one is, and archived when there is no try left.
    ///
    /// # Errors
    /// When there was a response already.
    pub fn nack(&self) -> Result<(), AlreadyResponded> {
        self.respond(Response::Nack)
    }

    /// With `requeue` (the default there) the same as [`nack`](Proxy::nack); without, never again: the message goes to the queue's
    /// dead-letter exchange if the file names one, and else to `<queue>.dead`.
    ///
    /// # Errors
    /// When there was a response already.
    pub fn reject(&self, requeue: bool) -> Result<(), AlreadyResponded> {
        self.respond(if requeue { Response::RejectAndRequeue } else { Response::Reject })
    }

    /// This publishes a persistent message and waits for the broker's confirm, ten seconds at the most: whatever becomes of the
    /// message at hand, this one is out. On the default exchange (`""`), a queue that does not exist is an error.
    ///
    /// # Errors
    /// When there is no such exchange or queue, when the broker refuses the message, or does not confirm it in time; after that
    /// it may have been taken even so.
    pub fn publish(
        &self,
        exchange: impl Into<String>,
        routing_key: impl Into<String>,
        headers: Table,
        body: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let mut publication = Publication::new(exchange, routing_key, body);
        if !headers.is_empty() {
            publication.properties.headers = Some(headers);
        }
        self.send(publication)
    }

    /// The same with all properties; the message is [mandatory](Publication::mandatory) only if it says so.
    ///
    /// # Errors
    /// As of [`publish`](Proxy::publish).
    pub fn send(&self, mut publication: Publication) -> Result<(), Error> {
        // RabbitMQ returns a mandatory reply to a waiting caller even as it delivers it.
        let to_caller = publication.routing_key.starts_with("amq.rabbitmq.reply-to");
        publication.mandatory |= publication.exchange.is_empty() && !to_caller;
        match &self.publisher {
            Some(publisher) => publisher.publish(publication, CONFIRM_WITHIN),
            None => {
                self.message.send(publication);
                Ok(())
            }
        }
    }

    /// Whether there was a response.
    pub fn has_responded(&self) -> bool {
        self.response.get().is_some()
    }

    /// What becomes of the message when `consume` ended like this.
    pub(super) fn outcome<E: Into<BoxError>>(&self, ended: Result<(), E>) -> Result<Outcome, BoxError> {
        match (self.response.get(), ended) {
            (None, Err(failure)) => Err(failure.into()),
            (None | Some(Response::Ack), _) => Ok(Outcome::Ack),
            (Some(Response::Nack), _) => Ok(Outcome::retry("the consumer nacked it")),
            (Some(Response::RejectAndRequeue), _) => Ok(Outcome::retry("the consumer rejected it, to be tried again")),
            (Some(Response::Reject), _) => Ok(Outcome::reject("the consumer rejected it")),
        }
    }

    fn respond(&self, response: Response) -> Result<(), AlreadyResponded> {
        match self.response.get() {
            Some(_) => Err(AlreadyResponded),
            None => {
                self.response.set(Some(response));
                Ok(())
            }
        }
    }
}
