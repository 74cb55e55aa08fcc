//! What an intake has handed to the pool: batches as large as their handlers are quick, and taken back when one is slow.

use super::Thread;
use crate::handler::{Decision, Performance};
use crate::message::Delivery;
use crate::pool::{Batch, Finished, Line, Place, Pool, Progress};
use crate::stint::Stint;
use crossbeam_channel::{Receiver, Sender};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages in a batch at the most; short handlers only.
const LARGEST: usize = 64;

/// Handlers so quick that this many fit into a batch are not spread over threads by twos and threes.
const WORTH_WAITING: usize = 8;

/// How long a batch of quick messages counts as nearly done. A slow message may hide in any batch, so nothing may wait for
/// the end of one longer than this.
const NEARLY_DONE: Duration = Duration::from_millis(1);

/// A batch should not take longer than this, as far as one can tell from the past.
const FITTING: Duration = Duration::from_micros(200);

/// How long the threads may be left alone with a line that lasts for longer.
pub(super) const AWAY: Duration = Duration::from_millis(1);

/// So many handlers end in that time where it is worth it: one look in place of one at each end.
const OFTEN: u32 = 4;

/// A line that lasts so many times as long does not run dry meanwhile.
const LASTS: u32 = 4;

/// A batch that takes longer has a slow message in it: what is behind that one is taken back.
pub(super) const OVERDUE: Duration = Duration::from_millis(20);

pub(super) struct Batches {
    out: Vec<Out>,
    last_id: u64,
    finished: Receiver<Finished>,
    done: Sender<Finished>,
    pool: Pool,
    place: Arc<Place>,
    /// Whether a batch may wait for a thread. A kill switch is to hear of one before the next begins.
    in_line: bool,
    /// Whether any has come to its end since the last look at the line.
    have_ended: bool,
    performance: Arc<Performance>,
    queue: Arc<str>,
    most_at_once: usize,
    /// Half a prefetch, so that the broker can send the one half while the other is handled.
    half: usize,
    /// What one message takes, smoothed; starts at a batch's time, so that the first batches are small.
    mean: Duration,
    size: usize,
    /// A kill switch hears of a batch at its end only: then one more window of attempts has been made at the most.
    largest: usize,
}

/// Whether the pool took all that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandedOut {
    All,
    /// Some wait for a batch that is nearly done: then one batch, and one wakeup, does for them and what comes meanwhile.
    Gathering,
    /// All threads are at work, and what is in their line lasts for a while: they go on with it by themselves.
    Ahead,
    /// The pool has no thread for us, and nobody tells when it has.
    NoSeat,
}

/// A batch with the pool, and what it holds.
pub(super) struct Out {
    progress: Arc<Progress>,
    deliveries: Vec<Delivery>,
    handed: Instant,
}

impl Batches {
    pub fn new(thread: &Thread, queue: Arc<str>) -> Self {
        let prefetch = usize::from(thread.subscription.prefetch);
        // Bounded by what fills it: one for each batch with the pool, which has no more of ours than threads and one in line for
        // each. A bound of its own would keep room for as many as could ever be, on each of many queues.
        let (done, finished) = crossbeam_channel::unbounded();
        Batches {
            out: Vec::new(),
            last_id: 0,
            finished,
            done,
            place: thread.around.pool.place(&queue),
            in_line: thread.switch.is_none(),
            pool: thread.around.pool.clone(),
            have_ended: false,
            performance: thread.performance.clone(),
            queue,
            most_at_once: thread.consumer.most_at_once(),
            half: (prefetch / 2).max(1),
            mean: FITTING,
            size: 1,
            largest: thread.switch.as_ref().map_or(LARGEST, |switch| LARGEST.min(switch.attempts())),
        }
    }

    pub fn receiver(&self) -> &Receiver<Finished> {
        &self.finished
    }

    /// Whether the pool has nothing of ours.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether handlers are so quick that waking a thread costs more than they do.
    pub fn are_quick(&self) -> bool {
        self.full() >= WORTH_WAITING
    }

    /// Whether a batch that is out will wake us in a moment.
    pub fn are_nearly_done(&self) -> bool {
        self.are_quick() && self.out.iter().any(|out| out.handed.elapsed() < NEARLY_DONE)
    }

    fn full(&self) -> usize {
        self.size.min(self.half)
    }

    /// Whether something waits behind a message that may turn out slow.
    pub fn may_be_overdue(&self) -> bool {
        self.out.iter().any(|out| out.deliveries.len() > 1)
    }

    /// Hands out what the pool has threads for, and what is worth waking one.
    pub fn hand_out(&mut self, backlog: &mut VecDeque<Delivery>) -> HandedOut {
        self.hand_to(backlog, self.in_line)
    }

    /// The same for what must not wait behind anything: if there is no thread for it now, it is not handed out.
    pub fn hand_out_now(&mut self, backlog: &mut VecDeque<Delivery>) -> HandedOut {
        self.hand_to(backlog, false)
    }

