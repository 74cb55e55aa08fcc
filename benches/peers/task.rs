//! What a contender is to do, and how it is told: by the environment, so that one in any language can read it.

use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long a handler that sleeps does so.
pub const NAP: Duration = Duration::from_millis(5);

/// How long a handler that computes does so.
pub const COMPUTATION: Duration = Duration::from_micros(20);

/// One drain of one or more queues.
#[derive(Clone, Debug)]
pub struct Task {
    pub url: String,
    pub queues: Vec<String>,
    /// In all queues together.
    pub messages: usize,
    /// So many of them come before what is measured, and so many behind. Not all contenders can do that.
    pub skipped: usize,
    pub prefetch: u16,
    pub ack_every: usize,
    pub threads: usize,
    pub handler: Work,
    /// Whether the queues hold more: then the process leaves as soon as it has handled its messages.
    pub leaves_early: bool,
}

/// What a handler does with its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Nothing,
    Compute,
    Sleep,
}

impl Task {
    /// # Panics
    ///
    /// Where the suite did not say all of it.
    pub fn from_env() -> Task {
        Task {
            url: variable("AMQP_URL"),
            queues: variable::<String>("BENCH_QUEUES").split(',').map(str::to_owned).collect(),
            messages: variable("BENCH_MESSAGES"),
            skipped: variable("BENCH_SKIPPED"),
            prefetch: variable("BENCH_PREFETCH"),
            ack_every: variable("BENCH_ACK_EVERY"),
            threads: variable("BENCH_THREADS"),
            handler: variable("BENCH_HANDLER"),
            leaves_early: std::env::var_os("BENCH_LEAVES_EARLY").is_some(),
        }
    }

    pub fn tell(&self, command: &mut Command) {
        command
            .env("AMQP_URL", &self.url)
            .env("BENCH_QUEUES", self.queues.join(","))
            .env("BENCH_MESSAGES", self.messages.to_string())
            .env("BENCH_SKIPPED", self.skipped.to_string())
            .env("BENCH_PREFETCH", self.prefetch.to_string())
            .env("BENCH_ACK_EVERY", self.ack_every.to_string())
            .env("BENCH_THREADS", self.threads.to_string())
            .env("BENCH_HANDLER", self.handler.name())
            .env_remove("BENCH_LEAVES_EARLY");
        if self.leaves_early {
            command.env("BENCH_LEAVES_EARLY", "yes");
        }
    }

    /// How many messages wait on each of its queues.
    pub fn messages_of_each(&self) -> usize {
        self.messages / self.queues.len()
    }
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Work::Nothing => "nothing",
            Work::Compute => "compute",
            Work::Sleep => "sleep",
        }
    }

    /// This does it, on the thread that asks.
    pub fn work(self) {
        match self {
            Work::Nothing => {}
            Work::Compute => compute(),
            Work::Sleep => std::thread::sleep(NAP),
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(name: &str) -> Result<Work, String> {
        let all = [Work::Nothing, Work::Compute, Work::Sleep];
        all.into_iter().find(|work| work.name() == name).ok_or_else(|| format!("no handler does `{name}`"))
    }
}

// Arithmetic until the clock says so: the same time on every machine, and none of it given away to others.
fn compute() {
    let began = Instant::now();
    let mut number = 1_u64;
    while began.elapsed() < COMPUTATION {
        for step in 0..100 {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
        }
    }
}

fn variable<T: FromStr>(name: &str) -> T {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().ok().unwrap_or_else(|| panic!("`{name}` is {text:?}: the suite says that to its contenders, see README.md"))
}
