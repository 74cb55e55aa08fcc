//! The results as Markdown: a table for each group of cases.

use crate::contender::{RABBITMQ_C, SLEEPING};
use crate::results::{CaseResults, Results, Series};
use std::fmt::Write;

/// A group of cases: its name there, its heading, what its first column is, and what is the same in all of them.
type Group = (&'static str, &'static str, &'static str, &'static str);

const GROUPS: &[Group] = &[
    ("prefetch", "Prefetch", "prefetch", "100 bytes of JSON, one queue, two threads, a handler that does nothing."),
    ("bodies", "Bodies", "body", "Prefetch 100, one queue, two threads, a handler that does nothing."),
    ("queues", "Queues", "queues", "100 bytes, prefetch 100 on each queue, two threads, a handler that does nothing."),
    ("threads", "Threads", "threads", "100 bytes, prefetch 100, one queue, a handler that does nothing."),
    ("compute", "Handlers that compute for 20 µs", "threads", "100 bytes, prefetch 100, one queue."),
    ("sleep", "Handlers that sleep for 5 ms", "threads", "100 bytes, prefetch 100 or eight times the threads, one queue."),
    ("many queues", "Queues in one worker", "queues", "100 bytes, prefetch 100 on each queue, a handler that does nothing."),
    ("sleeping threads", "Threads that sleep for 5 ms", "threads", "100 bytes, prefetch 100 or eight times the threads, one queue."),
    ("growing prefetch", "Prefetch", "prefetch", "100 bytes, one queue, two threads, a handler that does nothing."),
    (
        "backlog",
        "Backlog",
        "waiting",
        "100 bytes, prefetch 100, two threads, a handler that does nothing; the first 100,000 messages are measured. With none waiting, \
         they are published meanwhile.",
    ),
];

const HEADER: &str =
    "contender | messages/s | slowest to fastest | ratio | CPU s per 100,000 | ratio | peak MiB | switches per message |
|--:|---|--:|--:|--:|--:|--:|--:|--:|
";

/// All tables of one part, with a word on where they come from.
pub fn document(results: &Results) -> String {
    let rounds = if results.rounds == 1 { "one round".to_owned() } else { format!("{} rounds", results.rounds) };
    let mut text = format!(
        "Measured by `cargo bench -p bootstep-peers`, medians of {}. {}. Ratios are to {}, or where it has no part, to {}.\n",
        rounds, results.machine, RABBITMQ_C.name, SLEEPING.name
    );
    for (name, why) in &results.left_out {
        let _ = writeln!(text, "\nLeft out: {name}: {why}.");
    }
    for group in GROUPS {
        text += &table(results, group);
    }
    text
}

fn table(results: &Results, (group, heading, column, constant): &Group) -> String {
    let rows: String = results.group(group).map(rows).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("\n## {heading}\n\n{constant}\n\n| {column} | {HEADER}{rows}")
}

fn rows(case: &CaseResults) -> String {
    let reference = case.of(RABBITMQ_C.name).or_else(|| case.of(SLEEPING.name));
    let measured = case.contenders.iter().filter(|series| !series.runs.is_empty());
    measured.map(|series| row(&case.label, series, reference)).collect()
}

fn row(label: &str, series: &Series, reference: Option<&Series>) -> String {
    let ratio =
        |value: fn(&Series) -> f64| reference.map_or("–".into(), |other| format!("{:.2}", value(series) / value(other)));
    format!(
        "| {label} | {} | {} | {} to {} | {} | {:.3} | {} | {:.1} | {:.3} |\n",
        series.name,
        grouped(series.rate()),
        grouped(series.slowest()),
        grouped(series.fastest()),
        ratio(Series::rate),
        series.cpu(),
        ratio(Series::cpu),
        series.peak_mib(),
        series.switches(),
    )
}

/// 47,123
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
