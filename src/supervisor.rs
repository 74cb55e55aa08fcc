//! The one thread that starts and stops steps: at boot, when one fails while running, and at the end.

use crate::blueprint::Blueprint;
use crate::clock::later;
use crate::context::{Context, Report};
use crate::error::{words_of, BoxError, Error, Fault};
use crate::handler::chain;
use crate::remedy::remedy;
use crate::shutdown::{Shutdown, Urgency};
use crate::step::{Step, Stop};
use crate::told::Told;
use crossbeam_channel::{select, Receiver, Sender};
use std::hash::{BuildHasher, RandomState};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

/// Between attempts to reach a broker that does not answer.
const LONGEST_DELAY_UNREACHABLE: Duration = Duration::from_secs(1);
/// Between attempts to start a step that fails for another reason while the worker runs.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// A broker that was away and is back may refuse what it will grant in a moment: virtual hosts and queues come up one by one.
const COMING_UP: Duration = Duration::from_secs(60);
/// When a step fails, so long may pass before it is told: both connections notice the same loss, and the first cause is the one that counts.
const TOGETHER: Duration = Duration::from_millis(30);
/// A step that ran this long has proved itself: its next failure is a first one.
const PROVED_AFTER: Duration = Duration::from_secs(30);
/// How long a step that restarts waits for its threads.
const RESTART_LIMIT: Duration = Duration::from_secs(1);

/// What a supervisor is given.
pub(crate) struct Supervisor {
    pub blueprint: Blueprint,
    /// In the order of the blueprint.
    pub steps: Vec<Box<dyn Step>>,
    pub context: Context,
    pub reports: Receiver<Report>,
    pub shutdown: Shutdown,
    pub boot_deadline: Option<Duration>,
    pub drain_limit: Duration,
    pub told: Told,
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct End {
    /// The boot's error, if it did not come up.
    pub boot: Result<(), Error>,
    /// Whether everything was settled in time.
    pub drained: bool,
}

struct State {
    name: String,
    running_since: Option<Instant>,
    incarnation: u64,
    failures: Failures,
    not_before: Instant,
}

/// How often a step has failed in a row, by sort: what is refused now says nothing about how long nobody answered before.
#[derive(Default)]
struct Failures {
    unreachable: u32,
    refused: u32,
    last_unreachable: Option<Instant>,
}

impl Failures {
    fn any(&self) -> bool {
        self.unreachable + self.refused > 0
    }

    /// Counts one more, and answers how long to wait before the next attempt.
    fn next_delay(&mut self, is_transient: bool, now: Instant) -> Duration {
        let comes_up = self.last_unreachable.is_some_and(|last| now.saturating_duration_since(last) < COMING_UP);
        let (before, longest) = match is_transient {
            true => (&mut self.unreachable, LONGEST_DELAY_UNREACHABLE),
            false if comes_up => (&mut self.refused, LONGEST_DELAY_UNREACHABLE),
            false => (&mut self.refused, LONGEST_DELAY),
        };
        let delay = (FIRST_DELAY * (1 << (*before).min(10))).min(longest);
        *before += 1;
        if is_transient {
            (self.refused, self.last_unreachable) = (0, Some(now));
        } else {
            self.unreachable = 0;
        }
        delay
    }
}

impl Supervisor {
    /// Boots, tells `booted`, keeps running, and stops when asked to.
    pub fn run(mut self, booted: &Sender<Result<(), Error>>) -> End {
        let now = self.context.broker().clock().now();
        let mut states: Vec<State> = self
            .blueprint
            .names()
            .map(|name| State {
                name: name.into(),
                running_since: None,
                incarnation: 0,
                failures: Failures::default(),
                not_before: now,
            })
            .collect();
        let boot = self.boot(&mut states);
        let failed = boot.as_ref().err().map(|err| Error::new(err.fault(), err.to_string()));
        let _ = booted.try_send(boot);
        if failed.is_none() {
            self.keep(&mut states);
        }
        self.stop_all(&mut states);
        End { boot: failed.map_or(Ok(()), Err), drained: !self.context.has_left_over() }
    }

