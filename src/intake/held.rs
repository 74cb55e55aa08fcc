//! For how long the oldest message of a channel has been with us, known to a second without a time for each message.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What comes within so long counts as come together.
const TOGETHER: Duration = Duration::from_secs(1);

/// A message that is held for hours must not make this grow: then every other stamp goes, and with it some of the exactness.
const STAMPS_AT_MOST: usize = 4096;

/// By when messages had come: tags count up, so one stamp does for all up to its tag.
#[derive(Default)]
pub(super) struct Held(VecDeque<Stamp>);

struct Stamp {
    up_to: u64,
    at: Instant,
}

impl Held {
    /// The last tag that has come by now, and the oldest that is still unsettled.
    pub fn note(&mut self, last: u64, oldest: Option<u64>, now: Instant) {
        let Some(oldest) = oldest else { return self.0.clear() };
        while self.0.front().is_some_and(|stamp| stamp.up_to < oldest) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some(stamp) if now.saturating_duration_since(stamp.at) < TOGETHER => stamp.up_to = last,
            Some(stamp) if stamp.up_to >= last => {}
            _ => self.0.push_back(Stamp { up_to: last, at: now }),
        }
        if self.0.len() > STAMPS_AT_MOST {
            let mut place = 0;
            self.0.retain(|_| {
                place += 1;
                // The first says how old the oldest is.
                place % 2 == 1
            });
        }
    }

    /// For how long the oldest has been held, as of the last note.
    pub fn longest(&self, now: Instant) -> Option<Duration> {
        self.0.front().map(|stamp| now.saturating_duration_since(stamp.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn the_oldest_is_known_to_a_second_however_many_pass_it() {
        let (mut held, begin) = (Held::default(), Instant::now());
        held.note(0, None, begin);
        assert_eq!(held.longest(begin), None);
        for tenth in 0..1_000 {
            // The first, which came at once, stays; all others are settled as they come.
            held.note(tenth + 1, Some(1), begin + second(tenth) / 10);
        }
        assert_eq!(held.longest(begin + second(100)), Some(second(100)));
        held.note(1_000, Some(995), begin + second(100));
        assert!(held.longest(begin + second(100)).is_some_and(|longest| longest < second(2)));
        held.note(1_000, None, begin + second(101));
        assert_eq!(held.longest(begin + second(101)), None);
    }

    #[test]
    fn a_message_held_for_ever_costs_a_bounded_number_of_stamps() {
        let (mut held, begin) = (Held::default(), Instant::now());
        (0..100_000).for_each(|at| held.note(at + 1, Some(1), begin + second(at)));
        assert!(held.0.len() <= STAMPS_AT_MOST);
        assert_eq!(held.longest(begin + second(100_000)), Some(second(100_000)));
    }
}
