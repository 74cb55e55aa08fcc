//! Going through a queue, oldest message first, each once: whoever walks takes some, and the rest goes back.
//!
//! AMQP has no way to look at a queue: a message that is looked at has been delivered, and stays out until it is settled. So a
//! walk consumes without settling, and hands all back at the end, in the order it had; docs/archive.md tells which broker keeps it.
//!
//! For whoever builds on it: [`Walk::run`] hands over one [`Batch`] after the other. Look at its [`letters`](Batch::letters), do
//! what is to be done with them (publish them all, wait until all are confirmed), and then [`take`](Batch::take) those that are
//! done. What is not taken stays on the queue. Ended at any moment, by an error, a lost connection or `kill -9`, a walk loses
//! nothing: what was taken was done, and all else is the broker's still.
//!
//! It goes through as many messages as the queue held when it was found, never more: what arrives meanwhile, perhaps because it
//! was sent back and failed again, is left for another time. Nothing is kept of a message that was passed, so memory does not grow
//! with the queue: at most a [`Window`] of unsettled messages is here.

use super::which::Found;
use super::window::{self, Window};
use crate::broker::{Connection, Inbox, Letter, Subscribe};
use crate::cli::failure::Failure;
use crate::cli::note::{count, note};
use crate::cli::session::{Interrupt, Session};
use crate::error::Error;
use crate::topology::Queue;
use std::time::{Duration, Instant};

/// A batch is complete with so many bytes of bodies, however few they are in.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How long a batch waits for its next message when it has one.
const FILLED_WITHIN: Duration = Duration::from_millis(20);

/// How often somebody who waits looks whether somebody wants it to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Who waits for so long asks the queue what it has: not sooner, because a busy one is slow to answer that as well.
const SILENT_FOR: Duration = Duration::from_secs(3);

/// A queue that has messages and gives none for so long gives them to somebody else.
const GIVES_WITHIN: Duration = Duration::from_secs(30);

/// A way through a queue.
pub(crate) struct Walk<'a> {
    connection: &'a Connection,
    interrupt: &'a Interrupt,
    queue: &'a str,
    at_most: u64,
    batch: usize,
    window: u64,
    wanted: Option<u64>,
}

/// Whether a walk goes on after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    /// On, for so many further messages; of use to who takes all that come, see [`Walk::wanted`].
    Still(u64),
    Enough,
}

impl Go {
    /// On for so many, if there are any.
    pub fn still(left: u64) -> Go {
        if left == 0 {
            Go::Enough
        } else {
            Go::Still(left)
        }
    }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walked {
    /// How many messages were seen; each went back or was taken.
    pub seen: u64,
    pub taken: u64,
    /// Somebody wanted it to stop (Ctrl-C) before it was through.
    pub was_interrupted: bool,
}

impl<'a> Walk<'a> {
    /// Through all that the queue held when it was found.
    pub fn new(session: &'a Session, connection: &'a Connection, found: &'a Found) -> Self {
        let (queue, at_most) = (found.name.as_str(), found.messages);
        Walk { connection, interrupt: session.interrupt(), queue, at_most, batch: 500, window: window::MOST, wanted: None }
    }

    /// No further than so many messages.
    pub fn at_most(mut self, messages: u64) -> Self {
        self.at_most = self.at_most.min(messages);
        self
    }

    /// As many as are wanted, or pass and are no good: never more are taken out than are wanted still, because a queue may count a
    /// delivery of each that goes back. The visitor says by [`Go::Still`] how many that are.
    pub fn wanted(mut self, messages: u64) -> Self {
        // Who wants all need not be careful.
        self.wanted = (messages < self.at_most).then_some(messages);
        self
    }

    /// So many messages in a batch at the most (500 by default).
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = messages.max(1);
        self
    }

    /// No more than so many in hand that nobody has passed (200 by default): for a visitor that takes its time, because the
    /// broker takes a message back that is unsettled for too long (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
    pub fn window(mut self, messages: u64) -> Self {
        self.window = messages.clamp(1, window::MOST);
        self
    }

