//! What arrives at a desk: deliveries, and the end of them.

use super::Desk;
use crate::error::Fault;
use crate::intake::Ended;
use crate::ledger::{Event, Verdict};
use crate::message::Delivery;
use crate::poison::Suspicion;
use crate::recall::Remembered;
use crate::transport::{Incoming, Source};

/// How many deliveries are read before anything else gets its turn.
const READ_AT_ONCE: usize = 256;

impl Desk<'_> {
    /// Says whether there may be more.
    pub(super) fn read_deliveries<S: Source>(&mut self, source: &mut S) -> Result<bool, Ended> {
        for _ in 0..READ_AT_ONCE {
            if self.cancelled {
                return Ok(false);
            }
            match source.receiver().try_recv() {
                Ok(raw) => {
                    let incoming = source.read(raw);
                    self.take_incoming(incoming)?;
                }
                Err(err) if err.is_disconnected() => return Err(Ended::Lost(source.failure())),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    pub(super) fn take_incoming(&mut self, incoming: Incoming) -> Result<(), Ended> {
        match incoming {
            Incoming::Delivery(delivery) => {
                self.apply(Event::Delivered { tag: delivery.tag });
                self.thread.tally.delivered.add_one();
                self.last_tag = delivery.tag;
                self.flow.note();
                self.take_delivery(delivery);
                Ok(())
            }
            Incoming::CancelDone => {
                self.cancelled = true;
                Ok(())
            }
            // Settle nothing more on this channel: an ack after the broker's cancel can cost the whole connection.
            Incoming::Cancelled if self.draining.is_some() => Err(Ended::Told),
            Incoming::Cancelled => Err(Ended::Cancelled { held: None }),
            Incoming::Closed(err) if err.fault() == Fault::ChannelClosed => Err(Ended::Channel(err)),
            Incoming::Closed(err) => Err(Ended::Lost(err)),
        }
    }

    fn take_delivery(&mut self, delivery: Delivery) {
        if self.draining.is_some() {
            return self.hand_back(delivery.tag);
        }
        if delivery.redelivered {
            self.waiting.push(delivery.into());
        } else if self.thread.performance.poison.may_suspect(&delivery.parts) {
            self.admit(delivery);
        } else {
            self.backlog.push_back(delivery);
        }
    }

    /// What came again may have been moved before its channel was lost: it is handled only if it was not. Says whether any waits
    /// no more: somebody may have waited for that.
    pub(super) fn judge_waiting(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let count = waiting.len();
        for mut returned in waiting {
            match self.thread.around.recall.of(&self.queue, &mut returned) {
                Remembered::Nothing => self.admit(returned.delivery),
                Remembered::OnItsWay => self.waiting.push(returned),
                Remembered::Moved => {
                    log::info!("`{}`: a message came again that had been moved; it is acked without another run", self.queue);
                    self.decide(returned.delivery.tag, 0, Verdict::Ack);
                }
            }
        }
        self.waiting.len() < count
    }

    /// Poison is not handled again, and what may be poison is handled alone.
    fn admit(&mut self, delivery: Delivery) {
        let message = self.thread.performance.message(&delivery, &self.queue);
        match self.thread.performance.poison.suspect(&message) {
            Suspicion::None => self.backlog.push_back(delivery),
            Suspicion::Alone(times) => self.suspects.add(times, delivery),
            Suspicion::ToTheEnd(times) => {
                let decision = self.thread.performance.to_the_end(&message, times);
                self.take_decision(&delivery, decision);
            }
            Suspicion::GiveUp(times) => {
                let reason = format!("it came again {times} times without a word of its worker, which it may have killed");
                let decision = self.thread.performance.give_up(&message, &reason);
                self.take_decision(&delivery, decision);
            }
        }
    }
}
