//! When to try again: a pure function from the number of retries so far to a delay.

use std::time::Duration;

/// The most levels a policy may have: each is a queue on the broker.
const MOST_LEVELS: usize = 16;

/// How often and when a failed message is tried again. The default is five retries after 1, 2, 4, 8 and 16 seconds.
///
/// A delay is a *level*: one queue on the broker with that time to live. There are sixteen at the most. A delay that a handler
/// asks for is rounded up to one of them; what is longer than the longest waits for that one.
///
/// ```
/// use bootstep::RetryPolicy;
/// use std::time::Duration;
///
/// let policy = RetryPolicy::exponential(Duration::from_secs(1), 4).cap(Duration::from_secs(3));
/// let delays: Vec<_> = (0..5).map(|retries| policy.next_delay(retries).map(|delay| delay.as_secs())).collect();
/// assert_eq!(delays, [Some(1), Some(2), Some(3), Some(3), None]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first delays; the last of them stands for all later ones.
    delays: Vec<Duration>,
    retries: u32,
}

impl RetryPolicy {
    /// No retry: a failed message is archived at once.
    pub fn none() -> Self {
        RetryPolicy { delays: Vec::new(), retries: 0 }
    }

    /// So many retries, each after the same delay.
    pub fn fixed(delay: Duration, retries: u32) -> Self {
        let delays = if retries == 0 { Vec::new() } else { vec![whole(delay)] };
        RetryPolicy { delays, retries }
    }

    /// So many retries, the first after `first`, each later one after twice the time. More than sixteen different delays stay
    /// at the sixteenth.
    pub fn exponential(first: Duration, retries: u32) -> Self {
        let different = retries.min(MOST_LEVELS as u32);
        let delays = (0..different).map(|retry| whole(first.saturating_mul(1 << retry))).collect();
        RetryPolicy { delays, retries }
    }

    /// No delay is longer than this.
    pub fn cap(mut self, longest: Duration) -> Self {
        for delay in &mut self.delays {
            *delay = (*delay).min(whole(longest));
        }
        self
    }

    /// The delay before the next attempt after this many retries; `None` means that the message goes to the archive.
    pub fn next_delay(&self, retries: u32) -> Option<Duration> {
        let delay = self.delays.get(retries as usize).or(self.delays.last()).copied();
        delay.filter(|_| retries < self.retries)
    }

    /// The different delays, shortest first: the queues that this policy needs.
    pub fn levels(&self) -> Vec<Duration> {
        let mut levels = self.delays.clone();
        levels.sort();
        levels.dedup();
        levels
    }

    /// The shortest level that is at least `delay`, or the longest there is.
    pub fn level_for(&self, delay: Duration) -> Option<Duration> {
        let levels = self.levels();
        levels.iter().find(|level| **level >= delay).or(levels.last()).copied()
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy::exponential(Duration::from_secs(1), 5)
    }
}

/// Brokers count in milliseconds, and a level of nothing would be a loop: the shortest delay is one millisecond.
fn whole(delay: Duration) -> Duration {
    let milliseconds = delay.as_nanos().div_ceil(1_000_000).max(1);
    // RabbitMQ refuses a time to live above 32 bits of milliseconds.
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX).min(u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_rounds_up_to_a_level_and_never_beyond_the_last() {
        let policy = RetryPolicy::exponential(Duration::from_secs(1), 3);
        let level = |seconds| policy.level_for(Duration::from_secs(seconds)).map(|level| level.as_secs());
        assert_eq!((level(0), level(3), level(60)), (Some(1), Some(4), Some(4)));
        assert_eq!(RetryPolicy::none().level_for(Duration::ZERO), None);
    }

    #[test]
    fn a_policy_never_has_more_than_sixteen_levels() {
        assert_eq!(RetryPolicy::exponential(Duration::from_millis(1), 100).levels().len(), MOST_LEVELS);
    }
}
