//! Which deliveries are out, and what may be acked, rejected or published next.
//!
//! A pure state machine: events in, commands out; no I/O, no clock. It is the only place a message leaves by, and it keeps
//! three rules. A message is settled once. What a message publishes is confirmed before the message is settled. And acks are
//! coalesced without touching anybody else's message: with tags 1 ack, 2 reject, 3 ack, an `ack up to 3` sent before the
//! `reject 2` would lose message 2.

use crate::tagged::Tagged;

/// A delivery's name in this process: tags and channel numbers start anew with every channel, the epoch never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Which opening of the channel it came by.
    pub epoch: u64,
    /// The delivery tag on it.
    pub tag: u64,
}

/// How a message is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// To the dead letters, by the broker's own dead-lettering.
    Reject,
    /// Back to its queue as a failed attempt, where the queue itself counts and delays.
    Fail,
    /// Back to its queue, untouched.
    Requeue,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker handed a message over; tags count up.
    Delivered {
        /// Its tag.
        tag: u64,
    },
    /// A handler (or the worker itself) decided; `publishes` messages must be confirmed first.
    Decided {
        /// Which message.
        ticket: Ticket,
        /// How many publishes must be confirmed before.
        publishes: u32,
        /// How it leaves.
        verdict: Verdict,
    },
    /// One of its publishes is confirmed.
    Confirmed {
        /// Which message.
        ticket: Ticket,
    },
    /// One of its publishes was refused: it stays, unsettled and undecided, until somebody decides again.
    Refused {
        /// Which message.
        ticket: Ticket,
    },
    /// Acks may go: those that one `ack up to` covers.
    Flush,
    /// All acks that are due must go now, one by one where messages between them are still out.
    FlushAll,
}

/// What to tell the broker, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `basic.ack` of one.
    Ack {
        /// Its tag.
        tag: u64,
    },
    /// `basic.ack` with `multiple`: this and every unsettled one before it.
    AckUpTo {
        /// The highest tag; itself unsettled, or RabbitMQ closes the channel (406).
        tag: u64,
    },
    /// `basic.reject` without requeue.
    Reject {
        /// Its tag.
        tag: u64,
    },
    /// `basic.reject` with requeue.
    Fail {
        /// Its tag.
        tag: u64,
    },
    /// `basic.nack` with requeue.
    Requeue {
        /// Its tag.
        tag: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With a handler, or waiting for one.
    Out,
    /// Decided; so many confirms are still missing.
    Publishing(u32, Verdict),
    /// To be acked at the next flush.
    AckDue,
}

/// The deliveries of one epoch: one opening of one channel.
#[derive(Debug)]
pub struct Ledger {
    epoch: u64,
    /// What the broker still counts as ours, and nothing else: one slow message must not make this grow.
    unsettled: Tagged<State>,
    acks_due: usize,
    stale: u64,
}

impl Ledger {
    /// A ledger for a channel that has delivered nothing yet.
    pub fn new(epoch: u64) -> Self {
        Ledger { epoch, unsettled: Tagged::new(), acks_due: 0, stale: 0 }
    }

    /// How many acks the next flush could send.
    pub fn acks_due(&self) -> usize {
        self.acks_due
    }

    /// How many messages the broker still counts as ours.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// The tag of the oldest message that the broker still counts as ours.
    pub fn oldest(&self) -> Option<u64> {
        self.unsettled.first().map(|(tag, _)| tag)
    }

    /// How many events came for another epoch, or for a message that had left already: dropped, never sent.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Takes an event in and appends what to tell the broker.
    pub fn apply(&mut self, event: Event, commands: &mut Vec<Command>) {
        match event {
            Event::Delivered { tag } => {
                self.unsettled.insert(tag, State::Out);
            }
            Event::Decided { ticket, publishes, verdict } => match self.state_of(ticket) {
                Some(state @ State::Out) if publishes > 0 => *state = State::Publishing(publishes, verdict),
                Some(State::Out) => self.leave(ticket.tag, verdict, commands),
                _ => self.stale += 1,
            },
            Event::Confirmed { ticket } => match self.state_of(ticket) {
                Some(State::Publishing(1, verdict)) => {
                    let verdict = *verdict;
                    self.leave(ticket.tag, verdict, commands);
                }
                Some(State::Publishing(missing, _)) => *missing -= 1,
                _ => self.stale += 1,
            },
            Event::Refused { ticket } => match self.state_of(ticket) {
                Some(state @ State::Publishing(..)) => *state = State::Out,
                _ => self.stale += 1,
            },
            Event::Flush => self.flush(commands),
            Event::FlushAll => {
                self.flush(commands);
                self.flush_scattered(commands);
            }
        }
    }

    fn leave(&mut self, tag: u64, verdict: Verdict, commands: &mut Vec<Command>) {
        match verdict {
            Verdict::Ack => {
                if let Some(state) = self.unsettled.get_mut(tag) {
                    *state = State::AckDue;
                    self.acks_due += 1;
                }
                return;
            }
            // Sent at once, and so before any ack that passes it.
            Verdict::Reject => commands.push(Command::Reject { tag }),
            Verdict::Fail => commands.push(Command::Fail { tag }),
            Verdict::Requeue => commands.push(Command::Requeue { tag }),
        }
        self.unsettled.remove(tag);
    }

    /// Sends one ack for all that are due before the first message that is still out.
    fn flush(&mut self, commands: &mut Vec<Command>) {
        let (mut last, mut acks) = (0, 0);
        while let Some((tag, _)) = self.unsettled.pop_first_if(|_, state| *state == State::AckDue) {
            // The last of them is due itself, so the tag named is unsettled at the broker.
            last = tag;
            acks += 1;
        }
        self.acks_due -= acks;
        match acks {
            0 => {}
            1 => commands.push(Command::Ack { tag: last }),
            _ => commands.push(Command::AckUpTo { tag: last }),
        }
    }

    fn flush_scattered(&mut self, commands: &mut Vec<Command>) {
        if self.acks_due == 0 {
            return;
        }
        self.unsettled.retain(|tag, state| {
            if *state == State::AckDue {
                commands.push(Command::Ack { tag });
            }
            *state != State::AckDue
        });
        self.acks_due = 0;
    }

    fn state_of(&mut self, ticket: Ticket) -> Option<&mut State> {
        (ticket.epoch == self.epoch).then(|| self.unsettled.get_mut(ticket.tag)).flatten()
    }
}
