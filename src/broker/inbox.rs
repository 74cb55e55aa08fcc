//! A queue being consumed by hand: for tools and tests, which want one message after the other.

use super::Letter;
use crate::clock::later;
use crate::delivered::Message;
use crate::error::{Error, Fault};
use crate::transport::{ConsumeVisit, Incoming, Settle, Source};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broker that has not answered a cancel by then hangs, however much it has out.
const CANCEL_LIMIT: Duration = Duration::from_secs(60);

/// A queue being consumed, one message after the other, on the thread that asked.
pub struct Inbox<'a> {
    source: &'a mut dyn AnySource,
    queue: Arc<str>,
    /// What came while the consumer changed.
    early: VecDeque<Letter>,
}

impl Inbox<'_> {
    /// The next message, or `None` if none came in time.
    ///
    /// # Errors
    /// When the broker cancelled the consumer ([`Fault::NotFound`]) or closed the channel or the connection.
    pub fn next(&mut self, within: Duration) -> Result<Option<Letter>, Error> {
        if let Some(letter) = self.early.pop_front() {
            return Ok(Some(letter));
        }
        match self.hear(later(Instant::now(), within))? {
            Heard::Letter(letter) => Ok(Some(letter)),
            Heard::Nothing | Heard::CancelDone => Ok(None),
        }
    }

    /// So many further messages may be unsettled, beside what is so far: for going through a queue that holds more than a prefetch
    /// can say (65,535).
    ///
    /// # Errors
    /// When the broker does not answer in time ([`Fault::Timeout`]), or closed the channel or the connection.
    pub fn more(&mut self, prefetch: u16) -> Result<(), Error> {
        self.pause()?;
        self.resume(prefetch)
    }

    /// Nothing more is delivered until [`resume`](Inbox::resume). What is on its way until then waits here: ask for the
    /// [`next`](Inbox::next) no more often than there are such.
    pub(crate) fn pause(&mut self) -> Result<(), Error> {
        self.source.be_patient();
        self.source.cancel()?;
        let due = later(Instant::now(), CANCEL_LIMIT);
        loop {
            match self.hear(due)? {
                Heard::Letter(letter) => self.early.push_back(letter),
                Heard::CancelDone => return Ok(()),
                Heard::Nothing => return Err(Error::new(Fault::Timeout, "the broker did not answer a cancel in time")),
            }
        }
    }

    /// After a [`pause`](Inbox::pause): so many may come beside what is unsettled.
    pub(crate) fn resume(&mut self, prefetch: u16) -> Result<(), Error> {
        self.source.resume(prefetch)
    }

    /// How many came before a [`pause`](Inbox::pause) and were not asked for since.
    #[cfg(feature = "cli")]
    pub(crate) fn waiting(&self) -> usize {
        self.early.len()
    }

    fn hear(&mut self, due: Instant) -> Result<Heard, Error> {
        match self.source.next(due) {
            None => Ok(Heard::Nothing),
            Some(Incoming::Delivery(delivery)) => {
                Ok(Heard::Letter(Letter { tag: delivery.tag, message: Message::new(&delivery, &self.queue) }))
            }
            Some(Incoming::Cancelled) => {
                Err(Error::new(Fault::NotFound, format!("the broker cancelled the consumer of `{}`", self.queue)))
            }
            Some(Incoming::CancelDone) => Ok(Heard::CancelDone),
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

    /// This waits until the broker has read what was settled so far. Without it, a process that is killed may take its last words
    /// with it, and what it was done with comes again.
    ///
    /// # Errors
    /// When the broker does not answer in time ([`Fault::Timeout`]), or closed the channel or the connection.
    pub fn barrier(&mut self) -> Result<(), Error> {
        self.source.barrier()
    }

    /// This one is not settled here, and goes back when the queue is let go. Nothing of it is kept meanwhile, so that any number of
    /// messages can be left; do not settle it after.
    pub fn leave(&mut self, tag: u64) {
        self.source.leave(tag);
    }
}

/// What came, or did not.
enum Heard {
    Letter(Letter),
    CancelDone,
    Nothing,
}

trait AnySource {
    fn next(&mut self, due: Instant) -> Option<Incoming>;
    fn tell(&mut self, settle: Settle) -> Result<(), Error>;
    fn leave(&mut self, tag: u64);
    fn be_patient(&mut self);
    fn cancel(&mut self) -> Result<(), Error>;
    fn resume(&mut self, prefetch: u16) -> Result<(), Error>;
    fn barrier(&mut self) -> Result<(), Error>;
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

    fn leave(&mut self, tag: u64) {
        Source::leave(self, tag);
    }

    fn be_patient(&mut self) {
        Source::be_patient(self);
    }

    fn cancel(&mut self) -> Result<(), Error> {
        Source::cancel(self)
    }

    fn resume(&mut self, prefetch: u16) -> Result<(), Error> {
        Source::resume(self, prefetch)
    }

    fn barrier(&mut self) -> Result<(), Error> {
        Source::barrier(self)
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
        (self.visit)(&mut Inbox { source, queue: self.queue, early: VecDeque::new() })
    }
}
