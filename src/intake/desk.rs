//! One epoch of an intake: everything between the opening of a channel and its end.

mod arriving;
mod isolating;
mod leaving;
mod pausing;
mod waiting;

use self::isolating::Suspects;
use self::pausing::MayBegin;
use super::acks::Acks;
use super::batches::{Batches, HandedOut};
use super::ending::explained;
use super::flow::Flow;
use super::held::Held;
use super::publishing::{Obstacle, Publishing, Refused};
use super::{Ended, Thread};
use crate::handler::{Decision, IfRefused};
use crate::ledger::{Command, Ledger, Ticket, Verdict};
use crate::message::Delivery;
use crate::outcome::Outcome;
use crate::pool::Finished;
use crate::recall::Returned;
use crate::stint::Stint;
use crate::tally::Watched;
use crate::transport::Source;
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long handlers run on this thread before anything else gets its turn.
const HERE_AT_ONCE: Duration = Duration::from_millis(1);

pub(super) struct Desk<'a> {
    thread: &'a mut Thread,
    queue: Arc<str>,
    epoch: u64,
    ledger: Ledger,
    commands: Vec<Command>,
    /// Delivered and not yet handed to the pool, in order.
    backlog: VecDeque<Delivery>,
    /// Come again while their copies are being published: what becomes of those decides.
    waiting: Vec<Returned>,
    suspects: Suspects,
    batches: Batches,
    /// What this thread itself is at, where handlers run on it.
    here: Watched,
    publishing: Publishing,
    handed_out: HandedOut,
    acks: Acks,
    flow: Flow,
    /// The last that came, and for how long the oldest has been here.
    last_tag: u64,
    held: Held,
    draining: Option<Instant>,
    /// A handler has asked for the end: nothing more begins until the order to drain comes.
    halting: bool,
    /// Our cancel is through: nothing more arrives, and the receiver's end says nothing about the connection.
    cancelled: bool,
    /// When the broker last answered on the channel while nothing was consumed on it.
    answered: Instant,
    /// What was last said to be in the way of handling.
    obstacle: Option<Obstacle>,
    /// How many messages the broker hands over at once, less than the consumer's prefetch while the kill switch probes.
    prefetch: u16,
    /// The kill switch has just tripped.
    trip: bool,
    /// Rings when the kill switch wants to be looked at.
    probe: Option<Receiver<Instant>>,
    /// The message that it probes with.
    probing: Option<u64>,
}

impl<'a> Desk<'a> {
    pub fn open(thread: &'a mut Thread, epoch: u64) -> Self {
        let queue: Arc<str> = thread.subscription.queue.as_str().into();
        let flow = Flow::new(thread.subscription.prefetch);
        Desk {
            batches: Batches::new(thread, queue.clone()),
            here: thread.tally.watch(Arc::new(Stint::one_by_one(queue.clone(), &thread.around.clock))),
            epoch,
            ledger: Ledger::new(epoch),
            commands: Vec::new(),
            backlog: VecDeque::new(),
            waiting: Vec::new(),
            suspects: Suspects::default(),
            publishing: Publishing::new(&thread.around, queue.clone()),
            queue,
            handed_out: HandedOut::All,
            acks: Acks::new(thread.subscription.prefetch, flow.tick()),
            flow,
            last_tag: 0,
            held: Held::default(),
            draining: None,
            halting: false,
            cancelled: false,
            answered: Instant::now(),
            obstacle: None,
            prefetch: thread.subscription.prefetch,
            trip: false,
            probe: None,
            probing: None,
            thread,
        }
    }

    pub fn work<S: Source>(mut self, source: &mut S) -> Ended {
        let mut going_on = self.keep_paused(source);
        while going_on.is_ok() {
            going_on = self.round(source);
        }
        let ended = explained(going_on.expect_err("the loop ends with it"), self.longest_held());
        self.thread.lacks_a_place |= matches!(self.obstacle, Some(Obstacle::Refused { .. }));
        self.close();
        self.as_told(ended)
    }

    /// What this thread is at is only known to the tally: no round has begun since.
    fn longest_held(&self) -> Option<Duration> {
        let now = self.thread.around.clock.now();
        let is_here = self.thread.consumer.runs_on_intake_thread() && self.ledger.unsettled() > 0;
        self.held.longest(now).max(is_here.then(|| self.here.stint().ran(now)))
    }

    /// However the channel goes while draining, that was the end: consuming anew would take in new messages.
    fn as_told(&self, ended: Ended) -> Ended {
        if self.draining.is_none() {
            return ended;
        }
        let left = self.ledger.unsettled();
        if left > 0 {
            self.thread.clean.store(false, Ordering::Release);
            log::warn!("`{}`: {left} of its messages are not settled and will be delivered again", self.queue);
        }
        Ended::Told
    }

