//! When acks go out: many in one, because each is a frame to send and work for the broker, yet none waits long.

use crate::ledger::{Command, Event, Ledger};
use crate::transport::Settle;
use std::time::{Duration, Instant};

/// Acks that may wait to become one, whatever the prefetch.
const MOST: usize = 64;

/// How long acks wait that stand behind an earlier message that is still out, before they go one by one.
const SCATTERED: Duration = Duration::from_millis(2);

/// What a command of the ledger is to the broker.
pub(super) fn in_words(command: Command) -> Settle {
    match command {
        Command::Ack { tag } => Settle::Ack { tag },
        Command::AckUpTo { tag } => Settle::AckUpTo { tag },
        Command::Reject { tag } => Settle::Reject { tag },
        Command::Fail { tag } => Settle::Fail { tag },
        Command::Requeue { tag } => Settle::Requeue { tag },
    }
}

pub(super) struct Acks {
    /// So many go at once.
    enough: usize,
    /// How long an ack waits for others, while quick handlers make more of them.
    within: Duration,
    /// Since when there are some that wait.
    since: Option<Instant>,
}

impl Acks {
    pub fn new(prefetch: u16, within: Duration) -> Self {
        // A quarter, so that the broker has the rest to send from while these are on their way.
        Acks { enough: (usize::from(prefetch) / 4).clamp(1, MOST), within, since: None }
    }

    /// Sends what is enough or old enough.
    pub fn flush(&mut self, ledger: &mut Ledger, commands: &mut Vec<Command>) {
        let age = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        if ledger.acks_due() >= self.enough || age >= self.within {
            ledger.apply(Event::Flush, commands);
        }
        // What is due and not in the prefix stands behind a slow message; half a prefetch of that would starve us.
        if ledger.acks_due() >= 2 * self.enough || age >= SCATTERED {
            ledger.apply(Event::FlushAll, commands);
        }
        self.since = match ledger.acks_due() {
            0 => None,
            _ => self.since.or_else(|| Some(Instant::now())),
        };
    }

    /// When to look again, if some wait.
    pub fn due_in(&self) -> Option<Duration> {
        let age = self.since?.elapsed();
        Some(if age < self.within { self.within - age } else { SCATTERED.saturating_sub(age) })
    }
}
