//! Publishing by hand where each message counts by itself: what became of every one, also when the channel breaks off in between.

use super::Connection;
use crate::clock::later;
use crate::error::{Error, Fault};
use crate::message::Publication;
use crate::transport::{Outlet, PublishVisit, Taken};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Bytes of bodies on their way, so that the write buffer never fills and blocks us when an alarm begins.
const WINDOW_BYTES: usize = 4 << 20;

/// How often alarms are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What became of one message given to [`Connection::publish_each`](crate::Connection::publish_each).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipt {
    /// The broker has confirmed it.
    Taken,
    /// It was mandatory, and no queue takes it; with the broker's words.
    Returned(String),
    /// The queue refused it: it is full, or in trouble.
    Nacked,
    /// It was not sent, because no broker could read it; with the reason.
    Unfit(String),
    /// It was not sent, because publishing ended before its turn.
    Unsent,
    /// It was sent, and publishing ended before the broker had a word on it: it may be on its queue or not.
    Unknown,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receipt::Taken => f.write_str("confirmed"),
            Receipt::Returned(reason) => write!(f, "no queue takes it: {reason}"),
            Receipt::Nacked => f.write_str("the queue refused it (full, or in trouble)"),
            Receipt::Unfit(reason) => f.write_str(reason),
            Receipt::Unsent => f.write_str("not sent"),
            Receipt::Unknown => f.write_str("sent, and not confirmed"),
        }
    }
}

impl From<Taken> for Receipt {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Yes => Receipt::Taken,
            Taken::Nacked => Receipt::Nacked,
            Taken::Unfit { reason } => Receipt::Unfit(reason),
            Taken::Returned { reason } => Receipt::Returned(reason),
        }
    }
}

/// What became of all messages given to [`Connection::publish_each`](crate::Connection::publish_each).
#[derive(Debug)]
#[non_exhaustive]
pub struct Answers {
    /// One for each message, in their order.
    pub receipts: Vec<Receipt>,
    /// Why publishing ended before each had its answer, if it did.
    pub ended: Option<Error>,
}

impl Connection {
    /// This publishes messages and says of each by itself what became of it. What was not published because of a lost channel,
    /// connection or time can be published again; of what is [`Receipt::Unknown`] that makes two, perhaps.
    ///
    /// A broker that closes the channel over one message (no such exchange, a user id that is not ours) does not say which: that
    /// one and those around it are unknown, and [`Answers::ended`] has its words.
    ///
    /// ```
    /// use bootstep::{Broker, MemoryBroker, Publication, Queue, Receipt};
    /// use std::time::Duration;
    ///
    /// let connection = Broker::from(&MemoryBroker::new()).connect("example")?;
    /// connection.declare_queue(&Queue::new("orders"))?;
    /// let orders = ["orders", "order"].map(|queue| Publication::new("", queue, "two cups").mandatory());
    /// let answers = connection.publish_each(&orders, Duration::from_secs(5));
    /// assert_eq!(answers.receipts[0], Receipt::Taken);
    /// assert_eq!(answers.receipts[1].to_string(), "no queue takes it: NO_ROUTE (312)");
    /// assert!(answers.ended.is_none());
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    pub fn publish_each(&self, publications: &[Publication], within: Duration) -> Answers {
        let due = later(Instant::now(), within);
        self.publish_each_while(publications, within, &mut |_| Instant::now() < due)
    }

    /// The same, for as long as `go_on` says so while the broker takes no publishes (an alarm, whose reason it is given); that
    /// time does not count.
    pub(crate) fn publish_each_while(
        &self,
        publications: &[Publication],
        within: Duration,
        go_on: &mut dyn FnMut(&str) -> bool,
    ) -> Answers {
        let visit = PublishEach { publications, within, go_on };
        let answers = self
            .visit_outlet(visit)
            .unwrap_or_else(|err| Answers { receipts: vec![Receipt::Unsent; publications.len()], ended: Some(err) });
        match &answers.ended {
            Some(err) if err.fault() == Fault::Lost => self.tell_lost(err),
            _ => {}
        }
        answers
    }
}

