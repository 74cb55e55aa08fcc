//! Waiting until the broker is at rest, and turning its clock where only time stands between a message and its consumer.

use super::broker::{Core, MemoryBroker};
use super::state::State;
use super::x_death::{self, Reason};
use crate::error::{Error, Fault};
use crate::message::Parts;
use std::sync::atomic::Ordering;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// Longer than any test, short enough to be added to any instant.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// As long as nothing changes for so long, what is waited for may itself wait for the clock.
const STILL_FOR: Duration = Duration::from_millis(5);
/// How far the clock is turned for workers that wait, in all: those that wait in vain do so for ever, and a consumer timeout should
/// not come of it.
const FOR_WORKERS: Duration = Duration::from_secs(600);

/// Who turns a clock by hand while the broker is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turning {
    TheTest,
    Us,
}

impl MemoryBroker {
    /// Waits until nothing is deliverable, unacked or unconfirmed, not even after time has passed.
    ///
    /// Whenever the broker is at rest, the clock is turned to the next expiry that sends a message on to a queue with a
    /// consumer; messages that wait for nobody, as in an archive, do not age by it, and no queue goes for want of use. When it
    /// does not come to rest because a worker waits (to connect again, or to try again what a queue refused), the clock is
    /// turned to the end of that. With [`Clock::system`](crate::Clock::system) time passes by itself. The deadline is real time
    /// in any case.
    ///
    /// A worker that was cut off consumes nothing until it is back: wait for that first ([`until`](MemoryBroker::until)).
    ///
    /// # Errors
    /// [`Fault::Timeout`] when the deadline passes; it says what the broker was stuck on.
    pub fn drain(&self, deadline: Duration) -> Result<(), Error> {
        self.come_to_rest(deadline, Turning::Us)
    }

