//! One epoch of an intake: everything between the opening of a channel and its end.

use super::acks::{self, Acks};
use super::batches::{Batches, HandedOut, OVERDUE};
use super::publishing::Publishing;
use super::{Control, Ended, Thread};
use crate::delivered::Message;
use crate::error::{Error, Fault};
use crate::handler::Decision;
use crate::ledger::{Command, Event, Ledger, Ticket, Verdict};
use crate::message::Delivery;
use crate::outcome::Outcome;
use crate::pool::Finished;
use crate::transport::{Incoming, Settle, Source};
use crossbeam_channel::select;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pool does not tell when a thread is free: how soon to look again.
const SEAT_SOON: Duration = Duration::from_millis(5);
const SEAT_LATER: Duration = Duration::from_millis(50);

/// How long deliveries may gather while they flow to quick handlers; a prefetch of 100 is not used up meanwhile.
const GATHER: Duration = Duration::from_micros(200);

/// How many deliveries are read before anything else gets its turn.
const READ_AT_ONCE: usize = 256;

pub(super) struct Desk<'a> {
    thread: &'a mut Thread,
    queue: Arc<str>,
    epoch: u64,
    ledger: Ledger,
    commands: Vec<Command>,
    /// Delivered and not yet handed to the pool, in order.
    backlog: VecDeque<Delivery>,
    batches: Batches,
    publishing: Publishing,
    handed_out: HandedOut,
    acks: Acks,
    /// When a delivery last woke us.
    last_wake: Instant,
    draining: Option<Instant>,
    /// Our cancel is through: nothing more arrives, and the receiver's end says nothing about the connection.
    cancelled: bool,
}

impl<'a> Desk<'a> {
    pub fn open(thread: &'a mut Thread, epoch: u64) -> Self {
        let queue: Arc<str> = thread.subscription.queue.as_str().into();
        Desk {
            batches: Batches::new(thread, queue.clone()),
            queue,
            epoch,
            ledger: Ledger::new(epoch),
            commands: Vec::new(),
            backlog: VecDeque::new(),
            publishing: Publishing::new(&thread.around),
            handed_out: HandedOut::All,
            acks: Acks::new(thread.subscription.prefetch),
            last_wake: Instant::now(),
            draining: None,
            cancelled: false,
            thread,
        }
    }

    pub fn work<S: Source>(mut self, source: &mut S) -> Ended {
        loop {
            match self.round(source) {
                Ok(()) => {}
                Err(ended) => {
                    self.close();
                    return self.as_told(ended);
                }
            }
        }
    }

    /// However the channel goes while draining, that was the end: consuming anew would take in new messages.
    fn as_told(&self, ended: Ended) -> Ended {
        if self.draining.is_none() {
            return ended;
        }
        let left = self.ledger.unsettled();
        if left > 0 {
            self.thread.clean.store(false, Ordering::Release);
            log::warn!("`{}`: {left} messages were not settled and will be delivered again", self.queue);
        }
        Ended::Told
    }