    /// Until every step runs, a final error ends it, or somebody asks for the end.
    fn boot(&mut self, states: &mut [State]) -> Result<(), Error> {
        let due = self.boot_deadline.map(|limit| later(self.context.broker().clock().now(), limit));
        while !self.shutdown.is_asked() {
            self.take_reports(states, None);
            // At boot the order is strict, also between steps that do not require each other.
            let Some(place) = states.iter().position(|state| state.running_since.is_none()) else { return Ok(()) };
            if self.context.broker().clock().now() >= states[place].not_before {
                if let Err(err) = self.start(states, place) {
                    // It was given up because of that, as likely as not.
                    if self.shutdown.is_asked() {
                        return Ok(());
                    }
                    let transient = err.downcast_ref::<Error>().is_some_and(Error::is_transient);
                    let late = due.is_some_and(|due| self.context.broker().clock().now() >= due);
                    if !transient || late {
                        let fault = err.downcast_ref::<Error>().map_or(Fault::Step, Error::fault);
                        let what = format!("step `{}` did not start", states[place].name);
                        return Err(Error::new(fault, what).of_step(&states[place].name).because(err));
                    }
                    self.take_failure(states, place, &*err);
                }
            } else {
                self.wait(states, Some(states[place].not_before));
            }
        }
        Ok(())
    }

    /// Starts again what has failed, and waits for the next failure, until asked to stop.
    fn keep(&mut self, states: &mut [State]) {
        while !self.shutdown.is_asked() {
            self.take_reports(states, None);
            let now = self.context.broker().clock().now();
            let startable: Vec<usize> = (0..states.len()).filter(|place| self.may_start(states, *place)).collect();
            match startable.iter().find(|place| states[**place].not_before <= now) {
                Some(place) => {
                    if let Err(err) = self.start(states, *place) {
                        if !self.shutdown.is_asked() {
                            self.take_failure(states, *place, &*err);
                        }
                    }
                }
                None => self.wait(states, startable.iter().map(|place| states[*place].not_before).min()),
            }
        }
    }

    fn may_start(&self, states: &[State], place: usize) -> bool {
        let requires = self.blueprint.requires(&states[place].name);
        let runs = |name: &String| states.iter().any(|state| state.name == *name && state.running_since.is_some());
        states[place].running_since.is_none() && requires.iter().all(runs)
    }

    fn start(&mut self, states: &mut [State], place: usize) -> Result<(), BoxError> {
        let state = &mut states[place];
        state.incarnation += 1;
        self.context.enter(&state.name, state.incarnation);
        let started = catch_unwind(AssertUnwindSafe(|| self.steps[place].start(&mut self.context)));
        match started.unwrap_or_else(|panic| Err(format!("it panicked: {}", words_of(&*panic)).into())) {
            Ok(()) => {
                if state.failures.any() {
                    log::info!("step `{}` runs again", state.name);
                }
                state.running_since = Some(self.context.broker().clock().now());
                // What is reported and not yet heard belongs to the same outage.
                if self.reports.is_empty() && states.iter().all(|state| state.running_since.is_some()) {
                    self.told.forget();
                }
                Ok(())
            }
            Err(err) => {
                // Not stopped, because it never ran; but what it began is taken back.
                self.context.withdraw(&state.name, RESTART_LIMIT);
                Err(err)
            }
        }
    }

    /// Takes what has been reported, in the order of the steps: of several that notice the same loss, the first is told.
    fn take_reports(&mut self, states: &mut [State], first: Option<Report>) {
        let mut reports: Vec<Report> = first.into_iter().chain(self.reports.try_iter()).collect();
        while !reports.is_empty() {
            match self.reports.recv_timeout(TOGETHER) {
                Ok(report) => reports.push(report),
                Err(_) => break,
            }
        }
        let place = |report: &Report| states.iter().position(|state| state.name == report.step);
        reports.sort_by_key(place);
        reports.iter().for_each(|report| self.take_report(states, report));
    }

    fn take_report(&mut self, states: &mut [State], report: &Report) {
        let meant = |state: &State| state.name == report.step && state.incarnation == report.incarnation;
        let Some(place) = states.iter().position(meant) else { return };
        if states[place].running_since.is_none() {
            return;
        }
        self.stop_standing_on(states, place);
        self.note_failure(&mut states[place], &report.error);
    }