    fn hand_to(&mut self, backlog: &mut VecDeque<Delivery>, in_line: bool) -> HandedOut {
        while !backlog.is_empty() {
            if backlog.len() < self.full() && self.are_nearly_done() {
                return HandedOut::Gathering;
            }
            if !self.pool.has_room(&self.place, self.most_at_once, in_line) {
                return self.with_line(HandedOut::NoSeat);
            }
            let size = self.full().min(backlog.len());
            let deliveries: Vec<Delivery> = backlog.drain(..size).collect();
            let messages =
                deliveries.iter().map(|delivery| (delivery.tag, self.performance.message(delivery, &self.queue))).collect();
            let stint = Arc::new(Stint::of(messages, &self.performance.tally.clock));
            self.last_id += 1;
            let progress = Arc::new(Progress::new(self.last_id));
            let (performance, done) = (self.performance.clone(), self.done.clone());
            let batch = Batch { performance, stint, progress: progress.clone(), done, is_told_first: !self.in_line };
            if self.pool.hand(&self.place, self.most_at_once, in_line, batch).is_err() {
                put_back(backlog, deliveries);
                return HandedOut::NoSeat;
            }
            self.out.push(Out { progress, deliveries, handed: Instant::now() });
        }
        self.with_line(HandedOut::All)
    }

    /// What the line means for what could be handed out beside it.
    fn with_line(&mut self, handed_out: HandedOut) -> HandedOut {
        // What has been so may be over: then the next end is waited for.
        let have_ended = std::mem::take(&mut self.have_ended);
        let Line { batches, threads } = self.pool.advance(&self.place, self.most_at_once);
        let (work_there, work_meanwhile) = (self.mean * batches as u32, AWAY * threads as u32);
        let lasts = work_there >= work_meanwhile * LASTS;
        let end_often = have_ended && work_meanwhile >= self.mean * OFTEN;
        match batches {
            0 => handed_out,
            // A kill switch wants to hear of each end.
            _ if self.in_line && lasts && end_often => HandedOut::Ahead,
            _ => HandedOut::NoSeat,
        }
    }

    /// A batch that has come to its end; the next ones are sized by how long it took.
    pub fn finish(&mut self, finished: &Finished) -> Option<Out> {
        let place = self.out.iter().position(|out| out.progress.id == finished.batch)?;
        self.measure(finished.messages, finished.took);
        self.have_ended = true;
        Some(self.out.swap_remove(place))
    }

    /// So many messages took so long.
    pub fn measure(&mut self, messages: u32, took: Duration) {
        if messages > 0 {
            self.mean = (self.mean * 3 + took / messages) / 4;
            let fitting = usize::try_from(FITTING.as_nanos() / self.mean.as_nanos().max(1)).unwrap_or(LARGEST);
            self.size = fitting.clamp(1, self.size * 2).min(self.largest);
        }
    }

    /// What stands behind a slow message is taken back, for another thread; answers what the batch has decided so far.
    pub fn take_back_overdue(&mut self, backlog: &mut VecDeque<Delivery>) -> Option<Vec<(u64, Decision, Option<Delivery>)>> {
        let overdue = |out: &Out| out.deliveries.len() > 1 && out.handed.elapsed() > OVERDUE;
        let place = self.out.iter().position(overdue)?;
        self.size = 1;
        let out = &mut self.out[place];
        put_back(backlog, out.not_begun());
        let decided = out.take_decided();
        // Only the slow one is still with the pool, or nothing if it had not begun.
        out.deliveries.drain(..out.deliveries.len().saturating_sub(1));
        self.forget_revoked();
        Some(decided)
    }

    /// No more of any batch begins; answers what had not.
    pub fn revoke(&mut self) -> Vec<Delivery> {
        let deliveries = self.out.iter_mut().flat_map(Out::not_begun).collect();
        self.forget_revoked();
        deliveries
    }

    /// What waited for a thread and is not to be begun any more must not fill the line, nor be waited for.
    fn forget_revoked(&mut self) {
        let gone = RefCell::new(Vec::new());
        self.place.forget(|batch| {
            let is_gone = batch.progress.is_revoked();
            if is_gone {
                gone.borrow_mut().push(batch.progress.clone());
            }
            is_gone
        });
        let gone = gone.into_inner();
        self.out.retain(|out| !gone.iter().any(|progress| Arc::ptr_eq(progress, &out.progress)));
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // A seat that was kept for us must not stay in a channel that nobody reads.
        while self.finished.try_recv().is_ok() {}
    }
}

impl Out {
    /// What has been decided since somebody last asked, with the delivery where more than an ack is to be done.
    pub fn take_decided(&mut self) -> Vec<(u64, Decision, Option<Delivery>)> {
        let decided = self.progress.take_decided().into_iter();
        decided
            .map(|(tag, decision)| {
                let delivery = match decision {
                    Decision::Ack => None,
                    Decision::Other(_) => self.deliveries.iter().find(|delivery| delivery.tag == tag).cloned(),
                };
                (tag, decision, delivery)
            })
            .collect()
    }

    /// What the pool has not begun and, since this was asked, will not.
    pub fn not_begun(&mut self) -> Vec<Delivery> {
        let begun = self.progress.revoke().unwrap_or(self.deliveries.len());
        self.deliveries.split_off(begun.min(self.deliveries.len()))
    }
}

fn put_back(backlog: &mut VecDeque<Delivery>, deliveries: Vec<Delivery>) {
    deliveries.into_iter().rev().for_each(|delivery| backlog.push_front(delivery));
}
