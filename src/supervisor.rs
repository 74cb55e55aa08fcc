//! The one thread that starts and stops steps: at boot, when one fails while running, and at the end.

use crate::blueprint::Blueprint;
use crate::clock::later;
use crate::context::{Context, Report};
use crate::error::{BoxError, Error, Fault};
use crate::handler::{chain, words_of};
use crate::shutdown::{Shutdown, Urgency};
use crate::step::{Step, Stop};
use crossbeam_channel::{select, Receiver, Sender};
use std::hash::{BuildHasher, RandomState};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

/// Between attempts to reach a broker that does not answer.
const LONGEST_DELAY_UNREACHABLE: Duration = Duration::from_secs(1);
/// Between attempts to start a step that fails for another reason while the worker runs.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
const FIRST_DELAY: Duration = Duration::from_millis(100);
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
    failures: u32,
    not_before: Instant,
}

impl Supervisor {
    /// Boots, tells `booted`, keeps running, and stops when asked to.
    pub fn run(mut self, booted: &Sender<Result<(), Error>>) -> End {
        let now = self.context.broker().clock().now();
        let mut states: Vec<State> = self
            .blueprint
            .names()
            .map(|name| State { name: name.into(), running_since: None, incarnation: 0, failures: 0, not_before: now })
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
            self.take_reports(states);
            // At boot the order is strict, also between steps that do not require each other.
            let Some(place) = states.iter().position(|state| state.running_since.is_none()) else { return Ok(()) };
            if self.context.broker().clock().now() >= states[place].not_before {
                if let Err(err) = self.start(states, place) {
                    let transient = err.downcast_ref::<Error>().is_some_and(Error::is_transient);
                    let late = due.is_some_and(|due| self.context.broker().clock().now() >= due);
                    if !transient || late {
                        let fault = err.downcast_ref::<Error>().map_or(Fault::Step, Error::fault);
                        let what = format!("step `{}` did not start", states[place].name);
                        return Err(Error::new(fault, what).because(err));
                    }
                    self.note_failure(&mut states[place], &*err);
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
            self.take_reports(states);
            let now = self.context.broker().clock().now();
            let startable: Vec<usize> = (0..states.len()).filter(|place| self.may_start(states, *place)).collect();
            match startable.iter().find(|place| states[**place].not_before <= now) {
                Some(place) => {
                    if let Err(err) = self.start(states, *place) {
                        self.note_failure(&mut states[*place], &*err);
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
                if state.failures > 0 {
                    log::info!("step `{}` runs again", state.name);
                }
                state.running_since = Some(Instant::now());
                Ok(())
            }
            Err(err) => {
                // Not stopped, because it never ran; but what it began is taken back.
                self.context.withdraw(&state.name, RESTART_LIMIT);
                Err(err)
            }
        }
    }

    fn take_reports(&mut self, states: &mut [State]) {
        while let Ok(report) = self.reports.try_recv() {
            self.take_report(states, &report);
        }
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

    fn stop_standing_on(&mut self, states: &mut [State], place: usize) {
        let name = states[place].name.clone();
        let standing: Vec<String> = self.blueprint.standing_on(&name).into_iter().map(str::to_owned).collect();
        for place in (0..states.len()).rev() {
            if standing.contains(&states[place].name) {
                self.stop(&mut states[place], place, Stop::Restart);
            }
        }
    }

    fn note_failure(&self, state: &mut State, err: &(dyn std::error::Error + 'static)) {
        let unreachable = err.downcast_ref::<Error>().is_some_and(Error::is_transient);
        let longest = if unreachable { LONGEST_DELAY_UNREACHABLE } else { LONGEST_DELAY };
        let delay = jittered((FIRST_DELAY * (1 << state.failures.min(10))).min(longest));
        state.failures += 1;
        state.not_before = self.context.broker().clock().now() + delay;
        log::warn!("step `{}` failed: {}; it starts again in {delay:?}", state.name, chain(err));
    }

    fn wait(&mut self, states: &mut [State], until: Option<Instant>) {
        let clock = self.context.broker().clock();
        let alarm = match until {
            Some(until) => clock.after(until.saturating_duration_since(clock.now())),
            None => crossbeam_channel::never(),
        };
        select! {
            recv(self.reports) -> report => {
                if let Ok(report) = report {
                    self.take_report(states, &report);
                }
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
        if since.elapsed() > PROVED_AFTER {
            state.failures = 0;
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

/// Up to three tenths less, so that a fleet of workers does not come back all at once.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    delay.mul_f64(0.7 + 0.3 * (random as f64 / u64::MAX as f64))
}
