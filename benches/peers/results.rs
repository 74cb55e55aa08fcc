//! What was measured: kept as JSON, so that tables and plots can be made again without measuring.

use crate::measure::Sample;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The results of one part of the suite.
#[derive(Debug, Deserialize, Serialize)]
pub struct Results {
    /// Where it was measured.
    pub machine: String,
    pub rounds: usize,
    /// Contenders that could not run there, and why.
    pub left_out: Vec<(String, String)>,
    pub cases: Vec<CaseResults>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct CaseResults {
    pub group: String,
    pub label: String,
    pub bytes: usize,
    pub prefetch: u16,
    pub contenders: Vec<Series>,
}

/// The runs of one contender in one case.
#[derive(Debug, Deserialize, Serialize)]
pub struct Series {
    pub name: String,
    pub messages: usize,
    pub runs: Vec<Sample>,
}

impl Results {
    pub fn read(folder: &Path, part: &str) -> Option<Results> {
        let text = std::fs::read_to_string(folder.join(format!("{part}.json"))).ok()?;
        serde_json::from_str(&text).map_err(|err| eprintln!("{part}.json is not as this suite writes it: {err}")).ok()
    }

    pub fn write(&self, folder: &Path, part: &str) {
        let text = serde_json::to_string_pretty(self).expect("results are plain data");
        std::fs::write(folder.join(format!("{part}.json")), text + "\n").expect("the folder of the results can be written");
    }

    pub fn case(&self, group: &str, label: &str) -> Option<&CaseResults> {
        self.cases.iter().find(|case| case.group == group && case.label == label)
    }

    /// The cases that differ in one thing, in the order of their measuring.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a CaseResults> {
        self.cases.iter().filter(move |case| case.group == group)
    }
}

impl CaseResults {
    pub fn of(&self, contender: &str) -> Option<&Series> {
        self.contenders.iter().find(|series| series.name == contender && !series.runs.is_empty())
    }
}

/// Medians over the runs, unless a name says otherwise.
impl Series {
    pub fn rate(&self) -> f64 {
        self.median(|run| self.messages as f64 / run.seconds)
    }

    pub fn slowest(&self) -> f64 {
        self.rates().fold(f64::INFINITY, f64::min)
    }

    pub fn fastest(&self) -> f64 {
        self.rates().fold(0.0, f64::max)
    }

    /// CPU seconds per 100,000 messages.
    pub fn cpu(&self) -> f64 {
        self.median(|run| run.cpu_seconds * 100_000.0 / self.messages as f64)
    }

    /// The most memory that it had in any run.
    pub fn peak_mib(&self) -> f64 {
        self.runs.iter().map(|run| run.peak_kib as f64 / 1024.0).fold(0.0, f64::max)
    }

    /// Context switches per message, asked for or not.
    pub fn switches(&self) -> f64 {
        self.median(|run| (run.voluntary_switches + run.involuntary_switches) as f64 / self.messages as f64)
    }

    fn rates(&self) -> impl Iterator<Item = f64> + '_ {
        self.runs.iter().map(|run| self.messages as f64 / run.seconds)
    }

    fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => values[count / 2],
            count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
        }
    }
}
