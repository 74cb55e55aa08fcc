//! What a run is made of, and what its worker processes are told: plain values that travel as JSON on a command line.

use bootstep::{Exchange, Queue, RetryLayout, RetryPolicy};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The type of the main queue, and so of those around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    Classic,
    Quorum,
}

/// How messages wait for their retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Layout {
    Levels,
    /// The three queues of celery-message-consumer.
    Shared,
}

/// Which fates the numbers of a run have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mix {
    /// Mostly acked; some of everything else.
    Everything,
    /// All are acked at once.
    Acked,
    /// All fail once.
    FailingOnce,
    /// All fail until they are archived.
    Archived,
    /// One third acked, one third rejected, one third archived or failing, after handlers of very different length.
    OutOfOrder,
    /// Every second one waits for the longest level, the others for the shortest.
    LongBeforeShort,
}

/// How a rejected message gets to its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadLetters {
    /// Published, confirmed, acked: what a queue without a dead-letter exchange gets.
    ByWorker,
    /// `basic.reject`, and the broker's own dead-lettering.
    ByBroker,
}

/// All that a worker process has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    pub url: String,
    pub queue: String,
    pub kind: Kind,
    pub layout: Layout,
    pub mix: Mix,
    pub seed: u64,
    /// The first retry waits so long, each later one twice as long.
    pub first_delay_ms: u64,
    pub retries: u32,
    pub prefetch: u16,
    pub threads: usize,
    pub drain_ms: u64,
    pub dead_letters: DeadLetters,
    /// Handlers wait until this file exists, if one is named.
    pub gate: Option<PathBuf>,
    /// Where a worker process says what its handlers did; one file for each process.
    pub evidence: PathBuf,
}

impl Settings {
    pub fn new(queue: &str, kind: Kind, mix: Mix, seed: u64) -> Settings {
        Settings {
            url: String::new(),
            queue: queue.to_owned(),
            kind,
            layout: Layout::Levels,
            mix,
            seed,
            first_delay_ms: 50,
            retries: 3,
            prefetch: 100,
            threads: 8,
            drain_ms: 3_000,
            dead_letters: DeadLetters::ByWorker,
            gate: None,
            evidence: PathBuf::new(),
        }
    }

    pub fn retry_layout(&self) -> RetryLayout {
        match self.layout {
            Layout::Levels => RetryLayout::Levels,
            Layout::Shared => RetryLayout::Shared,
        }
    }

    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_millis(self.first_delay_ms), self.retries)
    }

    pub fn main_queue(&self) -> Queue {
        let queue = Queue::new(&*self.queue);
        // Faults hand messages back often: what a delivery limit drops would be the broker's deed, not the worker's.
        let queue = match self.kind {
            Kind::Classic => queue.classic(),
            Kind::Quorum => queue.quorum().delivery_limit(100_000),
        };
        match (self.dead_letters, self.kind) {
            (DeadLetters::ByWorker, _) => queue,
            (DeadLetters::ByBroker, Kind::Classic) => queue.dead_letter_to(self.dead_exchange(), "dead"),
            (DeadLetters::ByBroker, Kind::Quorum) => queue
                .dead_letter_to(self.dead_exchange(), "dead")
                .argument("x-dead-letter-strategy", "at-least-once")
                .overflow("reject-publish"),
        }
    }

    /// The exchange and the queue that the broker dead-letters to, where it does.
    pub fn dead_letters_of_broker(&self) -> Option<(Exchange, Queue)> {
        let dead = Queue::new(self.dead()).bind(self.dead_exchange(), "dead");
        let dead = if self.kind == Kind::Quorum { dead.quorum() } else { dead.classic() };
        (self.dead_letters == DeadLetters::ByBroker).then(|| (Exchange::direct(self.dead_exchange()), dead))
    }

    fn dead_exchange(&self) -> String {
        format!("{}.dlx", self.queue)
    }

    pub fn archive(&self) -> String {
        match self.layout {
            Layout::Levels => format!("{}.archive", self.queue),
            Layout::Shared => format!("{}.archived", self.queue),
        }
    }

    pub fn dead(&self) -> String {
        format!("{}.dead", self.queue)
    }

    /// Where publishers' CC headers lead.
    pub fn copies(&self) -> String {
        format!("{}.copies", self.queue)
    }

    /// Where handlers publish to.
    pub fn published(&self) -> String {
        format!("{}.published", self.queue)
    }

    pub fn retry_queues(&self) -> Vec<String> {
        let name = |level: &Duration| match level.subsec_nanos() {
            0 => format!("{}.retry.{}s", self.queue, level.as_secs()),
            _ => format!("{}.retry.{}ms", self.queue, level.as_millis()),
        };
        if self.layout == Layout::Shared {
            return vec![format!("{}.retry", self.queue)];
        }
        self.policy().levels().iter().map(name).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Classic => "classic",
            Kind::Quorum => "quorum",
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Levels => f.write_str("levels"),
            Layout::Shared => f.write_str("shared"),
        }
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Kind, String> {
        match text {
            "classic" => Ok(Kind::Classic),
            "quorum" => Ok(Kind::Quorum),
            other => Err(format!("`{other}` is no kind of queue: write `classic` or `quorum`")),
        }
    }
}

impl FromStr for Layout {
    type Err = String;
    fn from_str(text: &str) -> Result<Layout, String> {
        match text {
            "levels" => Ok(Layout::Levels),
            "shared" => Ok(Layout::Shared),
            other => Err(format!("`{other}` is no layout: write `levels` or `shared`")),
        }
    }
}
