//! Which deliveries are out, and what may be acked, rejected or published next.
//!
//! A pure state machine: events in, commands out; no I/O, no clock. It is the only place a message leaves by, and it keeps
//! three rules. A message is settled once. What a message publishes is confirmed before the message is settled. And acks are
//! coalesced without touching anybody else's message: with tags 1 ack, 2 reject, 3 ack, an `ack up to 3` sent before the
//! `reject 2` would lose message 2.

use std::collections::VecDeque;

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
    /// The broker has been told.
    Settled,
}

/// The deliveries of one epoch: one opening of one channel.
#[derive(Debug)]
pub struct Ledger {
    epoch: u64,
    /// The tag of the first entry; tags on a channel have no gaps.
    first_tag: u64,
    entries: VecDeque<State>,
    acks_due: usize,
    unsettled: usize,
    stale: u64,
}

impl Ledger {
    /// A ledger for a channel that has delivered nothing yet.
    pub fn new(epoch: u64) -> Self {
        Ledger { epoch, first_tag: 1, entries: VecDeque::new(), acks_due: 0, unsettled: 0, stale: 0 }
    }

    /// How many acks the next flush could send.
    pub fn acks_due(&self) -> usize {
        self.acks_due
    }

    /// How many messages the broker still counts as ours.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// How many events came for another epoch, or for a message that had left already: dropped, never sent.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Takes an event in and appends what to tell the broker.
    pub fn apply(&mut self, event: Event, commands: &mut Vec<Command>) {
        match event {
            Event::Delivered { tag } => self.delivered(tag),
            Event::Decided { ticket, publishes, verdict } => match self.state_of(ticket) {
                Some(state @ State::Out) if publishes > 0 => *state = State::Publishing(publishes, verdict),
                Some(State::Out) => self.leave(ticket.tag, verdict, commands),
                _ => self.stale += 1,
            },
            Event::Confirmed { ticket } => match self.state_of(ticket).copied() {
                Some(State::Publishing(1, verdict)) => self.leave(ticket.tag, verdict, commands),
                Some(State::Publishing(missing, verdict)) => {
                    self.set(ticket.tag, State::Publishing(missing - 1, verdict));
                }
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

    fn delivered(&mut self, tag: u64) {
        if self.entries.is_empty() {
            self.first_tag = tag;
        }
        debug_assert_eq!(tag, self.first_tag + self.entries.len() as u64, "tags on a channel have no gaps");
        self.entries.push_back(State::Out);
        self.unsettled += 1;
    }

    fn leave(&mut self, tag: u64, verdict: Verdict, commands: &mut Vec<Command>) {
        match verdict {
            Verdict::Ack => {
                self.acks_due += 1;
                return self.set(tag, State::AckDue);
            }
            // Sent at once, and so before any ack that passes it.
            Verdict::Reject => commands.push(Command::Reject { tag }),
            Verdict::Requeue => commands.push(Command::Requeue { tag }),
        }
        self.unsettled -= 1;
        self.set(tag, State::Settled);
        self.forget_settled();
    }

    /// Sends one ack for the longest settled prefix that ends in an ack.
    fn flush(&mut self, commands: &mut Vec<Command>) {
        if self.acks_due == 0 {
            return;
        }
        let (mut prefix, mut acks) = (0, 0);
        for (place, state) in self.entries.iter().enumerate() {
            match state {
                State::AckDue => (prefix, acks) = (place + 1, acks + 1),
                State::Settled => {}
                State::Out | State::Publishing(..) => break,
            }
        }
        if acks > 0 {
            // The prefix ends in an ack that is due, so the tag named is itself unsettled at the broker.
            let tag = self.first_tag + prefix as u64 - 1;
            commands.push(if acks == 1 { Command::Ack { tag } } else { Command::AckUpTo { tag } });
            self.entries.drain(..prefix);
            self.first_tag += prefix as u64;
            self.acks_due -= acks;
            self.unsettled -= acks;
        }
        self.forget_settled();
    }

    fn flush_scattered(&mut self, commands: &mut Vec<Command>) {
        for (place, state) in self.entries.iter_mut().enumerate() {
            if self.acks_due == 0 {
                break;
            }
            if *state == State::AckDue {
                commands.push(Command::Ack { tag: self.first_tag + place as u64 });
                *state = State::Settled;
                self.acks_due -= 1;
                self.unsettled -= 1;
            }
        }
    }

    fn forget_settled(&mut self) {
        while self.entries.front() == Some(&State::Settled) {
            self.entries.pop_front();
            self.first_tag += 1;
        }
    }

    fn state_of(&mut self, ticket: Ticket) -> Option<&mut State> {
        if ticket.epoch != self.epoch {
            return None;
        }
        let place = ticket.tag.checked_sub(self.first_tag)?;
        self.entries.get_mut(usize::try_from(place).ok()?)
    }

    fn set(&mut self, tag: u64, state: State) {
        let place = usize::try_from(tag - self.first_tag).expect("a tag that is out lies within memory");
        self.entries[place] = state;
    }
}
