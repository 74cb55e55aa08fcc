//! What the latencies come to: raw numbers in JSON, and of those a table, a plot and the promises.

use super::plot;
use super::samples::{median, Percentiles};
use super::{HALF, RATES};
use crate::contender::{Contender, INTAKE_THREAD, POOL, RABBITMQ_C};
use crate::promise::{Bound, Promise};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// At most this many times rabbitmq-c's, from publish to ack, at half of the top rate.
const MOST_TIMES: f64 = 1.5;

/// The raw numbers, of which all the rest is made.
const RAW: &str = "latency.json";

/// A publisher with more of its messages late than this did not keep its pace.
const LATE_SHARE: f64 = 0.01;

/// What one contender did at one rate in one round, in milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Entry {
    pub contender: String,
    pub hundredths: u64,
    pub start: Percentiles,
    pub start_with_proxy: Percentiles,
    pub ack: Percentiles,
    pub late_share: f64,
    /// A backlog grew: the rate is too much for it.
    pub fell_behind: bool,
}

/// All of a run.
#[derive(Deserialize, Serialize)]
pub struct Report {
    pub top_rate: f64,
    pub found_with: String,
    pub rounds: usize,
    /// Why rabbitmq-c is not in it.
    pub missing: Option<String>,
    pub entries: Vec<Entry>,
}

impl Report {
    /// What an earlier measurement left in the folder.
    pub fn read(folder: &Path) -> Option<Report> {
        let text = std::fs::read_to_string(folder.join(RAW)).ok()?;
        Some(serde_json::from_str(&text).expect("this suite wrote it"))
    }

    pub fn write(&self, folder: &Path) {
        let raw = serde_json::to_string_pretty(self).expect("numbers become JSON");
        std::fs::write(folder.join(RAW), raw).expect("the folder of the results can be written");
    }

    /// The plot of what it took from publish to ack at half of the top rate.
    pub fn draw(&self, folder: &Path) {
        let at_half = |name: &'_ &str| ((*name).to_owned(), self.of(name, HALF, |entry| &entry.ack));
        let curves: Vec<_> = self.contenders().iter().map(at_half).collect();
        plot::draw(&folder.join("latency.svg"), &curves);
    }

    pub fn promises(&self) -> Vec<Promise> {
        let promise = |ours: &Contender| {
            let what = format!("p99 from publish to ack at half of the top rate, to {}: {}", RABBITMQ_C.name, ours.name);
            Promise::new(what, Bound::AtMost(MOST_TIMES), self.ratio(ours.name, HALF))
        };
        [POOL, INTAKE_THREAD].iter().map(promise).collect()
    }

    pub fn markdown(&self) -> String {
        let mut text = format!(
            "Milliseconds of this run: the medians of {} rounds. The top rate was {:.0} messages/s (with {}).\n\n",
            self.rounds, self.top_rate, self.found_with
        );
        text += "| rate | contender | start p50 | p99 | p99.9 | ack p50 | p99 | p99.9 | ack p99 to rabbitmq-c's |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for (hundredths, _) in RATES {
            self.contenders().iter().for_each(|name| self.write_row(name, hundredths, &mut text));
        }
        self.remarks().iter().for_each(|remark| write!(text, "\n{remark}\n").expect("there is memory"));
        text
    }

    fn write_row(&self, name: &str, hundredths: u64, text: &mut String) {
        let (start, ack) = (self.of(name, hundredths, |it| &it.start), self.of(name, hundredths, |it| &it.ack));
        let ratio = self.ratio(name, hundredths).map_or("-".into(), |ratio| format!("{ratio:.2}"));
        let numbers = [start.p50(), start.p99(), start.p999(), ack.p50(), ack.p99(), ack.p999()];
        let cells: Vec<String> = numbers.iter().map(|number| format!("{number:.2}")).collect();
        let behind = self.entries_of(name, hundredths).filter(|entry| entry.fell_behind).count();
        let name = if 2 * behind > self.entries_of(name, hundredths).count() {
            format!("{name} (cannot keep up)")
        } else {
            name.into()
        };
        writeln!(text, "| {hundredths} % | {name} | {} | {ratio} |", cells.join(" | ")).expect("there is memory");
    }

    /// The median of the rounds' ratios: what made a round slow was there for both.
    fn ratio(&self, name: &str, hundredths: u64) -> Option<f64> {
        let p99s = |name: &str| -> Vec<f64> { self.entries_of(name, hundredths).map(|entry| entry.ack.p99()).collect() };
        let (own, theirs) = (p99s(name), p99s(RABBITMQ_C.name));
        let ratios: Vec<f64> = own.iter().zip(&theirs).map(|(own, theirs)| own / theirs).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.missing.iter().map(missing).collect();
        remarks.extend(self.about_late_publishers());
        remarks.push(self.about_the_proxy());
        remarks
    }

    /// Rounds in which the messages did not come as planned: their latencies tell more of the machine than of the contender.
    fn about_late_publishers(&self) -> Option<String> {
        let rounds = |name: &str, hundredths| {
            let late = self.entries_of(name, hundredths).filter(|entry| entry.late_share > LATE_SHARE).count();
            (late > 0).then(|| format!("{late} with {name} at {hundredths} %"))
        };
        let late: Vec<String> = RATES
            .iter()
            .flat_map(|(hundredths, _)| self.contenders().into_iter().filter_map(|name| rounds(name, *hundredths)))
            .collect();
        (!late.is_empty()).then(|| format!("Rounds in which the publisher fell behind its pace: {}.", late.join(", ")))
    }

    /// Acks are seen by a proxy, starts without: what it adds is told, not assumed.
    fn about_the_proxy(&self) -> String {
        let added = |name: &str| {
            let p50 = |of: fn(&Entry) -> &Percentiles| self.of(name, HALF, of).p50();
            format!("{name} {:+.2}", p50(|it| &it.start_with_proxy) - p50(|it| &it.start))
        };
        let added: Vec<String> = self.contenders().iter().map(|name| added(name)).collect();
        format!("The proxy that sees the acks adds to the handler start's p50 at {HALF} %: {} ms.", added.join(", "))
    }

    fn contenders(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for entry in &self.entries {
            if !names.contains(&&*entry.contender) {
                names.push(&entry.contender);
            }
        }
        names
    }

    fn entries_of<'a>(&'a self, name: &'a str, hundredths: u64) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.contender == name && entry.hundredths == hundredths)
    }

    fn of(&self, name: &str, hundredths: u64, which: fn(&Entry) -> &Percentiles) -> Percentiles {
        Percentiles::medians(&self.entries_of(name, hundredths).map(which).collect::<Vec<_>>())
    }
}

fn missing(reason: &String) -> String {
    format!("rabbitmq-c is left out: {reason}")
}
