//! How many messages a walk has in hand: few where they are large, because all of them are in memory.

/// About so many bytes may be on their way at once, by the sizes of those that came last.
const BYTES: u64 = 16 * 1024 * 1024;

/// What a message takes here beside its body: its headers, and their place in memory.
const AROUND_BODY: u64 = 1024;

/// The first window, before anything is known of the sizes; the next is at most so many times larger.
pub(super) const FIRST: u64 = 10;
const GROWTH: u64 = 8;

/// Small ones say little of the size of the next: if those are large, so many of them are here at the worst.
const FEW: u64 = 200;

/// No more than so many however long the queue is.
pub(super) const MOST: u64 = 20_000;

/// How many may be here when so many have passed. Each window is a consumer of its own, and what is left goes back by as many
/// requeues, each of which costs a classic queue the more the longer it is: 1,000,000 in windows of 200 kept one busy for more than
/// five minutes. So there may be more the longer it takes, up to a tenth of what has passed.
pub(super) fn allowed(passed: u64) -> u64 {
    (passed / 10).clamp(FEW, MOST)
}

/// How many may be unsettled, and how many are.
pub(super) struct Window {
    most: u64,
    pub size: u64,
    /// How many were visited and keep their place.
    pub left: u64,
    pub arrived: u64,
    pub bytes: u64,
}

impl Window {
    pub fn of(size: u64, most: u64) -> Self {
        Window { most, size, left: 0, arrived: 0, bytes: 0 }
    }

    /// So many may be in the next one.
    pub fn allow(&mut self, most: u64) {
        self.most = most;
    }

    /// What would be a good size now.
    pub fn next(&self, remaining: u64) -> u64 {
        let each = self.bytes / self.arrived.max(1) + AROUND_BODY;
        (BYTES / each).min(self.size * GROWTH).clamp(1, self.most).min(remaining)
    }

    /// Whether it is full, or is used up and should be much larger or smaller.
    pub fn wants_change(&self, remaining: u64) -> bool {
        let is_small = || self.next(remaining) >= self.size * 2;
        let is_large = || self.next(u64::MAX) * 2 <= self.size;
        self.left >= self.size || (self.arrived >= self.size && (is_small() || is_large()))
    }

    /// What comes through it now may be of other sizes.
    pub fn forget_sizes(&mut self) {
        (self.arrived, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: u64, each: u64, expected: Option<u64>) {
        // Passed once by messages that were taken.
        let window = Window { arrived: size, bytes: size * each, ..Window::of(size, FEW) };
        assert_eq!(window.wants_change(1_000_000).then(|| window.next(1_000_000)), expected, "{size} of {each} bytes");
    }

    #[test]
    fn it_grows_for_small_messages_and_shrinks_for_large_ones() {
        check(10, 100, Some(80));
        check(80, 100, Some(FEW));
        check(FEW, 100, None);
        check(FEW, 50_000, None);
        check(FEW, 1 << 20, Some(15));
        check(15, 1 << 20, None);
        check(15, 100 << 20, Some(1));
    }

    #[test]
    fn more_are_allowed_the_longer_it_takes() {
        assert_eq!([0, 2_000, 50_000, 10_000_000].map(allowed), [FEW, FEW, 5_000, MOST]);
    }
}
