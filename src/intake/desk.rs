//! One epoch of an intake: everything between the opening of a channel and its end.

use super::publishing::Publishing;
use super::{Control, Ended, Thread};
use crate::delivered::Message;
use crate::error::{Error, Fault};
use crate::handler::Decision;
use crate::ledger::{Command, Event, Ledger, Ticket, Verdict};
use crate::message::Delivery;
use crate::outcome::Outcome;
use crate::pool::{Batch, Finished, Progress};
use crate::transport::{Incoming, Settle, Source};
use crossbeam_channel::{select, Receiver, Sender};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages in a batch at the most; short handlers only.
const LARGEST_BATCH: usize = 64;

/// A batch should not take longer than this, as far as one can tell from the past.
const BATCH_TIME: Duration = Duration::from_micros(200);

/// A batch that takes longer has a slow message in it: what is behind that one is taken back.
const OVERDUE: Duration = Duration::from_millis(20);

/// Acks that wait for an earlier message go one by one after this.
const SCATTERED_ACKS: Duration = Duration::from_millis(1);

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
    batches: Vec<Out>,
    next_batch: u64,
    finished: Receiver<Finished>,
    done: Sender<Finished>,
    publishing: Publishing,
    /// What one message takes, smoothed; starts at a batch's time, so that the first batches are small.
    mean: Duration,
    batch_size: usize,
    /// The pool had no thread for us: look again soon, because nobody tells.
    seat_wanted: bool,
    draining: Option<Instant>,
    /// Our cancel is through: nothing more arrives, and the receiver's end says nothing about the connection.
    cancelled: bool,
}

/// A batch with the pool, and what it holds.
struct Out {
    progress: Arc<Progress>,
    deliveries: Vec<Delivery>,
    handed: Instant,
}

