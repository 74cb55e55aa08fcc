//! The counts that are kept in `benches/micro.md`, and what has become worse since.

use crate::callgrind::Counts;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// More above the kept count than this is a regression.
const TOLERANCE: f64 = 1.05;

const INTRODUCTION: &str = "\
# What a message costs, in instructions

Counted by callgrind, start-up left out. `cargo bench --bench micro -- --write` wrote this file; with `--check` in its place, the
same command fails where a count is more than 5 % above the one that is kept here. Each is for one message; allocations are calls
of malloc, calloc and realloc. `AMQP_URL=amqp://… cargo bench --bench micro -- worker` tells what a whole worker spends on
RabbitMQ, by thread and by crate.

Another compiler or another C library has other counts. These are of ";

/// A case and what it costs.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: String,
    pub counts: Counts,
}

/// Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut table = "| case | instructions | allocations |\n|---|---:|---:|\n".to_owned();
    for Row { case, counts } in rows {
        writeln!(table, "| {case} | {:.0} | {:.2} |", counts.instructions, positive(counts.allocations))
            .expect("a string takes all");
    }
    table
}

/// No `-0.00`.
fn positive(count: f64) -> f64 {
    if count < 0.005 {
        0.0
    } else {
        count
    }
}

pub fn write(rows: &[Row]) {
    let text = format!("{}{}\n\n{}", INTRODUCTION, made_by(), table(rows));
    std::fs::write(path(), text).expect("the repository can be written to");
    println!("{} cases are kept in {}", rows.len(), path().display());
}

/// Prints what changed, and fails if something became worse.
pub fn check(rows: &[Row]) -> ExitCode {
    let text = std::fs::read_to_string(path()).expect("the counts are kept; `--write` does it");
    if !text.contains(&made_by()) {
        println!("the kept counts are another compiler's or C library's; these are counted with {}", made_by());
    }
    let kept = parse(&text);
    let (mut worse, mut compared) = (0, 0);
    for row in rows {
        let Some(before) = kept.iter().find(|kept| kept.case == row.case) else {
            println!("new: {}", row.case);
            continue;
        };
        compared += 1;
        worse += usize::from(compare("instructions", &row.case, before.counts.instructions, row.counts.instructions));
        worse += usize::from(compare("allocations", &row.case, before.counts.allocations, row.counts.allocations));
    }
    for gone in kept.iter().filter(|kept| rows.iter().all(|row| row.case != kept.case)) {
        println!("gone: {}", gone.case);
    }
    println!("{compared} cases compared, {worse} counts more than 5 % above");
    ExitCode::from(u8::from(worse > 0))
}

/// Says so if it has changed, and whether for the worse.
fn compare(what: &str, case: &str, before: f64, now: f64) -> bool {
    // Kept with two digits, and of few instructions one more is many per cent.
    let slack = if what == "allocations" { 0.02 } else { 2.0 };
    let (is_worse, is_better) = (now > before * TOLERANCE + slack, now * TOLERANCE + slack < before);
    if is_worse || is_better {
        let word = if is_worse { "WORSE" } else { "better" };
        println!("{word}: {case}: {now:.2} {what}, kept are {before:.2}");
    }
    is_worse
}

fn parse(text: &str) -> Vec<Row> {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [case, instructions, allocations] = cells[..] else { return None };
        let counts = Counts { instructions: instructions.parse().ok()?, allocations: allocations.parse().ok()? };
        Some(Row { case: case.to_owned(), counts })
    });
    rows.collect()
}

fn made_by() -> String {
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
    };
    let rustc = first_line("rustc", "--version");
    let (libc, valgrind) = (first_line("ldd", "--version"), first_line("valgrind", "--version"));
    format!("{rustc}, {}, {libc}, {valgrind}.", std::env::consts::ARCH)
}

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "micro.md"].iter().collect()
}
