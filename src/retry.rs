//! When to try again: a pure function from the number of retries so far to a delay.

use std::collections::BTreeSet;
use std::time::Duration;

/// The most levels a policy may have: each is a queue on the broker.
const MOST_LEVELS: usize = 16;

/// The most different delays of a linear policy: they are held in memory.
const MOST_DELAYS: u32 = 1_000;

/// How often and when a failed message is tried again. The default is five retries after 1, 2, 4, 8 and 16 seconds.
///
/// Where failed messages wait in levels (the default, [`RetryLayout::Levels`](crate::RetryLayout::Levels)), each delay is one queue
/// on the broker with that time to live, and there are sixteen at the most. Whatever delay comes out, by
/// [`jitter`](RetryPolicy::jitter) or because a handler asks for it, is rounded up to one of them; what is longer than the longest
/// waits for that one. A policy of more than sixteen different delays keeps sixteen of them as levels, the longest always, and the
/// others spread evenly over the list: a message then waits at least as long as the policy says, and at most until the next level.
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
    /// How much of a delay may be cut off at random, in thousandths.
    jitter_per_mille: u32,
}

impl RetryPolicy {
    /// No retry: a failed message is archived at once.
    pub fn none() -> Self {
        RetryPolicy::of(Vec::new(), 0)
    }

    /// So many retries, each after the same delay.
    pub fn fixed(delay: Duration, retries: u32) -> Self {
        RetryPolicy::of(vec![delay], retries)
    }

    /// So many retries: after `first`, twice `first`, three times `first`, and so on. More than a thousand different delays stay
    /// at the thousandth.
    pub fn linear(first: Duration, retries: u32) -> Self {
        let first = whole(first);
        RetryPolicy::of((1..=retries.min(MOST_DELAYS)).map(|times| first.saturating_mul(times)).collect(), retries)
    }

    /// So many retries, the first after `first`, each later one after twice the time. More than sixteen different delays stay
    /// at the sixteenth.
    pub fn exponential(first: Duration, retries: u32) -> Self {
        let different = retries.min(MOST_LEVELS as u32);
        RetryPolicy::of((0..different).map(|retry| first.saturating_mul(1 << retry)).collect(), retries)
    }

    /// As many retries as there are delays, each after its own.
    ///
    /// ```
    /// use bootstep::RetryPolicy;
    /// use std::time::Duration;
    ///
    /// // What celery-message-consumer does unless told otherwise.
    /// let policy = RetryPolicy::delays([200, 1_000, 60_000, 1_800_000].map(Duration::from_millis));
    /// assert_eq!(policy.next_delay(2), Some(Duration::from_secs(60)));
    /// assert_eq!(policy.next_delay(4), None);
    /// ```
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Self {
        let delays: Vec<Duration> = delays.into_iter().collect();
        let retries = u32::try_from(delays.len()).unwrap_or(u32::MAX);
        RetryPolicy::of(delays, retries)
    }

    fn of(delays: Vec<Duration>, retries: u32) -> Self {
        let delays = if retries == 0 { Vec::new() } else { delays.into_iter().map(whole).collect() };
        RetryPolicy { delays, retries, jitter_per_mille: 0 }
    }

    /// No delay is longer than this.
    pub fn cap(mut self, longest: Duration) -> Self {
        for delay in &mut self.delays {
            *delay = (*delay).min(whole(longest));
        }
        self
    }

    /// Up to this fraction of each delay, from 0.0 (the default) to 1.0, is cut off at random, so that what failed together does
    /// not come again together.
    ///
    /// Among levels, a delay can only be cut to another level. So a policy with jitter gets further ones, as many as there is room
    /// for among the sixteen, spread evenly below each delay: a fixed delay of 16 s and a jitter of 0.5 become levels of 8.5, 9, 9.5 and so
    /// on up to 16 s. Each costs a queue. A policy that has sixteen different delays of its own has no room, and little jitter. A
    /// delay that a handler asks for is not cut.
    pub fn jitter(mut self, fraction: f64) -> Self {
        // Not a number becomes 0.
        self.jitter_per_mille = (fraction.clamp(0.0, 1.0) * 1000.0).round() as u32;
        self
    }

    /// The delay before the next attempt after this many retries, without jitter; `None` means that the message goes to the
    /// archive.
    pub fn next_delay(&self, retries: u32) -> Option<Duration> {
        let delay = self.delays.get(retries as usize).or(self.delays.last()).copied();
        delay.filter(|_| retries < self.retries)
    }