/// Publishes each and waits until the broker has a word on it; asks `go_on` with the reason of an alarm for as long as that lasts.
struct PublishEach<'a> {
    publications: &'a [Publication],
    /// For all of them; an alarm does not count.
    within: Duration,
    go_on: &'a mut dyn FnMut(&str) -> bool,
}

impl PublishVisit for PublishEach<'_> {
    type Output = Answers;

    fn visit<O: Outlet>(self, outlet: &mut O) -> Answers {
        let mut batch = Batch::of(self.publications);
        let ended = batch.publish(outlet, self.within, self.go_on).err();
        // What was confirmed before the end is still there to be read.
        batch.read_waiting(outlet);
        Answers { receipts: batch.receipts, ended }
    }
}

struct Batch<'a> {
    publications: &'a [Publication],
    receipts: Vec<Receipt>,
    /// By sequence number: which of them it is.
    open: BTreeMap<u64, usize>,
    open_bytes: usize,
    next: usize,
    taken: Vec<(u64, Taken)>,
}

impl<'a> Batch<'a> {
    fn of(publications: &'a [Publication]) -> Self {
        let receipts = vec![Receipt::Unsent; publications.len()];
        Batch { publications, receipts, open: BTreeMap::new(), open_bytes: 0, next: 0, taken: Vec::new() }
    }

    fn publish<O: Outlet>(
        &mut self,
        outlet: &mut O,
        within: Duration,
        go_on: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), Error> {
        let mut due = later(Instant::now(), within);
        loop {
            self.read_waiting(outlet);
            match outlet.blocked() {
                Some(reason) if go_on(&reason) => due = later(Instant::now(), within),
                Some(reason) => return Err(self.late(&format!(": the broker takes no publishes ({reason})"))),
                None => self.fill(outlet)?,
            }
            if self.left() == 0 {
                return Ok(());
            }
            let now = Instant::now();
            if now >= due {
                return Err(self.late(" in time"));
            }
            match outlet.receiver().recv_deadline(due.min(now + TICK)) {
                Ok(raw) => outlet.read(raw, &mut self.taken),
                Err(err) if err.is_timeout() => {}
                Err(_) => return Err(outlet.failure()),
            }
        }
    }

    fn fill<O: Outlet>(&mut self, outlet: &mut O) -> Result<(), Error> {
        while self.next < self.publications.len() && (self.open.is_empty() || self.open_bytes < WINDOW_BYTES) {
            let place = self.next;
            self.next += 1;
            match outlet.publish(&self.publications[place]) {
                Ok(sequence) => {
                    self.receipts[place] = Receipt::Unknown;
                    self.open_bytes += self.publications[place].body().len();
                    self.open.insert(sequence, place);
                }
                Err(err) if err.fault() == Fault::NotTaken => self.receipts[place] = Receipt::Unfit(err.to_string()),
                Err(err) => {
                    // It may be on the wire or not; why the channel ended, the channel knows better.
                    self.receipts[place] = Receipt::Unknown;
                    let cause = outlet.failure();
                    return Err(if cause.fault() == Fault::Lost { err } else { cause });
                }
            }
        }
        Ok(())
    }

    fn read_waiting<O: Outlet>(&mut self, outlet: &mut O) {
        while let Ok(raw) = outlet.receiver().try_recv() {
            outlet.read(raw, &mut self.taken);
        }
        for (sequence, taken) in self.taken.drain(..) {
            if let Some(place) = self.open.remove(&sequence) {
                self.open_bytes -= self.publications[place].body().len();
                self.receipts[place] = taken.into();
            }
        }
    }

    fn left(&self) -> usize {
        self.open.len() + self.publications.len() - self.next
    }

    fn late(&self, why: &str) -> Error {
        let what = format!("{} of {} publishes were not confirmed{why}", self.left(), self.publications.len());
        Error::new(Fault::Timeout, what)
    }
}
