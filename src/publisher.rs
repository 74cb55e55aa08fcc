//! The thread that owns the publishing connection: a window of publishes, their confirms, and what was not confirmed again.
//!
//! Publishing has a connection of its own, because a broker in a memory or disk alarm stops reading from connections that
//! publish, and acks on them would stall too (<https://www.rabbitmq.com/docs/alarms>). The publisher outlives its connection:
//! what was published and not confirmed when it broke is kept, and published again over the next one.

mod serve;

use crate::broker::Connection;
use crate::clock::later;
use crate::error::{Error, Fault};
use crate::ledger::Ticket;
use crate::message::Publication;
use crate::recall::Note;
use crate::transport::Taken;
use crossbeam_channel::{Receiver, Sender};
use serve::{Ended, State};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests that wait for the thread; who finds it full keeps the rest.
const WAITING: usize = 1024;

/// Publishes with confirms, over whatever connection it was given last. Cloning it shares the thread, which ends when told to
/// or when the last clone goes.
#[derive(Clone)]
pub struct Publisher {
    requests: Sender<Request>,
    orders: Sender<Order>,
    ended: Receiver<()>,
}

/// One message to be published, and whom to tell.
pub(crate) struct Request {
    pub publication: Arc<Publication>,
    pub ticket: Ticket,
    /// Which of the ticket's publications.
    pub part: usize,
    pub reply: Sender<Published>,
    /// Cleared when nobody waits for it any more: what is not yet on its way then stays unpublished, because its original
    /// comes again.
    pub wanted: Arc<AtomicBool>,
    /// How often the channel or connection was lost while this was on its way.
    pub losses: u32,
    /// Told when it is confirmed, also when nobody reads the reply any more.
    pub note: Option<Arc<Note>>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Published {
    pub ticket: Ticket,
    pub part: usize,
    pub answer: Answer,
}

/// Whether a message was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    Refused(String),
}

pub(super) enum Order {
    Attach(Connection),
    Detach,
    End { due: Instant },
}

impl Publisher {
    /// This starts the thread; until [`attach`](Publisher::attach) gives it a connection, requests wait.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> Result<Self, Error> {
        let (requests, inbox) = crossbeam_channel::bounded(WAITING);
        // Attach, detach and end are rare; who gives orders may wait for the one before to be taken.
        let (orders, orders_inbox) = crossbeam_channel::bounded(4);
        let (alive, ended) = crossbeam_channel::bounded(0);
        let run = move || {
            let _alive: Sender<()> = alive;
            run(&inbox, &orders_inbox);
        };
        std::thread::Builder::new()
            .name("bootstep-publisher".into())
            .spawn(run)
            .map_err(|err| Error::new(Fault::Step, "no thread could be started to publish").because(err))?;
        Ok(Publisher { requests, orders, ended })
    }

    /// From now on this publishes over the given connection, beginning with what is not yet confirmed.
    pub fn attach(&self, connection: Connection) {
        let _ = self.orders.send_timeout(Order::Attach(connection), Duration::from_secs(10));
    }

    /// This lets the connection go; requests wait for the next one.
    pub fn detach(&self) {
        let _ = self.orders.send_timeout(Order::Detach, Duration::from_secs(10));
    }

    /// This publishes one message and waits for its confirm.
    ///
    /// # Errors
    /// [`Fault::NotTaken`] when the broker refused it, [`Fault::Timeout`] when no confirm came in time, [`Fault::Lost`] when the worker
    /// has ended; in both the message may have been taken even so.
    pub fn publish(&self, publication: Publication, within: Duration) -> Result<(), Error> {
        let due = later(Instant::now(), within);
        let (reply, answer) = crossbeam_channel::bounded(1);
        let wanted = Arc::new(AtomicBool::new(true));
        let request = Request {
            publication: Arc::new(publication),
            ticket: Ticket { epoch: 0, tag: 0 },
            part: 0,
            reply,
            wanted: wanted.clone(),
            losses: 0,
            note: None,
        };
        let unanswered = |is_late: bool| match is_late {
            true => Error::new(Fault::Timeout, "a publish was not confirmed in time"),
            false => Error::new(Fault::Lost, "a publish was not confirmed: the publisher has ended with its worker"),
        };
        self.requests.send_deadline(request, due).map_err(|err| unanswered(err.is_timeout()))?;
        let published = answer.recv_deadline(due);
        wanted.store(false, Ordering::Release);
        match published.map_err(|err| unanswered(err.is_timeout()))?.answer {
            Answer::Taken => Ok(()),
            Answer::Refused(reason) => Err(Error::new(Fault::NotTaken, format!("a publish was not taken: {reason}"))),
        }
    }

    /// This waits for what is not yet confirmed, at the most until the deadline, and ends the thread.
    pub fn close(&self, within: Duration) {
        let due = later(Instant::now(), within);
        let _ = self.orders.send_deadline(Order::End { due }, due);
        let _ = self.ended.recv_deadline(due + Duration::from_secs(1));
    }

    /// Hands a request over, or back if too many wait.
    pub(crate) fn submit(&self, request: Request) -> Result<(), Request> {
        self.requests.try_send(request).map_err(crossbeam_channel::TrySendError::into_inner)
    }
}

fn run(requests: &Receiver<Request>, orders: &Receiver<Order>) {
    let mut state = State::default();
    let mut connection: Option<Connection> = None;
    loop {
        let opened = Instant::now();
        // Without a connection only an order can change anything; requests wait in their channel.
        let order = match connection.take() {
            None => match orders.recv() {
                Ok(order) => order,
                Err(_) => return,
            },
            Some(current) => match state.serve(&current, requests, orders) {
                Ended::Ordered(order) => order,
                Ended::ChannelClosed => {
                    // A wait that needs no explanation to the scheduler; orders are kept until the channel is open again.
                    let _ = crossbeam_channel::never::<()>().recv_timeout(pause_after(opened.elapsed()));
                    connection = Some(current);
                    continue;
                }
                Ended::Lost(err) => {
                    current.tell_lost(&err);
                    // At the end nobody gives it another connection.
                    if state.is_ending() {
                        return;
                    }
                    continue;
                }
                Ended::Abandoned => return,
            },
        };
        match order {
            Order::Attach(next) => connection = Some(next),
            Order::Detach => {}
            Order::End { .. } => return,
        }
    }
}

/// A channel that lived long may be opened anew at once. One that a broker closes again and again is none of our haste: each
/// opening costs the broker too, and finding a message that it closes the channel for takes two.
fn pause_after(lived: Duration) -> Duration {
    if lived < Duration::from_millis(200) {
        Duration::from_millis(20)
    } else {
        Duration::ZERO
    }
}

impl Request {
    fn answer(self, taken: Taken) {
        if let (Taken::Yes, Some(note)) = (&taken, &self.note) {
            note.part_confirmed();
        }
        let answer = match taken {
            Taken::Yes => Answer::Taken,
            refused => Answer::Refused(refused.reason()),
        };
        // The asker keeps room for every answer it waits for, or has gone.
        let _ = self.reply.try_send(Published { ticket: self.ticket, part: self.part, answer });
    }
}
