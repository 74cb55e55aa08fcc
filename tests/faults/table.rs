//! What is printed: a line for each run, and in the end a table of all of them in Markdown.

use crate::field::Field;
use crate::injury::Injury;
use crate::judge::Verdict;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a run came to, in a form that outlives it.
#[derive(Clone, Debug)]
pub struct Report {
    pub name: String,
    pub seed: u64,
    pub kind: String,
    pub layout: String,
    pub version: String,
    pub verdict: Verdict,
    pub faults: BTreeMap<Injury, u64>,
    pub took: Duration,
    pub complaints: Vec<String>,
    pub measured: Vec<String>,
    /// Evidence and logs, kept where something is wrong.
    pub folder: Option<PathBuf>,
}

impl Report {
    pub fn new(name: &str, seed: u64, mut field: Field, verdict: Verdict) -> Report {
        let mut faults = BTreeMap::new();
        field.injected.iter().for_each(|fault| *faults.entry(fault.kind).or_default() += 1);
        let is_good = verdict.is_good() && field.complaints.is_empty();
        let is_kept = !is_good || std::env::var_os("BOOTSTEP_FAULTS_KEEP").is_some();
        if is_kept {
            let lines = field.injected.iter().map(|fault| format!("{} {} {}\n", fault.begin_ms, fault.end_ms, fault.kind));
            let hop = format!("lost by a classic hop: {:?}\n", verdict.lost_by_hop);
            fs::write(field.folder().join("faults"), lines.chain([hop]).collect::<String>())
                .expect("the run's folder can be written");
        }
        Report {
            name: name.to_owned(),
            seed,
            kind: field.settings.kind.to_string(),
            layout: field.settings.layout.to_string(),
            version: field.version.clone(),
            faults,
            took: field.began.elapsed(),
            complaints: std::mem::take(&mut field.complaints),
            measured: std::mem::take(&mut field.measured),
            folder: is_kept.then(|| field.keep_folder()),
            verdict,
        }
    }

    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.complaints.is_empty()
    }

    /// The line of this run, and below it what is wrong.
    pub fn lines(&self) -> String {
        let Verdict { messages, uncertain, duplicated, repeated, .. } = self.verdict;
        let faults: Vec<String> = self.faults.iter().map(|(kind, times)| format!("{times} {kind}")).collect();
        let word = if self.is_good() { "good" } else { "BAD" };
        let mut text = format!(
            "{word}: {} seed {} {} {}: {messages} messages ({uncertain} uncertain), lost {}, by a classic hop {}, duplicated \
             {duplicated} (unexplained {}), attempts repeated {repeated}, stuck {}, misplaced {}; faults: {}; {:.0?}",
            self.name,
            self.seed,
            self.kind,
            self.version,
            self.verdict.lost.len(),
            self.verdict.lost_by_hop.len(),
            self.verdict.unexplained.len(),
            self.verdict.stuck.len(),
            self.verdict.misplaced.len(),
            if faults.is_empty() { "none".to_owned() } else { faults.join(", ") },
            self.took,
        );
        let wrong = self.verdict.words(10);
        for line in self.measured.iter().chain(&wrong).chain(&self.complaints) {
            let _ = write!(text, "\n    {line}");
        }
        if let Some(folder) = &self.folder {
            let _ = write!(text, "\n    evidence and logs: {}", folder.display());
        }
        text
    }
}

/// All runs summed, by type of queue, layout and version.
pub fn table(reports: &[Report]) -> String {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Report>> = BTreeMap::new();
    for report in reports {
        groups.entry((&report.kind, &report.layout, &report.version)).or_default().push(report);
    }
    let mut text = String::from(
        "| queues | layout | RabbitMQ | runs | messages | faults | lost | lost by a classic hop | duplicated (explained) | stuck | \
         misplaced |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for ((kind, layout, version), reports) in &groups {
        let row = Row::of(reports);
        let _ = writeln!(text, "| {kind} | {layout} | {version} {row}");
    }
    let all: Vec<&Report> = reports.iter().collect();
    let _ = writeln!(text, "| all | | {}", Row::of(&all));
    text.push_str("\n| fault | times |\n|---|---|\n");
    let mut faults: BTreeMap<Injury, u64> = BTreeMap::new();
    for (kind, times) in reports.iter().flat_map(|report| &report.faults) {
        *faults.entry(*kind).or_default() += times;
    }
    for (kind, times) in faults {
        let _ = writeln!(text, "| {kind} | {times} |");
    }
    text
}

struct Row(String);

impl Row {
    fn of(reports: &[&Report]) -> Row {
        let sum = |count: &dyn Fn(&Report) -> u64| reports.iter().map(|report| count(report)).sum::<u64>();
        let length = |count: usize| u64::try_from(count).expect("it fits");
        let messages = sum(&|it| it.verdict.messages);
        let faults = sum(&|it| it.faults.values().sum());
        let duplicated = sum(&|it| it.verdict.duplicated);
        let unexplained = sum(&|it| length(it.verdict.unexplained.len()));
        Row(format!(
            "| {} | {messages} | {faults} | {} | {} | {duplicated} ({}) | {} | {} |",
            reports.len(),
            sum(&|it| length(it.verdict.lost.len())),
            sum(&|it| length(it.verdict.lost_by_hop.len())),
            duplicated.saturating_sub(unexplained),
            sum(&|it| length(it.verdict.stuck.len())),
            sum(&|it| length(it.verdict.misplaced.len())),
        ))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