impl<'a> Desk<'a> {
    pub fn open(thread: &'a mut Thread, epoch: u64) -> Self {
        // Every batch holds at least one delivery, and the prefetch bounds those.
        let (done, finished) = crossbeam_channel::bounded(usize::from(thread.subscription.prefetch));
        Desk {
            queue: thread.subscription.queue.as_str().into(),
            epoch,
            ledger: Ledger::new(epoch),
            commands: Vec::new(),
            backlog: VecDeque::new(),
            batches: Vec::new(),
            next_batch: 0,
            finished,
            done,
            publishing: Publishing::new(&thread.around),
            mean: BATCH_TIME,
            batch_size: 1,
            seat_wanted: false,
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
                    return ended;
                }
            }
        }
    }

    /// Takes all that is ready, hands out, settles, and waits if there was nothing.
    fn round<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let mut busy = self.read_deliveries(source)?;
        while let Ok(finished) = self.finished.try_recv() {
            self.take_finished(finished);
            busy = true;
        }
        busy |= self.take_published();
        if let Ok(control) = self.thread.orders.try_recv() {
            self.obey(control, source)?;
        }
        self.hand_out();
        self.publishing.submit();
        let flush_at = (usize::from(self.thread.subscription.prefetch) / 4).clamp(1, LARGEST_BATCH);
        if !busy || self.ledger.acks_due() >= flush_at || self.draining.is_some() {
            self.apply(Event::Flush);
            // What is due and not in the prefix stands behind a slow message; half a prefetch of that would starve us.
            if self.ledger.acks_due() >= 2 * flush_at {
                self.apply(Event::FlushAll);
            }
        }
        self.settle(source)?;
        self.check_drained()?;
        if !busy {
            self.wait(source)?;
        }
        Ok(())
    }

    fn read_deliveries<S: Source>(&mut self, source: &mut S) -> Result<bool, Ended> {
        for read in 0..READ_AT_ONCE {
            if self.cancelled {
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
            Incoming::Cancelled if self.draining.is_some() => {
                self.cancelled = true;
                Ok(())
            }
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

    fn take_finished(&mut self, finished: Finished) {
        let Some(place) = self.batches.iter().position(|out| out.progress.id == finished.batch) else { return };
        let out = self.batches.swap_remove(place);
        self.take_decided(&out);
        if finished.messages > 0 {
            self.mean = (self.mean * 3 + finished.took / finished.messages) / 4;
            let fitting = BATCH_TIME.as_nanos() / self.mean.as_nanos().max(1);
            self.batch_size =
                usize::try_from(fitting).unwrap_or(LARGEST_BATCH).clamp(1, self.batch_size * 2).min(LARGEST_BATCH);
        }
    }

    fn take_decided(&mut self, out: &Out) {
        for (tag, decision) in out.progress.take_decided() {
            match (decision, out.deliveries.iter().find(|delivery| delivery.tag == tag)) {
                (Decision::Ack, _) => self.decide(tag, 0, Verdict::Ack),
                (decision, Some(delivery)) => self.take_decision(delivery, decision),
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
        self.take_back_overdue();
        self.seat_wanted = false;
        while !self.backlog.is_empty() {
            let most = self.thread.consumer.most_at_once();
            let Some(seat) = self.thread.around.pool.seat(&self.queue, most) else {
                self.seat_wanted = true;
                return;
            };
            let half = (usize::from(self.thread.subscription.prefetch) / 2).max(1);
            let size = self.batch_size.min(half).min(self.backlog.len());
            let deliveries: Vec<Delivery> = self.backlog.drain(..size).collect();
            let messages = deliveries.iter().map(|delivery| (delivery.tag, Message::new(delivery, &self.queue))).collect();
            self.next_batch += 1;
            let progress = Arc::new(Progress::new(self.next_batch));
            let performance = self.thread.performance.clone();
            let batch = Batch { performance, messages, progress: progress.clone(), seat, done: self.done.clone() };
            if self.thread.around.pool.hand(batch).is_err() {
                deliveries.into_iter().rev().for_each(|delivery| self.backlog.push_front(delivery));
                self.seat_wanted = true;
                return;
            }
            self.batches.push(Out { progress, deliveries, handed: Instant::now() });
        }
    }

    /// What stands behind a slow message in its batch is taken back, for another thread; what is decided counts now.
    fn take_back_overdue(&mut self) {
        let overdue = |out: &Out| out.deliveries.len() > 1 && out.handed.elapsed() > OVERDUE;
        let Some(place) = self.batches.iter().position(overdue) else { return };
        let mut out = self.batches.swap_remove(place);
        if let Some(begun) = out.progress.revoke() {
            let behind = out.deliveries.split_off(begun.min(out.deliveries.len()));
            behind.into_iter().rev().for_each(|delivery| self.backlog.push_front(delivery));
            self.batch_size = 1;
        }
        self.take_decided(&out);
        out.deliveries.drain(..out.deliveries.len().saturating_sub(1));
        self.batches.push(out);
    }

    fn settle<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        for command in self.commands.drain(..) {
            let settle = match command {
                Command::Ack { tag } => Settle::Ack { tag },
                Command::AckUpTo { tag } => Settle::AckUpTo { tag },
                Command::Reject { tag } => Settle::Reject { tag },
                Command::Requeue { tag } => Settle::Requeue { tag },
            };
            if let Err(err) = source.settle(settle) {
                // What ended the channel is on the receiver, if the connection lives; there it is told apart.
                return Err(self_explained(source, err));
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
        for place in 0..self.batches.len() {
            let out = &mut self.batches[place];
            let begun = out.progress.revoke().unwrap_or(out.deliveries.len());
            let not_begun = out.deliveries.split_off(begun.min(out.deliveries.len()));
            not_begun.into_iter().for_each(|delivery| self.hand_back(delivery.tag));
        }
    }

    fn check_drained(&mut self) -> Result<(), Ended> {
        match self.draining {
            Some(_) if self.ledger.unsettled() == 0 => Err(Ended::Told),
            Some(due) if Instant::now() >= due => {
                self.thread.clean.store(false, Ordering::Release);
                let left = self.ledger.unsettled();
                log::warn!("`{}`: {left} messages were not settled at the deadline and will be delivered again", self.queue);
                Err(Ended::Told)
            }
            _ => Ok(()),
        }
    }

    /// Blocks until something comes, or until something is due that nobody tells of.
    fn wait<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let scattered = self.ledger.acks_due() > 0;
        let limit = self.longest_wait(scattered);
        let retry = self.publishing.next_try();
        let never = crossbeam_channel::never();
        let deliveries = if self.cancelled { &never } else { source.receiver() };
        select! {
            recv(deliveries) -> raw => match raw {
                Ok(raw) => {
                    let incoming = source.read(raw);
                    self.take_incoming(incoming)?;
                }
                Err(_) => return Err(Ended::Lost(source.failure())),
            },
            recv(self.finished) -> finished => {
                if let Ok(finished) = finished {
                    self.take_finished(finished);
                }
            }
            recv(self.publishing.receiver()) -> published => {
                if let Ok(published) = published {
                    self.publishing.keep(published);
                }
            }
            recv(retry) -> _ => self.publishing.try_again(),
            recv(self.thread.orders) -> control => self.obey(control.unwrap_or(Control::Leave), source)?,
            default(limit) => {
                if scattered {
                    self.apply(Event::FlushAll);
                }
            }
        }
        Ok(())
    }

    fn longest_wait(&self, scattered: bool) -> Duration {
        if scattered {
            SCATTERED_ACKS
        } else if self.seat_wanted || self.publishing.has_unsent() {
            Duration::from_millis(5)
        } else if self.draining.is_some() || self.batches.iter().any(|out| out.deliveries.len() > 1) {
            OVERDUE
        } else {
            Duration::from_secs(60)
        }
    }

    /// Nothing of this epoch may begin any more: the broker delivers it again.
    fn close(&mut self) {
        for out in &self.batches {
            out.progress.revoke();
        }
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
