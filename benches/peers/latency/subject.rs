//! Who is measured: the consumers of this program, and rabbitmq-c where it is installed.

use super::address::Address;
use super::consumers::{self, Errand};
use super::publisher;
use crate::contender::{INTAKE_THREAD, LAPIN, POOL, RABBITMQ_C};
use crate::foreign::compiled;
use crate::process::this_program_as;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::str::FromStr;

/// Before the name of whatever this program is to be in a trial.
const PREFIX: &str = "latency: ";
const PUBLISHER: &str = "publisher";

/// A consumer that is measured.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: &'static str,
    program: Program,
}

#[derive(Clone, Debug)]
enum Program {
    Here,
    Compiled(PathBuf),
}

/// What consumes, here.
type Consume = fn(&Errand);

const HERE: [(&str, Consume); 3] = [
    (POOL.name, consumers::bootstep_on_pool),
    (INTAKE_THREAD.name, consumers::bootstep_on_intake_thread),
    (LAPIN.name, consumers::lapin),
];

impl Subject {
    /// All that can run on this machine, and why rabbitmq-c is not among them, if it is not.
    pub fn all() -> (Vec<Subject>, Option<String>) {
        let mut all: Vec<Subject> = HERE.iter().map(|(name, _)| Subject { name, program: Program::Here }).collect();
        match compiled("latency.c") {
            Ok(path) => all.push(Subject { name: RABBITMQ_C.name, program: Program::Compiled(path) }),
            Err(reason) => return (all, Some(reason)),
        }
        (all, None)
    }

    pub fn command(&self) -> Command {
        match &self.program {
            Program::Here => this_program_as(&format!("{PREFIX}{}", self.name)),
            Program::Compiled(path) => Command::new(path),
        }
    }
}

/// This program as the publisher of a trial.
pub fn publisher_command() -> Command {
    this_program_as(&format!("{PREFIX}{PUBLISHER}"))
}

/// Does what this process was started for, if that is a part in a trial.
pub fn play(name: &str) -> Option<ExitCode> {
    let name = name.strip_prefix(PREFIX)?;
    if name == PUBLISHER {
        publish();
    } else {
        let (_, run) = HERE.iter().find(|(own, _)| *own == name)?;
        run(&Errand {
            url: variable("AMQP_URL"),
            queue: variable("BENCH_QUEUES"),
            messages: variable("BENCH_MESSAGES"),
            prefetch: variable("BENCH_PREFETCH"),
            samples: variable("BENCH_SAMPLES"),
        });
    }
    Some(ExitCode::SUCCESS)
}

fn publish() {
    let (broker, queue): (String, String) = (variable("AMQP_URL"), variable("BENCH_QUEUES"));
    let (broker, messages) = (Address::of(&broker), variable("BENCH_MESSAGES"));
    let sent = match std::env::var("BENCH_RATE") {
        Ok(rate) => publisher::at_pace(&broker, &queue, rate.parse().expect("a rate is a number"), messages),
        Err(_) => publisher::at_will(&broker, &queue, messages),
    };
    println!("{}", sent.expect("the broker takes the messages").late_share);
}

fn variable<T: FromStr>(name: &str) -> T {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().ok().unwrap_or_else(|| panic!("`{name}` is {text:?}: the suite says that to its contenders"))
}
