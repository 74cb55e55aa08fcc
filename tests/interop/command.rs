//! The interop suite as a command: installs the Python packages into a temporary folder, starts a RabbitMQ of its own, runs each case
//! with the Python program beside a bootstep worker, and prints what came of it as a table.

mod broker;
mod cases;
mod environment;
mod evidence;
mod program;
mod stage;
mod support;
mod table;

use crate::cases::Case;
use crate::environment::Environments;
use crate::stage::Stage;
use crate::support::node::Node;
use crate::table::Row;
use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use tempfile::TempDir;

const USAGE: &str = "usage: cargo run --release -p bootstep-interop [-- CASE...]

CASE is the beginning of a case's name, such as `A` or `B2`; without one, all cases are run.
Needs Python 3 with venv and pip, the Python package index, and RabbitMQ (./test.sh sees to that).";

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(flag) = wanted.iter().find(|word| word.starts_with('-')) {
        println!("{USAGE}");
        return ExitCode::from(if flag == "--help" || flag == "-h" { 0 } else { 2 });
    }
    let cases = cases::named(&wanted);
    if cases.is_empty() {
        eprintln!("no case begins with {}\n{USAGE}", wanted.join(", "));
        return ExitCode::from(2);
    }
    let folder = TempDir::with_prefix("bootstep-interop-").expect("the temporary folder can be written");
    match Environments::install(&cases, folder.path()) {
        Ok(environments) => run(&cases, &environments, folder),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn run(cases: &[Case], environments: &Environments, folder: TempDir) -> ExitCode {
    println!("{}", environments.described());
    let node = Node::start();
    let mut rows = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let place = folder.path().join(format!("{number}-{}", case.id));
        let row = play(case, &node, environments, &place);
        println!("{}", row.told());
        rows.push(row);
    }
    let bad = rows.iter().filter(|row| row.result.is_err()).count();
    println!("\n{}", table::table(&rows));
    println!("{} cases, {bad} of them failed", rows.len());
    if bad > 0 {
        println!("logs and evidence: {}", folder.keep().display());
    }
    ExitCode::from(u8::from(bad > 0))
}

fn play(case: &Case, node: &Node, environments: &Environments, place: &Path) -> Row {
    let began = Instant::now();
    let environment = environments.of(case.package);
    let stage = Stage::set(node, environment, place);
    // A case that panics has failed, and the others are played all the same.
    let result = catch_unwind(AssertUnwindSafe(|| (case.play)(&stage))).map_err(|cause| words(&*cause));
    let package = environment.version_of(case.package);
    Row { id: case.id, what: case.what, package, result, took: began.elapsed() }
}

fn words(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