    /// A step that could not start. If the connection went under it, whoever holds that one says so first.
    fn take_failure(&mut self, states: &mut [State], place: usize, err: &(dyn std::error::Error + 'static)) {
        if err.downcast_ref::<Error>().is_some_and(is_loss) {
            let report = self.reports.recv_timeout(TOGETHER).ok();
            self.take_reports(states, report);
        }
        self.note_failure(&mut states[place], err);
    }

    fn stop_standing_on(&mut self, states: &mut [State], place: usize) {
        let name = states[place].name.clone();
        let standing: Vec<String> = self.blueprint.standing_on(&name).into_iter().map(str::to_owned).collect();
        for place in (0..states.len()).rev() {
            if standing.contains(&states[place].name) {
                self.stop(&mut states[place], place, Stop::Restart);
            }
        }
    }

    fn note_failure(&mut self, state: &mut State, err: &(dyn std::error::Error + 'static)) {
        let ours = err.downcast_ref::<Error>();
        let is_transient = ours.is_some_and(Error::is_transient);
        let now = self.context.broker().clock().now();
        let delay = jittered(state.failures.next_delay(is_transient, now));
        state.not_before = now + delay;
        let (cause, remedy) = (chain(err), ours.map(remedy).unwrap_or_default());
        let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
        // However the connections go, and whatever else fails of that, the broker is lost once.
        let event = if ours.is_some_and(is_loss) { "the broker is lost" } else { &cause };
        let level = if self.told.is_news(event, now) { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "step `{}` failed: {cause}{remedy}; it starts again in {delay:.1?}", state.name);
    }

    fn wait(&mut self, states: &mut [State], until: Option<Instant>) {
        let clock = self.context.broker().clock();
        let alarm = match until {
            Some(until) => clock.after(until.saturating_duration_since(clock.now())),
            None => crossbeam_channel::never(),
        };
        select! {
            recv(self.reports) -> report => {
                self.take_reports(states, report.ok());
            }
            recv(self.shutdown.wake()) -> _ => {}
            recv(alarm) -> _ => {}
        }
    }

    fn stop_all(&mut self, states: &mut [State]) {
        let due = later(Instant::now(), self.drain_limit);
        self.context.drain_all(due);
        for place in (0..states.len()).rev() {
            let stop = match self.shutdown.urgency() {
                Urgency::Now => Stop::Now,
                _ => Stop::Drain { deadline: due },
            };
            self.stop(&mut states[place], place, stop);
        }
    }

    fn stop(&mut self, state: &mut State, place: usize, stop: Stop) {
        let Some(since) = state.running_since.take() else { return };
        if self.context.broker().clock().now().saturating_duration_since(since) > PROVED_AFTER {
            state.failures = Failures::default();
        }
        log::debug!("stopping step `{}`", state.name);
        self.context.enter(&state.name, state.incarnation);
        if let Stop::Drain { deadline } = stop {
            self.context.wait_drained(&state.name, deadline);
        }
        if catch_unwind(AssertUnwindSafe(|| self.steps[place].stop(&mut self.context, stop))).is_err() {
            log::error!("step `{}` panicked while it stopped; the others are stopped all the same", state.name);
        }
        self.context.withdraw(&state.name, if stop == Stop::Now { Duration::ZERO } else { RESTART_LIMIT });
    }
}

/// Whether it is the connection that has gone.
fn is_loss(err: &Error) -> bool {
    matches!(err.fault(), Fault::Lost | Fault::Timeout)
}

/// Up to three tenths less, so that a fleet of workers does not come back all at once.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    delay.mul_f64(0.7 + 0.3 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_after_a_long_outage_is_tried_again_soon_and_grows_slow_only_when_it_lasts() {
        let (mut failures, mut now) = (Failures::default(), Instant::now());
        let mut fail = |is_transient: bool| {
            let delay = failures.next_delay(is_transient, now);
            now += delay;
            delay
        };
        let outage: Vec<Duration> = (0..600).map(|_| fail(true)).collect();
        assert_eq!(outage[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(outage.iter().max(), Some(&LONGEST_DELAY_UNREACHABLE));

        // The broker boots, and its virtual host is not there yet.
        let booting: Vec<Duration> = (0..20).map(|_| fail(false)).collect();
        assert_eq!(booting[0], FIRST_DELAY);
        assert_eq!(booting.iter().max(), Some(&LONGEST_DELAY_UNREACHABLE));
        // It goes away again: that is none of the same sort.
        assert_eq!(fail(true), FIRST_DELAY);
        assert_eq!(fail(false), FIRST_DELAY);

        let refused: Duration = (0..100).map(|_| fail(false)).max().unwrap_or_default();
        assert_eq!(refused, LONGEST_DELAY, "somebody has to do something");
    }
}
