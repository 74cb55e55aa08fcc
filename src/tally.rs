//! What becomes of a consumer's messages, counted, and what its handlers are at: for operators, tests, and the watchdog.
//!
//! A tally lasts as long as the worker, over every restart of the step that consumes. Counting is an atomic addition; nobody
//! takes a lock for a message.

use crate::clock::Clock;
use crate::stint::Stint;
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How one consumer fares, at the moment of asking; counts are since the worker started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// The queue it consumes; empty where the broker names it.
    pub queue: String,
    /// The step that brought it.
    pub step: String,
    /// Whether it consumes.
    pub state: ConsumerState,
    /// Messages that the broker handed over; a redelivered one counts again.
    pub delivered: u64,
    /// Handlers that were done with their message.
    pub acked: u64,
    /// Attempts that failed, or asked for another one, and were given it.
    pub retried: u64,
    /// Messages that were given up, for a human.
    pub archived: u64,
    /// Messages that went to the dead letters.
    pub rejected: u64,
    /// Messages that their handler handed back untouched.
    pub requeued: u64,
    /// Handlers (or hooks) that returned `Err` or panicked.
    pub failed: u64,
    /// Handlers that ran longer than the consumer's [`soft_time_limit`](crate::Consumer::soft_time_limit).
    pub overran: u64,
    /// Handlers that have been running for longer than [`stuck_after`](crate::Consumer::stuck_after), now.
    pub stuck: u64,
}

/// Whether a consumer consumes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerState {
    /// The broker hands messages over.
    Consuming,
    /// The broker hands nothing over: it is not started yet, cut off, being mended, or draining.
    Away,
    /// It takes no messages for a while, and goes on by itself.
    Paused {
        /// Why.
        reason: String,
    },
}

/// How long a handler may run before something is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimits {
    /// It is warned of.
    pub soft: Option<Duration>,
    /// An error is logged, and again whenever the time has doubled.
    pub stuck: Duration,
    /// The process leaves.
    pub leave: Option<Duration>,
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits { soft: None, stuck: Duration::from_secs(600), leave: None }
    }
}

impl TimeLimits {
    /// The shortest of them: nothing is due earlier than that after a handler has begun.
    pub fn shortest(&self) -> Duration {
        [self.soft, Some(self.stuck), self.leave].into_iter().flatten().min().unwrap_or(self.stuck)
    }

    /// Whether each handler's begin has to be known exactly; the default limit is so long that its batch's will do.
    fn are_exact(&self) -> bool {
        self.soft.is_some() || self.leave.is_some() || self.stuck < Duration::from_secs(1)
    }
}

/// One count.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn take_one_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one consumer, and its handlers at work.
pub(crate) struct Tally {
    pub queue: String,
    step: String,
    /// Which of the step's consumers of that queue.
    nth: usize,
    pub limits: TimeLimits,
    pub clock: Clock,
    state: Mutex<ConsumerState>,
    pub delivered: Count,
    pub acked: Count,
    pub retried: Count,
    pub archived: Count,
    pub rejected: Count,
    pub requeued: Count,
    pub failed: Count,
    pub overran: Count,
    at_work: Mutex<Vec<Arc<Stint>>>,
}

impl Tally {
    fn new(step: &str, queue: &str, nth: usize, limits: TimeLimits, clock: Clock) -> Self {
        Tally {
            queue: queue.into(),
            step: step.into(),
            nth,
            limits,
            clock,
            state: Mutex::new(ConsumerState::Away),
            delivered: Count::default(),
            acked: Count::default(),
            retried: Count::default(),
            archived: Count::default(),
            rejected: Count::default(),
            requeued: Count::default(),
            failed: Count::default(),
            overran: Count::default(),
            at_work: Mutex::default(),
        }
    }

    /// Whether it consumes, from now on.
    pub fn set_state(&self, state: ConsumerState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The watchdog looks at this for as long as the answer lives.
    pub fn watch(self: &Arc<Self>, stint: Arc<Stint>) -> Watched {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).push(stint.clone());
        let is_exact = self.limits.are_exact() || stint.is_one_by_one();
        Watched { tally: self.clone(), stint, is_exact }
    }

    /// What is being watched.
    pub fn at_work(&self) -> Vec<Arc<Stint>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stuck(&self, now: Instant) -> u64 {
        let is_stuck = |stint: &&Arc<Stint>| stint.running(now).is_some_and(|(_, ran)| ran >= self.limits.stuck);
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(is_stuck).count() as u64
    }