    /// Takes all that is ready, hands out, settles, and waits if there was nothing.
    fn round<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let mut busy = self.read_deliveries(source)?;
        while let Ok(finished) = self.batches.receiver().try_recv() {
            self.take_finished(&finished);
            busy = true;
        }
        busy |= self.take_published();
        if let Ok(control) = self.thread.orders.try_recv() {
            self.obey(control, source)?;
        }
        if self.draining.is_some() {
            self.hand_back_refused();
        } else if self.publishing.next_try().try_recv().is_ok() {
            self.try_refused_again();
        }
        self.hand_out();
        self.publishing.submit();
        self.flush(busy);
        self.settle(source)?;
        self.check_drained()?;
        if !busy {
            self.wait(source)?;
        }
        Ok(())
    }

    fn read_deliveries<S: Source>(&mut self, source: &mut S) -> Result<bool, Ended> {
        let began = Instant::now();
        let on_this_thread = self.thread.consumer.runs_on_intake_thread();
        for read in 0..READ_AT_ONCE {
            // A handler on this thread takes its time; orders and acks must not wait for all that is ready.
            if self.cancelled || (on_this_thread && read > 0 && began.elapsed() > acks::WITHIN) {
                return Ok(read > 0);
            }
            match source.receiver().try_recv() {
                Ok(raw) => {
                    let incoming = source.read(raw);
                    self.take_incoming(incoming)?;
                }
                Err(err) if err.is_disconnected() => return Err(Ended::Lost(source.failure())),
                Err(_) => return Ok(read > 0),
            }
        }
        Ok(true)
    }

    fn take_incoming(&mut self, incoming: Incoming) -> Result<(), Ended> {
        match incoming {
            Incoming::Delivery(delivery) => {
                self.apply(Event::Delivered { tag: delivery.tag });
                self.take_delivery(delivery);
                Ok(())
            }
            Incoming::CancelDone => {
                self.cancelled = true;
                Ok(())
            }
            // Settle nothing more on this channel: an ack after the broker's cancel can cost the whole connection.
            Incoming::Cancelled if self.draining.is_some() => Err(Ended::Told),
            Incoming::Cancelled => Err(Ended::Channel(Error::new(
                Fault::NotFound,
                "the broker cancelled the consumer (queue deleted or moved, or a message held too long)",
            ))),
            Incoming::Closed(err) if err.fault() == Fault::ChannelClosed => Err(Ended::Channel(err)),
            Incoming::Closed(err) => Err(Ended::Lost(err)),
        }
    }

    fn take_delivery(&mut self, delivery: Delivery) {
        if self.draining.is_some() {
            return self.hand_back(delivery.tag);
        }
        if !self.thread.consumer.runs_on_intake_thread() {
            return self.backlog.push_back(delivery);
        }
        let message = Message::new(&delivery, &self.queue);
        let decision = self.thread.performance.perform(&message);
        self.take_decision(&delivery, decision);
    }

    fn take_finished(&mut self, finished: &Finished) {
        if let Some(mut out) = self.batches.finish(finished) {
            self.take_decided(out.take_decided());
        }
    }

    fn take_decided(&mut self, decided: Vec<(u64, Decision, Option<Delivery>)>) {
        for (tag, decision, delivery) in decided {
            match (decision, delivery) {
                (Decision::Ack, _) => self.decide(tag, 0, Verdict::Ack),
                (decision, Some(delivery)) => self.take_decision(&delivery, decision),
                (_, None) => debug_assert!(false, "a batch decides about its own messages only"),
            }
        }
    }

    fn take_decision(&mut self, delivery: &Delivery, decision: Decision) {
        let plan = match decision {
            Decision::Ack => return self.decide(delivery.tag, 0, Verdict::Ack),
            Decision::Other(plan) => plan,
        };
        if let Some((code, reason)) = &plan.halt {
            (self.thread.around.halt)(*code, reason.clone());
        }
        self.decide(delivery.tag, plan.publications.len() as u32, plan.verdict);
        let ticket = Ticket { epoch: self.epoch, tag: delivery.tag };
        self.publishing.begin(ticket, delivery, *plan);
    }

    fn take_published(&mut self) -> bool {
        let (events, again) = self.publishing.answers();
        let any = !events.is_empty();
        events.into_iter().for_each(|event| self.apply(event));
        for (delivery, reason) in again {
            // The handler published what the broker does not take: that is a failed attempt.
            let message = Message::new(&delivery, &self.queue);
            let decision = self.thread.performance.decide(&message, Outcome::retry(reason));
            self.take_decision(&delivery, decision);
        }
        any
    }

    fn decide(&mut self, tag: u64, publishes: u32, verdict: Verdict) {
        self.apply(Event::Decided { ticket: Ticket { epoch: self.epoch, tag }, publishes, verdict });
    }

    fn hand_back(&mut self, tag: u64) {
        self.decide(tag, 0, Verdict::Requeue);
    }

    fn apply(&mut self, event: Event) {
        self.ledger.apply(event, &mut self.commands);
    }

    fn hand_out(&mut self) {
        if let Some(decided) = self.batches.take_back_overdue(&mut self.backlog) {
            self.take_decided(decided);
        }
        self.handed_out = self.batches.hand_out(&mut self.backlog);
    }

    fn flush(&mut self, busy: bool) {
        // Quick handlers soon make more acks; others may take long, and the prefetch must not wait for them.
        let idle = !busy && !self.batches.are_quick();
        if idle || self.thread.consumer.runs_on_intake_thread() || self.draining.is_some() {
            self.apply(Event::Flush);
        }
        self.acks.flush(&mut self.ledger, &mut self.commands);
    }

    fn settle<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        for command in std::mem::take(&mut self.commands) {
            let settle = match command {
                Command::Ack { tag } => Settle::Ack { tag },
                Command::AckUpTo { tag } => Settle::AckUpTo { tag },
                Command::Reject { tag } => Settle::Reject { tag },
                Command::Requeue { tag } => Settle::Requeue { tag },
            };
            if let Err(err) = source.settle(settle) {
                // What ended the channel is on the receiver, if the connection lives; there it is told apart. After our own
                // cancel the receiver has ended, which says nothing about the connection, and nobody may be asked to close it.
                return Err(if self.cancelled { Ended::Told } else { self_explained(source, err) });
            }
        }
        Ok(())
    }

    fn obey<S: Source>(&mut self, control: Control, source: &mut S) -> Result<(), Ended> {
        match control {
            Control::Leave => Err(Ended::Told),
            Control::Drain { due } => {
                self.draining = Some(due);
                if let Err(err) = source.cancel() {
                    return Err(self_explained(source, err));
                }
                self.hand_back_all();
                Ok(())
            }
        }
    }

    fn hand_back_all(&mut self) {
        for delivery in std::mem::take(&mut self.backlog) {
            self.hand_back(delivery.tag);
        }
        for delivery in self.batches.revoke() {
            self.hand_back(delivery.tag);
        }
    }

    /// What could not be moved goes back: a full archive must not hold up the end.
    fn hand_back_refused(&mut self) {
        for ticket in self.publishing.give_up_refused() {
            self.apply(Event::Refused { ticket });
            self.hand_back(ticket.tag);
        }
    }

    fn try_refused_again(&mut self) {
        self.thread.declare_beside();
        self.publishing.try_again();
    }

    fn check_drained(&mut self) -> Result<(), Ended> {
        match self.draining {
            Some(_) if self.ledger.unsettled() == 0 => Err(Ended::Told),
            Some(due) if Instant::now() >= due => Err(Ended::Told),
            _ => Ok(()),
        }
    }

    /// Blocks until something comes, or until something is due that nobody tells of.
    fn wait<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        // While a quick batch is out, deliveries gather: its end wakes us for all of them at once.
        let gathering = self.handed_out == HandedOut::Gathering || self.batches.are_nearly_done();
        let limit = self.longest_wait(gathering);
        let retry = self.publishing.next_try();
        let never = crossbeam_channel::never();
        let deliveries = if self.cancelled || gathering { &never } else { source.receiver() };
        select! {
            recv(deliveries) -> raw => match raw {
                Ok(raw) => {
                    let incoming = source.read(raw);
                    self.take_incoming(incoming)?;
                    self.gather(source)?;
                }
                Err(_) => return Err(Ended::Lost(source.failure())),
            },
            recv(self.batches.receiver()) -> finished => {
                if let Ok(finished) = finished {
                    self.take_finished(&finished);
                }
            }
            recv(self.publishing.receiver()) -> published => {
                if let Ok(published) = published {
                    self.publishing.keep(published);
                }
            }
            recv(retry) -> _ => self.try_refused_again(),
            recv(self.thread.orders) -> control => self.obey(control.unwrap_or(Control::Leave), source)?,
            // What is due by now is for the next round to find out.
            default(limit) => {}
        }
        Ok(())
    }

    /// In a steady flow to quick handlers, lets a few more messages come before anybody is woken for the first.
    fn gather<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let steady = self.last_wake.elapsed() < GATHER * 4;
        self.last_wake = Instant::now();
        if !steady || !self.batches.are_quick() {
            return Ok(());
        }
        match self.thread.orders.recv_timeout(GATHER) {
            Err(err) if err.is_timeout() => Ok(()),
            order => self.obey(order.unwrap_or(Control::Leave), source),
        }
    }

    fn longest_wait(&self, gathering: bool) -> Duration {
        let limit = match self.handed_out {
            _ if gathering => GATHER,
            HandedOut::NoSeat if self.batches.is_empty() => SEAT_SOON,
            _ if self.draining.is_some() || self.batches.may_be_overdue() => OVERDUE,
            // Most likely a batch of ours ends first, and that wakes us.
            HandedOut::NoSeat => SEAT_LATER,
            _ if self.publishing.has_unsent() => SEAT_LATER,
            _ => Duration::from_secs(60),
        };
        self.acks.due_in().map_or(limit, |left| limit.min(left))
    }

    /// Nothing of this epoch may begin any more: the broker delivers it again.
    fn close(&mut self) {
        self.batches.revoke();
        self.publishing.abandon();
        if self.ledger.stale() > 0 {
            log::debug!("`{}`: {} outcomes came too late and were dropped", self.queue, self.ledger.stale());
        }
    }
}

/// A call that failed on a channel that the broker closed: the reason was sent before.
fn self_explained<S: Source>(source: &mut S, err: Error) -> Ended {
    loop {
        match source.receiver().try_recv() {
            Ok(raw) => match source.read(raw) {
                Incoming::Closed(cause) if cause.fault() == Fault::ChannelClosed => return Ended::Channel(cause),
                Incoming::Closed(cause) => return Ended::Lost(cause),
                Incoming::Cancelled => return Ended::Channel(err),
                // Unsettled and unheard of: the broker delivers it again.
                Incoming::Delivery(_) | Incoming::CancelDone => {}
            },
            Err(gone) if gone.is_disconnected() => return Ended::Lost(source.failure()),
            Err(_) => return Ended::Lost(err),
        }
    }
}
