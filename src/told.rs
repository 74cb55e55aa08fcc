//! What has been logged lately, so that an event is one line, however often it is run into.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What goes on is told again after so long, and then after twice as long, and so on.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);

/// More at once are no outage that anybody reads line by line.
const MOST: usize = 64;

/// Causes that have been told of an outage that goes on.
#[derive(Default)]
pub(crate) struct Told(HashMap<String, (Instant, Duration)>);

impl Told {
    /// Whether this has not been told, or so long ago that it may be told again.
    pub fn is_news(&mut self, what: &str, now: Instant) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        match self.0.get_mut(what) {
            Some((last, pause)) if now.saturating_duration_since(*last) < *pause => return false,
            Some((last, pause)) => (*last, *pause) = (now, (*pause * 2).min(AGAIN_AT_MOST)),
            None => drop(self.0.insert(what.to_owned(), (now, AGAIN_AFTER))),
        }
        true
    }

    /// It is over: what comes next is news.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_more_and_more_rarely_until_it_is_over() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let mut at = |second: u64| told.is_news("away", begin + Duration::from_secs(second));
        let news: Vec<u64> = (0..1_000).filter(|second| at(*second)).collect();
        assert_eq!(news, [0, 30, 90, 210, 450, 930]);
        assert!(told.is_news("refused", begin) && !told.is_news("refused", begin));
        told.forget();
        assert!(told.is_news("away", begin + Duration::from_secs(931)));
    }
}