    /// Waits until nothing is deliverable, unacked or unconfirmed, and leaves the clock alone: what waits for its time goes on
    /// waiting.
    ///
    /// ```
    /// use bootstep::{Broker, Consumer, MemoryBroker, Outcome, Publication, RetryPolicy, Worker};
    /// use std::time::Duration;
    ///
    /// let memory = MemoryBroker::new();
    /// let mut worker = Worker::new(Broker::from(&memory));
    /// let jobs = Consumer::new("jobs", |_job: String, _| Ok(Outcome::retry("not yet")));
    /// worker.steps.add(jobs.retry(RetryPolicy::fixed(Duration::from_secs(3600), 1)));
    /// let running = worker.start()?;
    ///
    /// memory.publish(Publication::new("", "jobs", "paint the fence"))?;
    /// memory.rest(Duration::from_secs(10))?;
    /// assert_eq!(memory.texts("jobs.retry.3600s"), ["paint the fence"]);
    /// memory.advance(Duration::from_secs(3600));
    /// memory.rest(Duration::from_secs(10))?;
    /// assert_eq!(memory.texts("jobs.archive"), ["paint the fence"]);
    /// # drop(running);
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Fault::Timeout`] when the deadline, which is real time, passes; it says what the broker was stuck on.
    pub fn rest(&self, deadline: Duration) -> Result<(), Error> {
        self.come_to_rest(deadline, Turning::TheTest)
    }

    /// Waits until a condition holds. A clock by hand is turned as [`drain`](MemoryBroker::drain) does, and also to when a worker
    /// that was cut off connects again. `what` completes "not within 10s: …".
    ///
    /// How far it is turned in all may differ from run to run: ask for what must hold then, not for the time.
    ///
    /// ```
    /// use bootstep::{Broker, Consumer, MemoryBroker, Outcome, Worker};
    /// use std::time::Duration;
    ///
    /// let memory = MemoryBroker::new();
    /// let mut worker = Worker::new(Broker::from(&memory));
    /// worker.steps.add(Consumer::new("jobs", |_job: String, _| Ok(Outcome::Ack)));
    /// let running = worker.start()?;
    /// memory.sever();
    /// memory.until("the worker is back", Duration::from_secs(10), |memory| memory.consumers("jobs") == 1)?;
    /// # drop(running);
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Fault::Timeout`] when the deadline, which is real time, passes.
    pub fn until(&self, what: &str, deadline: Duration, mut condition: impl FnMut(&Self) -> bool) -> Result<(), Error> {
        let until = Instant::now() + deadline.min(LONGEST_WAIT);
        let mut awaited = Awaited::of(&self.core);
        while !condition(self) {
            if Instant::now() >= until {
                return Err(Error::new(Fault::Timeout, format!("not within {deadline:?}: {what}")));
            }
            let (mut state, is_still) = awaited.change_of(self.core.lock(), STILL_FOR);
            if is_still {
                let expiry = if self.is_at_rest(&state) { state.next_onward_expiry() } else { None };
                match expiry {
                    Some(due) if self.core.clock.next_alarm().is_none_or(|alarm| due <= alarm) => self.turn_to(due),
                    _ => awaited.let_workers_go_on(),
                }
                state.expire_due();
            }
        }
        Ok(())
    }

    fn come_to_rest(&self, deadline: Duration, turning: Turning) -> Result<(), Error> {
        let until = Instant::now() + deadline.min(LONGEST_WAIT);
        let mut awaited = Awaited::of(&self.core);
        let mut state = self.core.lock();
        loop {
            state.expire_due();
            let is_at_rest = self.is_at_rest(&state);
            let expiry = if is_at_rest && turning == Turning::Us { state.next_onward_expiry() } else { None };
            if is_at_rest && expiry.is_none() {
                return Ok(());
            }
            let now = Instant::now();
            if now >= until {
                return Err(stuck(deadline, state.what_moves(self.core.unread.load(Ordering::SeqCst))));
            }
            let is_by_hand = self.core.clock.is_by_hand();
            if let (true, Some(due)) = (is_by_hand, expiry) {
                self.turn_to(due);
                continue;
            }
            let longest = expiry.map_or(until, |due| due.min(until)).saturating_duration_since(now);
            let turns = is_by_hand && turning == Turning::Us;
            let (changed, is_still) = awaited.change_of(state, if turns { longest.min(STILL_FOR) } else { longest });
            state = changed;
            if turns && is_still {
                awaited.let_workers_go_on();
            }
        }
    }

    fn is_at_rest(&self, state: &State) -> bool {
        self.core.unread.load(Ordering::SeqCst) == 0 && state.is_quiescent()
    }

    fn turn_to(&self, moment: Instant) {
        self.core.clock.advance(moment.saturating_duration_since(self.core.clock.now()));
    }
}

/// Somebody waits for the broker: as long as this lives, whoever changes its state tells.
struct Awaited<'a> {
    core: &'a Core,
    turned: Duration,
}

impl<'a> Awaited<'a> {
    fn of(core: &'a Core) -> Self {
        // Counted under the lock, so that whoever changes the state afterwards sees that somebody waits.
        let _state = core.lock();
        core.waiting.fetch_add(1, Ordering::SeqCst);
        Awaited { core, turned: Duration::ZERO }
    }

    /// Waits for a change; says whether there was none.
    fn change_of(&self, state: MutexGuard<'a, State>, longest: Duration) -> (MutexGuard<'a, State>, bool) {
        let waited = self.core.changed.wait_timeout(state, longest);
        let (state, timeout) = waited.expect("no holder of the broker's state panics");
        (state, timeout.timed_out())
    }

    /// Turns the clock to the next moment that a worker waits for, if any does.
    fn let_workers_go_on(&mut self) {
        let Some(alarm) = self.core.clock.next_alarm() else { return };
        let by = alarm.saturating_duration_since(self.core.clock.now());
        if self.turned + by <= FOR_WORKERS {
            self.turned += by;
            self.core.clock.advance(by);
        }
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.core.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

fn stuck(deadline: Duration, on: String) -> Error {
    Error::new(Fault::Timeout, format!("the memory broker did not come to rest within {deadline:?}: {on}"))
}

impl State {
    /// Whether nothing is deliverable and nothing unacked.
    fn is_quiescent(&self) -> bool {
        let is_deliverable = self.queues.values().any(|queue| !queue.line.is_empty() && !queue.ready().is_empty());
        !is_deliverable && self.channels.values().all(|channel| channel.unsettled.len() == 0)
    }

    fn what_moves(&self, unread: u64) -> String {
        let mut told = Vec::new();
        for (id, queue) in &self.queues {
            let (ready, unacked) = (queue.ready().len(), self.unacked_of(*id));
            if unacked > 0 || (ready > 0 && !queue.line.is_empty()) {
                told.push(format!("queue `{}` has {ready} ready and {unacked} unacked", queue.name()));
            }
        }
        let orphans = self.channels.values().filter(|channel| !self.queues.contains_key(&channel.queue));
        let orphaned: usize = orphans.map(|channel| channel.unsettled.len()).sum();
        if orphaned > 0 {
            told.push(format!("{orphaned} unacked from deleted queues"));
        }
        if unread > 0 {
            told.push(format!("{unread} confirms unread"));
        }
        if told.is_empty() {
            told.push("messages keep expiring into consumed queues".into());
        }
        told.join(", ")
    }

    /// When the next head expires that goes on to a consumer by that.
    fn next_onward_expiry(&self) -> Option<Instant> {
        let onward = self.queues.iter().filter(|(id, queue)| {
            // What goes with its queue before it is due gets nowhere.
            let is_due = |due: &Instant| queue.expires.is_none_or(|gone| *due <= gone);
            let head = queue.ready().front().filter(|head| head.expires.as_ref().is_some_and(is_due));
            head.is_some_and(|head| self.leads_to_consumer(**id, &head.parts, &mut Vec::new()))
        });
        onward.filter_map(|(_, queue)| queue.head_expiry()).min()
    }

    /// Whether a message that expires on this queue gets to a consumer, if need be by way of other queues it expires on.
    fn leads_to_consumer(&self, id: u64, parts: &Parts, passed: &mut Vec<u64>) -> bool {
        let queue = &self.queues[&id];
        let Some(letter) = &queue.policy.dead_letter else { return false };
        passed.push(id);
        let dead = x_death::dead_lettered(parts, queue.name(), Reason::Expired, letter);
        self.targets_of(&dead).into_iter().any(|target| {
            let next = &self.queues[&target];
            let is_dropped = x_death::is_cycle(&dead.properties, next.name());
            let moves_on = next.policy.ttl.is_some() && !passed.contains(&target);
            !is_dropped && (!next.line.is_empty() || (moves_on && self.leads_to_consumer(target, &dead, passed)))
        })
    }
}
