//! What a process has cost between two moments: time, CPU, context switches; and the most memory it ever had.

use nix::sys::resource::{getrusage, Usage, UsageWho};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Instant;

/// A measurement under way.
pub struct Meter {
    began: Instant,
    before: Usage,
}

/// What a contender answers, in one line.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Sample {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_kib: u64,
    pub voluntary_switches: i64,
    pub involuntary_switches: i64,
}

impl Meter {
    pub fn start() -> Meter {
        Meter { began: Instant::now(), before: usage() }
    }

    pub fn read(&self) -> Sample {
        let (seconds, after) = (self.began.elapsed().as_secs_f64(), usage());
        Sample {
            seconds,
            cpu_seconds: cpu_seconds(&after) - cpu_seconds(&self.before),
            peak_kib: peak_kib(),
            voluntary_switches: after.voluntary_context_switches() - self.before.voluntary_context_switches(),
            involuntary_switches: after.involuntary_context_switches() - self.before.involuntary_context_switches(),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { seconds, cpu_seconds, peak_kib, voluntary_switches, involuntary_switches } = self;
        write!(f, "{seconds:.6} {cpu_seconds:.6} {peak_kib} {voluntary_switches} {involuntary_switches}")
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(line: &str) -> Result<Sample, String> {
        let complaint = || format!("five numbers were wanted, not {line:?}");
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [seconds, cpu_seconds, peak_kib, voluntary, involuntary] = numbers[..] else { return Err(complaint()) };
        Ok(Sample {
            seconds,
            cpu_seconds,
            peak_kib: peak_kib as u64,
            voluntary_switches: voluntary as i64,
            involuntary_switches: involuntary as i64,
        })
    }
}

fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask about itself")
}

fn cpu_seconds(usage: &Usage) -> f64 {
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}

// From /proc, because `getrusage` also counts what the parent had when it forked; 0 where there is no /proc.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
