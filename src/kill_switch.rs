//! When to stop handling for a while, because nearly everything fails: a database that is away should not cost every message its
//! attempts. Pure: attempts and times in, a position out.

use crate::clock::later;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// No pause is longer than so many times the first.
const LONGEST_PAUSE: u32 = 10;

/// When a consumer stops handling for a while, and how it starts again: as soon as too many of its latest attempts failed, it
/// pauses, then probes with one message, and goes on if that succeeds.
///
/// An attempt fails by an `Err`, a panic, [`Outcome::Retry`](crate::Outcome::Retry) or [`Outcome::Archive`](crate::Outcome::Archive);
/// it succeeds by [`Outcome::Ack`](crate::Outcome::Ack). Anything else, and what cannot be decoded, says nothing about it.
///
/// While it pauses, it consumes nothing; so a queue that goes when nobody consumes (`auto_delete`, or `expires` within the longest
/// pause) is refused at boot. What it was given and has not begun it keeps for [`hold`](KillSwitch::hold), because
/// handing back costs a message one of its deliveries on a quorum queue up to RabbitMQ 4.2
/// (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).
///
/// ```
/// use bootstep::{Consumer, KillSwitch, Outcome};
/// use std::time::Duration;
///
/// let consumer = Consumer::new("orders", |_order: String, _| Ok(Outcome::Ack))
///     .kill_switch(KillSwitch::at(0.5).over(50).pause(Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KillSwitch {
    ratio: f64,
    attempts: usize,
    pause: Duration,
    hold: Duration,
}

impl KillSwitch {
    /// It trips when so large a part of the latest attempts has failed: 0.5 is every other one, 1.0 all.
    pub fn at(ratio: f64) -> Self {
        let ratio = if ratio.is_finite() { ratio.clamp(0.0, 1.0) } else { 1.0 };
        KillSwitch { ratio, attempts: 20, pause: Duration::from_secs(30), hold: Duration::from_secs(600) }
    }

    /// How many of the latest attempts count (20 by default; at least 1). Before so many have been made, it does not trip; of
    /// quick handlers, on each thread up to so many more may have run by then.
    pub fn over(mut self, attempts: usize) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long it pauses before it probes (30 s by default). After each probe that fails, twice as long as before, up to ten
    /// times this.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How long messages that were delivered and not begun are kept before they are handed back (10 minutes by default). It
    /// should be less than the broker's consumer timeout, 30 minutes unless set otherwise
    /// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// However many probes fail.
    pub(crate) fn longest_pause(&self) -> Duration {
        self.pause.saturating_mul(LONGEST_PAUSE)
    }
}

/// A kill switch in use.
#[derive(Debug)]
pub(crate) struct Switch {
    settings: KillSwitch,
    /// Whether each of the latest attempts failed.
    latest: VecDeque<bool>,
    position: Position,
    next_pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Everything is handled.
    Closed,
    /// Nothing is, since and until then.
    Open { since: Instant, until: Instant },
    /// One message is, to see whether it goes well.
    Probing,
}

impl Switch {
    pub fn new(settings: KillSwitch) -> Self {
        let next_pause = settings.pause;
        Switch { settings, latest: VecDeque::new(), position: Position::Closed, next_pause }
    }

    /// How many attempts it looks at.
    pub fn attempts(&self) -> usize {
        self.settings.attempts
    }

    /// Where it stands now.
    pub fn position(&mut self, now: Instant) -> Position {
        if matches!(self.position, Position::Open { until, .. } if until <= now) {
            self.position = Position::Probing;
        }
        self.position
    }

    /// An attempt has ended; answers for how long to pause if that trips the switch.
    pub fn note(&mut self, has_failed: bool, now: Instant) -> Option<Duration> {
        match self.position(now) {
            // What was running when it tripped.
            Position::Open { .. } => None,
            Position::Probing if has_failed => Some(self.open(now)),
            Position::Probing => {
                self.position = Position::Closed;
                self.next_pause = self.settings.pause;
                None
            }
            Position::Closed => {
                if self.latest.len() == self.settings.attempts {
                    self.latest.pop_front();
                }
                self.latest.push_back(has_failed);
                self.has_enough_failures().then(|| self.open(now))
            }
        }
    }

    /// Whether what is kept since it tripped has been kept long enough.
    pub fn has_held(&self, now: Instant) -> bool {
        matches!(self.position, Position::Open { since, .. } if now.saturating_duration_since(since) >= self.settings.hold)
    }

    /// How long until there is something to do, while it is open: to hand back what was kept, or to probe.
    pub fn next_look(&self, now: Instant) -> Option<Duration> {
        let Position::Open { since, until } = self.position else { return None };
        let held = later(since, self.settings.hold);
        let next = if held > now { until.min(held) } else { until };
        Some(next.saturating_duration_since(now))
    }

    /// The failed ones of the latest attempts.
    fn failed(&self) -> usize {
        self.latest.iter().filter(|has_failed| **has_failed).count()
    }

    fn has_enough_failures(&self) -> bool {
        let failed = self.failed();
        // A ratio of nothing is still no reason to trip without a failure.
        failed > 0
            && self.latest.len() == self.settings.attempts
            && failed as f64 >= self.settings.ratio * self.latest.len() as f64
    }

    fn open(&mut self, now: Instant) -> Duration {
        let pause = self.next_pause;
        self.position = Position::Open { since: now, until: later(now, pause) };
        self.next_pause = pause.saturating_mul(2).min(self.settings.longest_pause());
        self.latest.clear();
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn switch(ratio: f64) -> Switch {
        Switch::new(KillSwitch::at(ratio).over(4).pause(SECOND).hold(10 * SECOND))
    }

    #[test]
    fn it_trips_at_the_ratio_and_not_before_enough_attempts() {
        let now = Instant::now();
        let mut switch = switch(0.5);
        assert!([true, true, false].iter().all(|has_failed| switch.note(*has_failed, now).is_none()));
        assert_eq!(switch.note(false, now), Some(SECOND));
        assert_eq!(switch.note(true, now), None, "what was still running changes nothing");
        assert_eq!(switch.position(now), Position::Open { since: now, until: now + SECOND });
    }

    #[test]
    fn only_the_latest_attempts_count() {
        let now = Instant::now();
        let mut switch = switch(0.5);
        let ended = [true, false, false, false, true, false, false, false, true];
        assert!(ended.iter().all(|has_failed| switch.note(*has_failed, now).is_none()));
        assert!(switch.note(true, now).is_some());
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_ten_times() {
        let mut now = Instant::now();
        let mut switch = switch(1.0);
        assert_eq!((0..4).filter_map(|_| switch.note(true, now)).count(), 1);
        for seconds in [2, 4, 8, 10, 10] {
            now += 10 * SECOND;
            assert_eq!(switch.position(now), Position::Probing);
            assert_eq!(switch.note(true, now), Some(seconds * SECOND));
        }
        now += 10 * SECOND;
        assert_eq!((switch.note(false, now), switch.position(now)), (None, Position::Closed));
        (0..3).for_each(|_| assert_eq!(switch.note(true, now), None));
        assert_eq!(switch.note(true, now), Some(SECOND), "after a success it starts anew");
    }

    #[test]
    fn without_a_failure_it_never_trips_and_a_ratio_that_is_none_means_all() {
        let now = Instant::now();
        let mut never = switch(0.0);
        assert!((0..20).all(|_| never.note(false, now).is_none()));
        assert!(never.note(true, now).is_some());
        let mut all = switch(f64::NAN);
        assert!([true, true, true, false, true, true, true].iter().all(|has_failed| all.note(*has_failed, now).is_none()));
    }
}