    fn status(&self) -> ConsumerStatus {
        ConsumerStatus {
            queue: self.queue.clone(),
            step: self.step.clone(),
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            delivered: self.delivered.get(),
            acked: self.acked.get(),
            retried: self.retried.get(),
            archived: self.archived.get(),
            rejected: self.rejected.get(),
            requeued: self.requeued.get(),
            failed: self.failed.get(),
            overran: self.overran.get(),
            stuck: self.stuck(self.clock.now()),
        }
    }
}

/// A stint that the watchdog looks at.
pub(crate) struct Watched {
    tally: Arc<Tally>,
    stint: Arc<Stint>,
    /// Whether each run says when it begins.
    is_exact: bool,
}

impl Watched {
    /// Runs a handler; `run` is its number within the stint.
    pub fn run<T>(&self, run: u64, handle: impl FnOnce() -> T) -> T {
        // The first of a batch always says when: what comes after it does where a limit is short.
        self.run_at(run, (run == 1 || self.is_exact).then(|| self.tally.clock.now()), handle)
    }

    /// The same where the time is known already.
    pub fn run_at<T>(&self, run: u64, now: Option<Instant>, handle: impl FnOnce() -> T) -> T {
        self.stint.begin(run, now);
        let output = handle();
        if self.stint.end(run) || self.tally.limits.soft.is_some() {
            self.tell_end(run);
        }
        output
    }

    /// The stint.
    pub fn stint(&self) -> &Stint {
        &self.stint
    }

    #[cold]
    fn tell_end(&self, run: u64) {
        let ran = self.stint.ran(self.tally.clock.now());
        let queue = &self.tally.queue;
        let overran = self.tally.limits.soft.filter(|limit| ran >= *limit);
        let (is_news, was_stuck) = self.stint.note(run, |notes| {
            let is_news = overran.is_some() && !notes.overran;
            notes.overran |= is_news;
            (is_news, notes.stuck.is_some())
        });
        if is_news {
            self.tally.overran.add_one();
        }
        if overran.is_some() || was_stuck {
            let limit = overran.map(|limit| format!(" (its soft limit is {limit:?})")).unwrap_or_default();
            log::warn!("`{queue}`: a handler ended after {ran:.1?}{limit}: {}", self.stint.words(run));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut at_work = self.tally.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = at_work.iter().position(|stint| Arc::ptr_eq(stint, &self.stint)) {
            at_work.swap_remove(place);
        }
    }
}

/// The tallies of all consumers of a worker.
#[derive(Clone)]
pub(crate) struct Roster(Arc<Shared>);

struct Shared {
    clock: Clock,
    tallies: Mutex<Vec<Arc<Tally>>>,
    /// Room for one: more would say nothing new.
    joined: (Sender<()>, Receiver<()>),
}

impl Roster {
    pub fn new(clock: Clock) -> Self {
        Roster(Arc::new(Shared { clock, tallies: Mutex::default(), joined: crossbeam_channel::bounded(1) }))
    }

    /// The tally of a step's consumer, the `nth` of its queue: the same for as long as the worker runs.
    pub fn tally(&self, step: &str, queue: &str, nth: usize, limits: TimeLimits) -> Arc<Tally> {
        let mut tallies = self.0.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |tally: &&Arc<Tally>| tally.step == step && tally.queue == queue && tally.nth == nth;
        if let Some(tally) = tallies.iter().find(is_it) {
            return tally.clone();
        }
        let tally = Arc::new(Tally::new(step, queue, nth, limits, self.0.clock.clone()));
        tallies.push(tally.clone());
        let _ = self.0.joined.0.try_send(());
        tally
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Tally>> {
        self.0.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets a message when another has joined; for the watchdog.
    pub fn joined(&self) -> &Receiver<()> {
        &self.0.joined.1
    }

    /// The clock they go by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How all of them fare.
    pub fn statuses(&self) -> Vec<ConsumerStatus> {
        self.all().iter().map(|tally| tally.status()).collect()
    }
}

/// How all consumers of a worker fare, at any time and from any thread: for a health endpoint, or metrics.
#[derive(Clone)]
pub struct Statuses(Roster);

impl Statuses {
    pub(crate) fn of(roster: Roster) -> Self {
        Statuses(roster)
    }

    /// How each fares now, in the order in which they start.
    pub fn consumers(&self) -> Vec<ConsumerStatus> {
        self.0.statuses()
    }
}
