//! One clock for everything the worker and the memory broker do by time, so that a test can turn it by hand.

use crossbeam_channel::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The moment so much later; a duration that no clock can hold counts as thirty years.
pub(crate) fn later(now: Instant, by: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now.checked_add(by).unwrap_or(now + LONG)
}

/// Where time is read: the system's, or one turned by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<Hands>>>);

#[derive(Debug)]
struct Hands {
    now: Instant,
    alarms: Vec<Alarm>,
}

#[derive(Debug)]
struct Alarm {
    due: Instant,
    ring: Sender<Instant>,
    /// Whether nobody waits for it before going on: it rings when others turn the clock, and nobody turns it for its sake.
    is_unasked: bool,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that stands still until [`advance`](Clock::advance) turns it.
    pub fn by_hand() -> Self {
        Clock(Some(Arc::new(Mutex::new(Hands { now: Instant::now(), alarms: Vec::new() }))))
    }

    /// This says whether the clock is turned by hand.
    pub fn is_by_hand(&self) -> bool {
        self.0.is_some()
    }

    /// The time by this clock.
    pub fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(hands) => hands.lock().expect("no holder of the clock panics").now,
        }
    }

    /// The time by this clock, for who has looked at the system's just now.
    pub(crate) fn at(&self, system: Instant) -> Instant {
        match &self.0 {
            None => system,
            Some(_) => self.now(),
        }
    }

    /// A channel that gets one message when `delay` has passed by this clock.
    pub fn after(&self, delay: Duration) -> Receiver<Instant> {
        self.alarm(delay, false)
    }

    /// The same, for whoever only watches: a test that lets the worker go on does not turn the clock for this.
    pub(crate) fn after_unasked(&self, delay: Duration) -> Receiver<Instant> {
        self.alarm(delay, true)
    }

    fn alarm(&self, delay: Duration, is_unasked: bool) -> Receiver<Instant> {
        let Some(hands) = &self.0 else { return crossbeam_channel::after(delay) };
        // One message at the most is ever sent, so one place is enough.
        let (ring, receiver) = crossbeam_channel::bounded(1);
        let mut hands = hands.lock().expect("no holder of the clock panics");
        let due = later(hands.now, delay);
        if delay.is_zero() {
            let _ = ring.send(due);
        } else {
            hands.alarms.push(Alarm { due, ring, is_unasked });
        }
        receiver
    }

    /// The next moment that somebody waits for, on a clock turned by hand.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let hands = self.0.as_ref()?.lock().expect("no holder of the clock panics");
        hands.alarms.iter().filter(|alarm| !alarm.is_unasked).map(|alarm| alarm.due).min()
    }

    /// This turns the clock forward; nothing happens to the system's clock.
    pub fn advance(&self, by: Duration) {
        let Some(hands) = &self.0 else { return };
        let mut hands = hands.lock().expect("no holder of the clock panics");
        hands.now = later(hands.now, by);
        let now = hands.now;
        hands.alarms.retain(|alarm| {
            if alarm.due > now {
                return true;
            }
            // Whoever asked may have gone; then nobody needs waking.
            let _ = alarm.ring.try_send(alarm.due);
            false
        });
    }
}
