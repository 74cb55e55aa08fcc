//! How messages leave a desk: decisions into the ledger, its commands to the broker, and the end of all.

use super::Desk;
use crate::error::{Error, Fault};
use crate::intake::acks;
use crate::intake::ending::self_explained;
use crate::intake::{Control, Ended};
use crate::ledger::{Event, Ticket, Verdict};
use crate::transport::Source;
use std::time::Instant;

impl Desk<'_> {
    pub(super) fn decide(&mut self, tag: u64, publishes: u32, verdict: Verdict) {
        self.apply(Event::Decided { ticket: Ticket { epoch: self.epoch, tag }, publishes, verdict });
    }

    pub(super) fn hand_back(&mut self, tag: u64) {
        self.decide(tag, 0, Verdict::Requeue);
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.ledger.apply(event, &mut self.commands);
    }

    pub(super) fn flush(&mut self, busy: bool) {
        // Quick handlers at work soon make more acks; in a flow there are enough by now. Others may take long, and the prefetch
        // must not wait for them.
        let is_still = self.batches.is_empty() && self.backlog.is_empty();
        let more_soon = self.batches.are_quick() && (busy || !(is_still || self.flow.is_steady()));
        if !more_soon || self.draining.is_some() {
            self.apply(Event::Flush);
        }
        self.acks.flush(&mut self.ledger, &mut self.commands);
    }

    pub(super) fn settle<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        for command in std::mem::take(&mut self.commands) {
            if let Err(err) = source.settle(acks::in_words(command)) {
                return Err(self.ended_by(source, err));
            }
        }
        Ok(())
    }

    pub(super) fn obey<S: Source>(&mut self, control: Control, source: &mut S) -> Result<(), Ended> {
        match control {
            Control::Leave => Err(Ended::Told),
            Control::Drain { due } => {
                self.draining = Some(due);
                self.tell_state();
                let cancelled = source.cancel();
                self.hand_back_all();
                // What was handed back goes by itself where the broker is gone or hangs.
                cancelled.map_err(|err| self.ended_by(source, err))
            }
        }
    }

    /// Everything that no handler has begun goes back to its queue.
    pub(super) fn hand_back_all(&mut self) {
        let (backlog, waiting) = (std::mem::take(&mut self.backlog), std::mem::take(&mut self.waiting));
        let waiting = waiting.into_iter().map(|returned| returned.delivery);
        for delivery in backlog.into_iter().chain(waiting).chain(self.suspects.take_all()) {
            self.hand_back(delivery.tag);
        }
        for delivery in self.take_back() {
            self.hand_back(delivery.tag);
        }
    }

    /// What could not be moved goes back: a full archive must not hold up the end.
    pub(super) fn hand_back_refused(&mut self) {
        for ticket in self.publishing.give_up_refused() {
            self.apply(Event::Refused { ticket });
            self.hand_back(ticket.tag);
        }
    }

    pub(super) fn try_refused_again(&mut self) {
        self.thread.declare_beside();
        self.publishing.try_again();
    }

    pub(super) fn check_drained(&mut self) -> Result<(), Ended> {
        match self.draining {
            Some(_) if self.ledger.unsettled() == 0 => Err(Ended::Told),
            Some(due) if Instant::now() >= due => Err(Ended::Told),
            _ => Ok(()),
        }
    }

    /// What a failed call on the channel means.
    pub(super) fn ended_by<S: Source>(&self, source: &mut S, err: Error) -> Ended {
        match err.fault() {
            // What ended the channel is on the receiver, if the connection lives; there it is told apart.
            _ if !self.cancelled => self_explained(source, err),
            // After our own cancel the receiver has ended, which says nothing about the connection, and nobody may be asked to
            // close it.
            _ if self.draining.is_some() => Ended::Told,
            Fault::Lost | Fault::Timeout => Ended::Lost(err),
            _ => Ended::Channel(err),
        }
    }
}