    /// Goes until the end, until the visitor has enough or fails, or until somebody wants it to stop.
    ///
    /// # Errors
    /// The visitor's; and the broker's, when it ends the walk.
    pub fn run(self, visit: &mut dyn FnMut(&mut Batch<'_, '_>) -> Result<Go, Failure>) -> Result<Walked, Failure> {
        if self.at_most == 0 {
            return Ok(Walked::default());
        }
        let window = window::FIRST.min(self.window).min(self.at_most).min(self.wanted.unwrap_or(u64::MAX));
        let options = Subscribe::new().prefetch(prefetch(window));
        let walked = self.connection.consume_with(self.queue, &options, |inbox| {
            let (window, walked) = (Window::of(window, self.window.min(window::allowed(0))), Walked::default());
            Going { walk: &self, inbox, window, walked, wanted: self.wanted, is_open: true }.go(visit)
        });
        walked.map_err(|err| self.ended(0, &err))?
    }

    fn ended(&self, seen: u64, err: &Error) -> Failure {
        let Walk { queue, .. } = self;
        let what = Failure::from(Error::new(err.fault(), err.to_string())).what;
        Failure::broker(format!(
            "the broker ended the walk through `{queue}` after {seen} messages: {what}. Nothing is lost: what was not taken is on the \
             queue. Try again; a walk that takes longer than the broker's consumer timeout (30 minutes by default) is cut into \
             shorter ones with `--limit`"
        ))
    }
}

/// Messages in hand, in the order of the queue.
pub(crate) struct Batch<'b, 'i> {
    inbox: &'b mut Inbox<'i>,
    letters: Vec<Letter>,
    taken: Vec<bool>,
    first: u64,
}

impl Batch<'_, '_> {
    /// The messages; do not settle them by their tags, but [`take`](Batch::take) them by their place here.
    pub fn letters(&self) -> &[Letter] {
        &self.letters
    }

    /// The number of the first of them, counted from 1 at the head of the queue.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// This one is done, and leaves the queue. Taking it again does nothing.
    ///
    /// # Errors
    /// When the connection or the channel is gone: then it is on the queue still.
    pub fn take(&mut self, place: usize) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.taken[place], true) {
            self.inbox.ack(self.letters[place].tag)?;
        }
        Ok(())
    }

    /// Waits until the broker knows of all that was taken: whoever is killed behind it does not do it again.
    ///
    /// # Errors
    /// When the connection or the channel is gone.
    pub fn barrier(&mut self) -> Result<(), Failure> {
        Ok(self.inbox.barrier()?)
    }
}

/// A walk under way.
struct Going<'w, 'a, 'i, 's> {
    walk: &'w Walk<'a>,
    inbox: &'i mut Inbox<'s>,
    window: Window,
    walked: Walked,
    /// How many more may come, if somebody is careful.
    wanted: Option<u64>,
    /// Whether the broker delivers.
    is_open: bool,
}