    /// This cuts off of a delay what the jitter says at this random number between 0 and 1; nothing at 0.
    pub fn jittered(&self, delay: Duration, random: f64) -> Duration {
        match self.jitter_per_mille {
            0 => delay,
            most => whole(delay.mul_f64(1.0 - random.clamp(0.0, 1.0) * f64::from(most) / 1000.0)),
        }
    }

    /// The delays that this policy needs queues for, shortest first, sixteen at the most: its own, and between them those that
    /// jitter cuts to.
    pub fn levels(&self) -> Vec<Duration> {
        let nominal: Vec<Duration> = self.delays.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let different = nominal.len();
        if different > MOST_LEVELS {
            // The last of these is the longest delay.
            return (1..=MOST_LEVELS).map(|level| nominal[level * different / MOST_LEVELS - 1]).collect();
        }
        let mut levels = BTreeSet::from_iter(nominal.iter().copied());
        if self.jitter_per_mille > 0 && different > 0 {
            let room = MOST_LEVELS - different;
            for (place, delay) in nominal.iter().rev().enumerate() {
                // What does not divide goes to the longest: there most messages may wait.
                let more = room / different + usize::from(place < room % different);
                levels.extend(self.cut_levels(*delay, more as u64));
            }
        }
        levels.into_iter().collect()
    }

    /// So many levels below a delay, so that each is as likely to be rounded up to as the delay itself.
    fn cut_levels(&self, delay: Duration, levels: u64) -> impl Iterator<Item = Duration> {
        let (jitter, parts) = (u64::from(self.jitter_per_mille), 1000 * (levels + 1));
        // A delay has 32 bits of milliseconds, so this does not overflow.
        let milliseconds = delay.as_millis() as u64;
        (1..=levels).map(move |level| whole(Duration::from_millis((milliseconds * (parts - jitter * level)).div_ceil(parts))))
    }

    /// The shortest level that is at least `delay`, or the longest there is.
    pub fn level_for(&self, delay: Duration) -> Option<Duration> {
        level_among(&self.levels(), delay)
    }

    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    pub(crate) fn has_jitter(&self) -> bool {
        self.jitter_per_mille > 0
    }

    /// How many retries it takes until the delay does not change any more.
    pub(crate) fn steady_after(&self) -> u32 {
        u32::try_from(self.delays.len()).unwrap_or(u32::MAX)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy::exponential(Duration::from_secs(1), 5)
    }
}

/// The shortest of these levels that is at least `delay`, or the longest.
pub(crate) fn level_among(levels: &[Duration], delay: Duration) -> Option<Duration> {
    levels.iter().find(|level| **level >= delay).or(levels.last()).copied()
}

/// Brokers count in milliseconds, and a level of nothing would be a loop: the shortest delay is one millisecond.
pub(crate) fn whole(delay: Duration) -> Duration {
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

    #[track_caller]
    fn check_levels(policy: RetryPolicy, milliseconds: &[u128]) {
        assert_eq!(policy.levels().iter().map(Duration::as_millis).collect::<Vec<_>>(), milliseconds);
    }

    #[test]
    fn of_many_delays_sixteen_are_levels_the_longest_among_them() {
        check_levels(
            RetryPolicy::linear(Duration::from_secs(1), 20),
            &[1000, 2000, 3000, 5000, 6000, 7000, 8000, 10000, 11000, 12000, 13000, 15000, 16000, 17000, 18000, 20000],
        );
    }

    #[test]
    fn jitter_adds_levels_below_each_delay_as_far_as_there_is_room() {
        let fixed = RetryPolicy::fixed(Duration::from_secs(16), 3).jitter(0.5);
        check_levels(fixed, &(17..=32).map(|half| half * 500).collect::<Vec<_>>());
        let two = RetryPolicy::delays([1, 60].map(Duration::from_secs)).jitter(0.8);
        let below_one = [300, 400, 500, 600, 700, 800, 900, 1000];
        let below_sixty = [18_000, 24_000, 30_000, 36_000, 42_000, 48_000, 54_000, 60_000];
        check_levels(two, &[below_one, below_sixty].concat());
        check_levels(RetryPolicy::none().jitter(1.0), &[]);
        check_levels(RetryPolicy::fixed(Duration::from_millis(3), 1).jitter(1.0), &[1, 2, 3]);
        check_levels(RetryPolicy::fixed(Duration::from_secs(1), 1).jitter(f64::NAN), &[1000]);
    }
}
