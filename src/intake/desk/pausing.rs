//! When no handler begins: while what was given up on finds no place, and while the kill switch is open.

use super::Desk;
use crate::handler::{Decision, IfRefused};
use crate::intake::publishing::Obstacle;
use crate::intake::Ended;
use crate::kill_switch::Position;
use crate::message::Delivery;
use crate::tally::ConsumerState;
use crate::transport::Source;
use std::time::{Duration, Instant};

/// How many messages may be begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayBegin {
    All,
    /// One at a time.
    One,
    None,
}

/// While nothing is consumed, nobody tells that the channel or the connection is gone: how often to ask.
pub(super) const LOOK_AFTER_CHANNEL: Duration = Duration::from_secs(2);

impl Desk<'_> {
    /// Finds out whether what is held is still ours, while nothing is consumed.
    pub(super) fn look_after_channel<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        if !self.cancelled || self.answered.elapsed() < LOOK_AFTER_CHANNEL {
            return Ok(());
        }
        self.answered = Instant::now();
        source.barrier().map_err(|err| self.ended_by(source, err))
    }

    pub(super) fn may_begin(&mut self) -> MayBegin {
        if self.draining.is_some() || self.halting || self.obstacle.is_some() {
            return MayBegin::None;
        }
        match self.position() {
            None | Some(Position::Closed) if !self.thread.lacks_a_place => MayBegin::All,
            None | Some(Position::Closed) if self.probing.is_none() && !self.publishing.is_waiting() => MayBegin::One,
            None | Some(Position::Closed) => MayBegin::None,
            Some(Position::Probing) if self.probing.is_none() => MayBegin::One,
            Some(Position::Probing) => MayBegin::None,
            Some(Position::Open { .. }) => MayBegin::None,
        }
    }

    /// Says once when handling has to pause, and once when it goes on.
    pub(super) fn look_for_obstacles(&mut self) {
        let obstacle = self.publishing.obstacle();
        if self.obstacle.is_some() == obstacle.is_some() || self.draining.is_some() {
            return;
        }
        let queue = &self.queue;
        match &obstacle {
            Some(Obstacle::Refused { place, reason }) => log::warn!(
                "`{queue}` pauses: `{place}` does not take a message ({reason}); what is to go there stays on its queue, \
                 unsettled. Make room there, and it goes on by itself"
            ),
            Some(Obstacle::Unanswered) => log::warn!(
                "`{queue}` pauses: the broker has not confirmed a publish for a while (an alarm, or the publishing connection \
                 is away); what is to be moved stays on its queue, unsettled. It goes on by itself when the broker takes it"
            ),
            None => log::info!("`{queue}` goes on: what waited has found its place"),
        }
        if obstacle.is_some() {
            // Also what waits for a thread.
            self.take_back_all();
        }
        self.obstacle = obstacle;
        self.tell_state();
    }

    /// What an operator sees of it.
    pub(super) fn tell_state(&mut self) {
        let is_closed = matches!(self.position(), None | Some(Position::Closed));
        let reason = match &self.obstacle {
            Some(Obstacle::Refused { place, reason }) => Some(format!("`{place}` does not take a message ({reason})")),
            Some(Obstacle::Unanswered) => Some("the broker does not confirm what is published".into()),
            None if !is_closed => Some("its kill switch is open".into()),
            None => None,
        };
        self.thread.tally.set_state(match reason {
            _ if self.draining.is_some() => ConsumerState::Away,
            Some(reason) => ConsumerState::Paused { reason },
            None => ConsumerState::Consuming,
        });
    }

    /// Tells the kill switch of an attempt, and stops consuming if that trips it.
    pub(super) fn note_attempt(&mut self, decision: &Decision) {
        self.thread.lacks_a_place &= !matches!(decision, Decision::Ack);
        let has_failed = match decision {
            Decision::Ack => false,
            Decision::Other(plan) if plan.has_failed => true,
            Decision::Other(plan) if plan.if_refused == IfRefused::FailAttempt => false,
            // Rejected or handed back: that says nothing of what the handler stands on.
            Decision::Other(_) => return,
        };
        let Some(switch) = self.thread.switch.as_mut() else { return };
        let (now, queue) = (self.thread.around.clock.now(), &self.queue);
        let was_probing = switch.position(now) == Position::Probing;
        if let Some(pause) = switch.note(has_failed, now) {
            let why = if was_probing { "the message tried after the pause failed" } else { "too many attempts fail" };
            log::error!("`{queue}` pauses: {why}; nothing is handled for {pause:?}, then one message is tried");
            self.trip = true;
        } else if was_probing {
            log::info!("`{queue}` goes on: the message tried after the pause went well");
        }
        if was_probing || self.trip {
            self.tell_state();
        }
    }

    /// On a new channel, what the kill switch has said still holds.
    pub(super) fn keep_paused<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        self.trip = matches!(self.position(), Some(Position::Open { .. } | Position::Probing));
        self.tell_state();
        self.mind_switch(source)
    }

    /// Does what the kill switch says about consuming.
    pub(super) fn mind_switch<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        if self.draining.is_some() {
            return Ok(());
        }
        let Some(position) = self.position() else { return Ok(()) };
        let is_tripped = std::mem::take(&mut self.trip);
        match position {
            Position::Open { .. } => {
                if is_tripped {
                    self.take_back_all();
                    self.stop_consuming(source)?;
                }
                self.mind_the_clock();
                Ok(())
            }
            // What was kept is tried first; when there is none, the broker is asked for one.
            Position::Probing if is_tripped => self.stop_consuming(source),
            Position::Probing if self.probing.is_none() && self.has_nothing_to_begin() && self.cancelled => {
                self.consume_again(source)
            }
            Position::Closed if self.prefetch < self.thread.subscription.prefetch && !self.cancelled => {
                self.stop_consuming(source)
            }
            Position::Closed if self.has_nothing_to_begin() && self.cancelled => self.consume_again(source),
            Position::Probing | Position::Closed => Ok(()),
        }
    }

    /// While the switch is open: hands back what was kept long enough, and sees to it that somebody looks again.
    fn mind_the_clock(&mut self) {
        let (Some(switch), clock) = (&self.thread.switch, &self.thread.around.clock) else { return };
        let now = clock.now();
        if self.probe.is_none() {
            self.probe = switch.next_look(now).map(|delay| clock.after(delay));
        }
        if switch.has_held(now) {
            self.hand_back_all();
        }
    }

    fn position(&mut self) -> Option<Position> {
        let now = self.thread.around.clock.now();
        self.thread.switch.as_mut().map(|switch| switch.position(now))
    }

    fn has_nothing_to_begin(&self) -> bool {
        !self.suspects.is_under_way() && self.backlog.is_empty() && self.waiting.is_empty()
    }

    /// How many messages the broker may hand over at once: while the kill switch probes, one.
    fn prefetch_now(&mut self) -> u16 {
        match self.position() {
            None | Some(Position::Closed) => self.thread.subscription.prefetch,
            Some(Position::Probing | Position::Open { .. }) => 1,
        }
    }

    /// What no handler has begun comes back from the pool, in its order.
    pub(super) fn take_back_all(&mut self) {
        for delivery in self.take_back().into_iter().rev() {
            self.backlog.push_front(delivery);
        }
    }

    /// What no handler has begun. If the probe is among it, there is none any more: nobody would ever tell of its end.
    pub(super) fn take_back(&mut self) -> Vec<Delivery> {
        let deliveries = self.batches.revoke();
        self.probing = self.probing.filter(|probing| deliveries.iter().all(|delivery| delivery.tag != *probing));
        deliveries
    }

    pub(super) fn stop_consuming<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        source.cancel().map_err(|err| self.ended_by(source, err))
    }

    pub(super) fn consume_again<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let prefetch = self.prefetch_now();
        source.resume(prefetch).map_err(|err| self.ended_by(source, err))?;
        (self.cancelled, self.prefetch) = (false, prefetch);
        Ok(())
    }
}
