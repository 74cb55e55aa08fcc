//! The suite as a command; and, under the name `worker`, the process that it tests.

use bootstep_faults::arguments::Arguments;
use bootstep_faults::support::node::Node;
use bootstep_faults::support::setup;
use bootstep_faults::table::{table, Report};
use bootstep_faults::{cases, process, storm, worker};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "worker").is_some() {
        let settings = words.next().expect("the suite says what a worker is to do");
        return worker::run(serde_json::from_str(&settings).expect("the suite writes settings in JSON"));
    }
    match Arguments::parse(words) {
        Ok(arguments) => run(&arguments),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> ExitCode {
    process::program_is(std::env::current_exe().expect("a process knows its own program"));
    println!("seed {}", arguments.seed);
    let mut node = Node::start_with(&setup());
    let mut reports = Vec::new();
    for case in cases::named(&arguments.cases) {
        for kind in &arguments.kinds {
            told(case.run(&mut node, *kind, arguments.layout, arguments.seed), &mut reports);
        }
    }
    for run in 0..arguments.runs {
        let kind = arguments.kinds[usize::try_from(run).unwrap_or(0) % arguments.kinds.len()];
        let storm = storm::Storm {
            seed: arguments.seed + run,
            kind,
            layout: arguments.layout,
            messages: arguments.messages,
            faults: arguments.faults,
        };
        println!("storm: seed {}", storm.seed);
        told(storm::run(&mut node, storm), &mut reports);
    }
    println!("\n{}", table(&reports));
    let bad = reports.iter().filter(|report| !report.is_good()).count();
    println!("{} runs, {bad} of them bad", reports.len());
    ExitCode::from(u8::from(bad > 0))
}

fn told(report: Report, reports: &mut Vec<Report>) {
    println!("{}", report.lines());
    reports.push(report);
}