impl<'s> Going<'_, '_, '_, 's> {
    fn go(mut self, visit: &mut dyn FnMut(&mut Batch<'_, '_>) -> Result<Go, Failure>) -> Result<Walked, Failure> {
        while self.remaining() > 0 {
            if self.walk.interrupt.is_asked() {
                self.walked.was_interrupted = true;
                break;
            }
            let opened = match self.wanted {
                Some(wanted) => self.open(wanted),
                None => self.resize(),
            };
            opened.map_err(|err| self.ended(&err))?;
            let letters = self.gather()?;
            if self.wanted.is_some() {
                self.close().map_err(|err| self.ended(&err))?;
            }
            if letters.is_empty() {
                self.walked.was_interrupted = self.walk.interrupt.is_asked();
                if !self.walked.was_interrupted {
                    let (rest, queue) = (count(self.remaining(), "message"), self.walk.queue);
                    note(&format!("{rest} of `{queue}` were not seen: another consumer has or had them, or they expired"));
                }
                break;
            }
            match self.hand_over(letters, visit)? {
                Go::Enough => break,
                Go::Still(left) => self.wanted = self.wanted.map(|_| left),
                Go::On => {}
            }
        }
        Ok(self.walked)
    }

    /// Lets more come, or less at once, where what came says so.
    fn resize(&mut self) -> Result<(), Error> {
        self.window.allow(self.most());
        if self.window.wants_change(self.remaining()) {
            let size = self.window.next(self.remaining());
            self.inbox.more(prefetch(size))?;
            self.window = Window::of(size, self.most());
        } else if self.window.arrived >= self.window.size {
            self.window.forget_sizes();
        }
        Ok(())
    }

    /// Lets come what is wanted, beside what is here.
    fn open(&mut self, wanted: u64) -> Result<(), Error> {
        let size = self.window.next(self.remaining().min(wanted));
        let further = size.saturating_sub(self.inbox.waiting() as u64);
        if !self.is_open && further > 0 {
            self.inbox.resume(prefetch(further))?;
            self.window = Window::of(size, self.most());
            self.is_open = true;
        }
        Ok(())
    }

    /// Before anything is settled: in its place the broker would deliver something that is not wanted.
    fn close(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.is_open) {
            self.inbox.pause()?;
        }
        Ok(())
    }

    fn most(&self) -> u64 {
        self.walk.window.min(window::allowed(self.walked.seen))
    }

    fn remaining(&self) -> u64 {
        self.walk.at_most - self.walked.seen
    }

    fn ended(&self, err: &Error) -> Failure {
        self.walk.ended(self.walked.seen, err)
    }

    fn hand_over(
        &mut self,
        letters: Vec<Letter>,
        visit: &mut dyn FnMut(&mut Batch<'_, '_>) -> Result<Go, Failure>,
    ) -> Result<Go, Failure> {
        let (first, taken) = (self.walked.seen + 1, vec![false; letters.len()]);
        self.walked.seen += letters.len() as u64;
        let mut batch = Batch { inbox: self.inbox, letters, taken, first };
        let go = visit(&mut batch)?;
        let Batch { letters, taken, .. } = batch;
        for (letter, taken) in letters.into_iter().zip(taken) {
            if taken {
                self.walked.taken += 1;
                // Nothing comes in its place.
                self.window.left += u64::from(self.wanted.is_some());
            } else {
                self.inbox.leave(letter.tag);
                self.window.left += 1;
            }
        }
        Ok(go)
    }

    /// The next messages: at least one, if there is one.
    fn gather(&mut self) -> Result<Vec<Letter>, Failure> {
        let room = self.remaining().min(self.window.size - self.window.left).min(self.walk.batch as u64);
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while (letters.len() as u64) < room && bytes < BATCH_BYTES {
            let next = match letters.is_empty() {
                true => self.first()?,
                false => self.inbox.next(FILLED_WITHIN).map_err(|err| self.ended(&err))?,
            };
            let Some(letter) = next else { break };
            bytes += letter.message.body().len();
            self.window.arrived += 1;
            self.window.bytes += letter.message.body().len() as u64;
            letters.push(letter);
        }
        Ok(letters)
    }

    /// Waits for a message for as long as the queue has one.
    fn first(&mut self) -> Result<Option<Letter>, Failure> {
        let begun = Instant::now();
        loop {
            let next = self.inbox.next(LOOK_EVERY).map_err(|err| self.ended(&err))?;
            if next.is_some() || self.walk.interrupt.is_asked() {
                return Ok(next);
            }
            if begun.elapsed() < SILENT_FOR {
                continue;
            }
            let queue = self.walk.queue;
            let ready = self.walk.connection.declare_queue(&Queue::existing(queue)).map_err(|err| self.ended(&err))?.messages;
            if ready == 0 {
                // What was handed out before the answer may have come behind it.
                return self.inbox.next(LOOK_EVERY).map_err(|err| self.ended(&err));
            }
            if begun.elapsed() > GIVES_WITHIN {
                return Err(Failure::broker(format!(
                    "`{queue}` has {ready} messages and gives none: another consumer goes first, or is the only one that it serves \
                     (`x-single-active-consumer`); stop that one, then try again"
                )));
            }
        }
    }
}

fn prefetch(window: u64) -> u16 {
    u16::try_from(window).unwrap_or(u16::MAX)
}