    /// Takes all that is ready, hands out, settles, and waits unless something was left for the next round.
    fn round<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let mut busy = self.read_deliveries(source)?;
        while let Ok(finished) = self.batches.receiver().try_recv() {
            self.take_finished(finished);
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
        if self.draining.is_none() {
            self.thread.look_at_archive();
            self.look_after_channel(source)?;
        }
        self.look_for_obstacles();
        self.mind_switch(source)?;
        busy |= self.judge_waiting();
        self.isolate(source)?;
        busy |= self.hand_out();
        self.publishing.submit();
        self.held.note(self.last_tag, self.ledger.oldest(), self.thread.around.clock.now());
        self.flush(busy);
        self.settle(source)?;
        self.check_drained()?;
        if !busy {
            self.wait(source)?;
        }
        Ok(())
    }

    fn take_finished(&mut self, finished: Finished) {
        if let Some(mut out) = self.batches.finish(&finished) {
            self.take_decided(out.take_decided());
            // There is some only behind a message that halts the worker.
            out.not_begun().into_iter().rev().for_each(|delivery| self.backlog.push_front(delivery));
        }
        // By now it is known here if nothing more is to begin.
        drop(finished.kept);
    }

    fn take_decided(&mut self, decided: Vec<(u64, Decision, Option<Delivery>)>) {
        for (tag, decision, delivery) in decided {
            self.probing = self.probing.filter(|probing| *probing != tag);
            self.note_attempt(&decision);
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
            self.halting = true;
            self.take_back_all();
            (self.thread.around.halt)(*code, reason.clone());
        }
        self.decide(delivery.tag, plan.publications.len() as u32, plan.verdict);
        let ticket = Ticket { epoch: self.epoch, tag: delivery.tag };
        self.thread.filling.note(ticket, &plan.publications);
        self.publishing.begin(ticket, delivery, *plan);
    }

    fn take_published(&mut self) -> bool {
        let (events, again) = self.publishing.answers();
        let any = !events.is_empty();
        self.thread.filling.hear(&events);
        self.thread.lacks_a_place &= !any;
        events.into_iter().for_each(|event| self.apply(event));
        for Refused { delivery, reason, then } in again {
            match then {
                IfRefused::HandleAlone { times } => self.handle_alone(times, delivery, &reason),
                _ => self.fail_again(&delivery, &reason),
            }
        }
        any
    }

    /// The handler published what the broker does not take: that is a failed attempt.
    fn fail_again(&mut self, delivery: &Delivery, reason: &str) {
        let message = self.thread.performance.message(delivery, &self.queue);
        self.thread.tally.acked.take_one_back();
        self.thread.tally.failed.add_one();
        let reason = format!("what the handler published was not taken: {reason}");
        let decision = self.thread.performance.decide(&message, Outcome::retry(reason));
        self.take_decision(delivery, decision);
    }

    /// Has handlers begin with what may be begun; says whether more can be begun at once.
    fn hand_out(&mut self) -> bool {
        if self.thread.consumer.runs_on_intake_thread() {
            return self.handle_here();
        }
        if let Some(decided) = self.batches.take_back_overdue(&mut self.backlog) {
            self.take_decided(decided);
        }
        self.handed_out = match self.may_begin() {
            MayBegin::All => self.batches.hand_out(&mut self.backlog),
            MayBegin::One => self.hand_out_one(),
            MayBegin::None => HandedOut::All,
        };
        false
    }

    fn hand_out_one(&mut self) -> HandedOut {
        let mut one: VecDeque<Delivery> = self.backlog.pop_front().into_iter().collect();
        let tag = one.front().map(|delivery| delivery.tag);
        let handed_out = self.batches.hand_out_now(&mut one);
        match one.pop_front() {
            Some(not_taken) => self.backlog.push_front(not_taken),
            None => self.probing = tag,
        }
        handed_out
    }

    /// Runs handlers on this thread, for a moment: orders and acks must not wait for all that is ready.
    fn handle_here(&mut self) -> bool {
        let began = Instant::now();
        let (mut now, mut handled) = (began, 0);
        while self.may_begin() != MayBegin::None && now <= began + HERE_AT_ONCE {
            let Some(delivery) = self.backlog.pop_front() else { break };
            let message = self.thread.performance.message(&delivery, &self.queue);
            self.here.stint().take(&delivery);
            let begins = self.thread.around.clock.at(now);
            let decision = self.here.run_at(delivery.tag, Some(begins), || self.thread.performance.perform(&message));
            self.note_attempt(&decision);
            self.take_decision(&delivery, decision);
            (now, handled) = (Instant::now(), handled + 1);
        }
        self.batches.measure(handled, now - began);
        // In a flow the next are looked for when it is time.
        handled > 0 && !(self.backlog.is_empty() && self.flow.is_steady())
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
