//! What a desk waits for when there is nothing to do.

use super::pausing::LOOK_AFTER_CHANNEL;
use super::Desk;
use crate::intake::batches::{HandedOut, AWAY, OVERDUE};
use crate::intake::flow::TICK;
use crate::intake::{Control, Ended};
use crate::transport::Source;
use crossbeam_channel::select;
use std::time::Duration;

/// The pool does not tell when a thread is free: how soon to look again.
const SEAT_SOON: Duration = Duration::from_millis(5);
const SEAT_LATER: Duration = Duration::from_millis(50);

/// How soon to look again at answers that do not come, to say so.
const ANSWERS_SOON: Duration = Duration::from_millis(500);

impl Desk<'_> {
    /// Blocks until something comes, or until something is due that nobody tells of.
    pub(super) fn wait<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let flowing = self.flow.pause();
        let pause = match self.handed_out {
            _ if self.draining.is_some() => None,
            HandedOut::Ahead => Some(AWAY),
            // Where some wait for a thread, its end is what counts.
            HandedOut::NoSeat => None,
            HandedOut::All | HandedOut::Gathering => flowing,
        };
        if let Some(pause) = pause {
            return match self.thread.orders.recv_timeout(pause) {
                Err(err) if err.is_timeout() => Ok(()),
                order => self.obey(order.unwrap_or(Control::Leave), source),
            };
        }
        // While a quick batch is out, deliveries gather: its end wakes us for all of them at once.
        let gathering = self.handed_out == HandedOut::Gathering || self.batches.are_nearly_done();
        let limit = self.longest_wait(gathering);
        let retry = self.publishing.next_try();
        let probe = self.probe.clone().unwrap_or_else(crossbeam_channel::never);
        let never = crossbeam_channel::never();
        let deliveries = if self.cancelled || gathering { &never } else { source.receiver() };
        select! {
            recv(deliveries) -> raw => match raw {
                Ok(raw) => {
                    let incoming = source.read(raw);
                    self.take_incoming(incoming)?;
                }
                Err(_) => return Err(Ended::Lost(source.failure())),
            },
            recv(self.batches.receiver()) -> finished => {
                if let Ok(finished) = finished {
                    self.take_finished(finished);
                }
            }
            recv(self.publishing.receiver()) -> published => {
                if let Ok(published) = published {
                    self.publishing.keep(published);
                }
            }
            recv(retry) -> _ => self.try_refused_again(),
            recv(probe) -> _ => self.probe = None,
            recv(self.thread.orders) -> control => self.obey(control.unwrap_or(Control::Leave), source)?,
            // What is due by now is for the next round to find out.
            default(limit) => {}
        }
        Ok(())
    }

    fn longest_wait(&self, gathering: bool) -> Duration {
        let limit = match self.handed_out {
            _ if gathering => TICK,
            HandedOut::NoSeat if self.batches.is_empty() => SEAT_SOON,
            _ if self.draining.is_some() || self.batches.may_be_overdue() => OVERDUE,
            // Most likely a batch of ours ends first, and that wakes us.
            HandedOut::NoSeat => SEAT_LATER,
            _ if self.publishing.has_unsent() || !self.waiting.is_empty() => SEAT_LATER,
            _ if self.publishing.is_waiting() => ANSWERS_SOON,
            _ if self.cancelled => LOOK_AFTER_CHANNEL,
            _ => Duration::from_secs(60),
        };
        self.acks.due_in().map_or(limit, |left| limit.min(left))
    }
}
