//! A queue being consumed by hand: for tools and tests, which want one message after the other.

use super::Letter;
use crate::clock::later;
use crate::delivered::Message;
use crate::error::{Error, Fault};
use crate::transport::{ConsumeVisit, Incoming, Settle, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A queue being consumed, one message after the other, on the thread that asked.
pub struct Inbox<'a> {
    source: &'a mut dyn AnySource,
    queue: Arc<str>,
}

impl Inbox<'_> {
    /// The next message, or `None` if none came in time.
    ///
    /// # Errors
    /// When the broker cancelled the consumer ([`Fault::NotFound`]) or closed the channel or the connection.
    pub fn next(&mut self, within: Duration) -> Result<Option<Letter>, Error> {
        match self.source.next(later(Instant::now(), within)) {
            None => Ok(None),
            Some(Incoming::Delivery(delivery)) => {
                Ok(Some(Letter { tag: delivery.tag, message: Message::new(&delivery, &self.queue) }))
            }
            Some(Incoming::Cancelled) => {
                Err(Error::new(Fault::NotFound, format!("the broker cancelled the consumer of `{}`", self.queue)))
            }
            Some(Incoming::CancelDone) => Ok(None),
            Some(Incoming::Closed(err)) => Err(err),
        }
    }

    /// This one is done.
    pub fn ack(&mut self, tag: u64) -> Result<(), Error> {
        self.source.tell(Settle::Ack { tag })
    }

    /// This one and all before it are done.
    pub fn ack_up_to(&mut self, tag: u64) -> Result<(), Error> {
        self.source.tell(Settle::AckUpTo { tag })
    }

    /// To the dead letters, if the queue has any.
    pub fn reject(&mut self, tag: u64) -> Result<(), Error> {
        self.source.tell(Settle::Reject { tag })
    }

    /// Back to its queue.
    pub fn requeue(&mut self, tag: u64) -> Result<(), Error> {
        self.source.tell(Settle::Requeue { tag })
    }
}

trait AnySource {
    fn next(&mut self, due: Instant) -> Option<Incoming>;
    fn tell(&mut self, settle: Settle) -> Result<(), Error>;
}

impl<S: Source> AnySource for S {
    fn next(&mut self, due: Instant) -> Option<Incoming> {
        match self.receiver().recv_deadline(due) {
            Ok(raw) => Some(self.read(raw)),
            Err(err) if err.is_timeout() => None,
            Err(_) => Some(Incoming::Closed(self.failure())),
        }
    }

    fn tell(&mut self, settle: Settle) -> Result<(), Error> {
        self.settle(settle)
    }
}

pub(super) fn visitor<R, F: FnOnce(&mut Inbox<'_>) -> R>(queue: Arc<str>, visit: F) -> impl ConsumeVisit<Output = R> {
    Visitor { queue, visit }
}

struct Visitor<F> {
    queue: Arc<str>,
    visit: F,
}

impl<R, F: FnOnce(&mut Inbox<'_>) -> R> ConsumeVisit for Visitor<F> {
    type Output = R;
    fn visit<S: Source>(self, source: &mut S) -> R {
        (self.visit)(&mut Inbox { source, queue: self.queue })
    }
}
