//! A layout of the user's own: where the failed messages of a queue go, by the rules of a deployment that was there before.

use crate::delivered::{headers, Message};
use crate::message::Publication;
use crate::topology::{Queue, Topology};
use std::borrow::Cow;
use std::time::Duration;

/// Where the failed messages of a queue go, by rules of your own: to speak a protocol that others speak on the same broker. Given
/// to [`Consumer::layout`](crate::Consumer::layout); as it is, it is [`RetryLayout::Bare`](crate::RetryLayout::Bare).
///
/// Each method that moves a message gets a copy of it as the worker itself would move it: body and properties kept (`expiration` and
/// `user_id` set aside in headers), persistent, with the reason and the origin in [`headers`], and addressed nowhere. It changes the
/// copy as it likes, and says where it goes. Whatever is published is mandatory, and confirmed before the message leaves its queue.
///
/// A panic is logged: one in [`retry`](CustomLayout::retry) has the message archived, one in [`archive`](CustomLayout::archive) or
/// [`reject`](CustomLayout::reject) hands it back, and it comes again.
///
/// ```
/// use bootstep::{Consumer, CustomLayout, Departure, Exchange, Message, Outcome, Publication, Queue, Topology};
/// use std::time::Duration;
///
/// /// Failed messages wait a minute in `later`; what is given up is somebody else's business, behind the exchange `lost`.
/// struct Later {
///     queue: String,
/// }
///
/// impl CustomLayout for Later {
///     fn topology(&self) -> Topology {
///         let later = Queue::new("later").message_ttl(Duration::from_secs(60)).dead_letter_to("", self.queue.as_str());
///         Topology::default().queue(later).exchange(Exchange::existing("lost"))
///     }
///     fn retry(&self, _message: &Message, copy: Publication, _delay: Duration) -> Departure {
///         Departure::Publish(copy.to("", "later"))
///     }
///     fn archive(&self, message: &Message, copy: Publication, _reason: &str) -> Departure {
///         Departure::Publish(copy.to("lost", message.queue()))
///     }
/// }
///
/// let consumer = Consumer::new("jobs", |_job: String, _message| Ok(Outcome::Ack)).layout(Later { queue: "jobs".into() });
/// ```
pub trait CustomLayout: Send + Sync + 'static {
    /// The header that counts a message's retries ([`headers::RETRIES`] by default); [`Message::retries`] reads it, and the copy for a
    /// retry has it.
    fn counted_by(&self) -> Cow<'static, str> {
        headers::RETRIES.into()
    }

    /// What is wrong with such a queue for this layout, in lower case (nothing by default): the worker does not boot then.
    fn check(&self, _queue: &Queue) -> Result<(), String> {
        Ok(())
    }

    /// What is declared around the queue, and again when one of these is found missing (nothing by default).
    fn topology(&self) -> Topology {
        Topology::default()
    }

    /// The name of the queue among these that keeps what was given up, if one does (none by default): a human is told when it is at
    /// four fifths of its `x-max-length`. It takes what is published to it by the default exchange, or to an exchange of its name.
    fn archive_queue(&self) -> Option<String> {
        None
    }

    /// Where a message waits for its next attempt; the consumer's [`retry`](crate::Consumer::retry) policy says how often there is
    /// one, and after which delay. By default it is handed back and comes again at once.
    fn retry(&self, _message: &Message, _copy: Publication, _delay: Duration) -> Departure {
        Departure::Requeue
    }

    /// Where a message goes that was tried and given up, for this reason. By default the queue dead-letters it, or it is gone.
    fn archive(&self, _message: &Message, _copy: Publication, _reason: &str) -> Departure {
        Departure::Reject
    }

    /// Where a message goes that is never worth trying, for this reason. By default the queue dead-letters it, or it is gone.
    fn reject(&self, _message: &Message, _copy: Publication, _reason: &str) -> Departure {
        Departure::Reject
    }

    /// How a message gets to the end of its own queue, which came again without a word of its worker
    /// ([`Consumer::poison_after`](crate::Consumer::poison_after)). By default by the default exchange under the queue's name, as the
    /// copy is addressed already; where other workers go by exchange or routing key, by another way to the same queue.
    fn to_the_end(&self, _message: &Message, copy: Publication) -> Publication {
        copy
    }
}

/// How a message leaves its queue that was not handled well.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // a user writes it, and a box would be in the way
pub enum Departure {
    /// This is published, confirmed, and then the message is acked. While no queue takes it, the message stays on its own.
    Publish(Publication),
    /// It is handed back (`basic.nack` with requeue) and comes again at once, for as often as this is said.
    Requeue,
    /// `basic.reject` without requeue: the queue's dead-letter exchange gets it, if it has one; else it is gone.
    Reject,
    /// It is acked, and gone: for what nobody wants to keep, where the queue itself would dead-letter it to come again.
    Discard,
}

/// Nothing around the queue.
pub(super) struct Bare;

impl CustomLayout for Bare {}
