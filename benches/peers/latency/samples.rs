//! Single latencies, as a run collects them, and the percentiles that are told of them.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// What percentiles a plot shows.
pub const SHOWN: [f64; 8] = [50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9];

const P50: usize = 0;
const P99: usize = 5;
const P999: usize = 7;

/// When a message was to be sent, and how long after that something became of it, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub stamp: u64,
    pub took: u64,
}

/// The percentiles of one run, or the medians of several, in milliseconds, one for each that is [`SHOWN`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Percentiles(pub Vec<f64>);

impl Percentiles {
    /// Of all but the first messages, which find everything cold.
    pub fn after(warm_up_seconds: f64, samples: &[Sample]) -> Percentiles {
        let first = samples.iter().map(|sample| sample.stamp).min().unwrap_or(0);
        let warm = first + (warm_up_seconds * 1e9) as u64;
        let mut histogram: Histogram<u64> = Histogram::new(3).expect("three digits are allowed");
        let counted = samples.iter().filter(|sample| sample.stamp >= warm);
        counted.for_each(|sample| histogram.record(sample.took).expect("a histogram that grows takes any number"));
        Percentiles(SHOWN.iter().map(|percentile| histogram.value_at_percentile(*percentile) as f64 / 1e6).collect())
    }

    /// Each the median of that of all runs.
    pub fn medians(runs: &[&Percentiles]) -> Percentiles {
        Percentiles((0..SHOWN.len()).map(|place| median(runs.iter().map(|run| run.0[place]).collect())).collect())
    }

    pub fn p50(&self) -> f64 {
        self.0[P50]
    }

    pub fn p99(&self) -> f64 {
        self.0[P99]
    }

    pub fn p999(&self) -> f64 {
        self.0[P999]
    }
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// For whoever started this process.
pub fn write(path: &Path, samples: impl Iterator<Item = Sample>) {
    let mut text = String::new();
    samples.for_each(|Sample { stamp, took }| writeln!(text, "{stamp} {took}").expect("there is memory"));
    std::fs::write(path, text).expect("the suite's folder can be written");
}

pub fn read(path: &Path) -> Vec<Sample> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (stamp, took) = line.split_once(' ')?;
    Some(Sample { stamp: stamp.parse().ok()?, took: took.parse().ok()? })
}
