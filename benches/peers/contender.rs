//! Who is measured side by side, and how each is run.

use crate::contenders::{bare_amiquip, on_tokio, sleeping, worker};
use crate::foreign;
use crate::measure::Sample;
use crate::process::this_program_as;
use crate::task::{Task, Work};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// One that can drain a queue.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    pub name: &'static str,
    program: Program,
    ack_every: usize,
}

/// Beside handlers that take their time, these show what the broker can feed at all: theirs do nothing.
const IN_NO_TIME: [Contender; 2] = [RABBITMQ_C, RABBITMQ_C_50];

/// What is run for it.
#[derive(Clone, Copy, Debug)]
enum Program {
    /// This program, which does it itself.
    Here(fn(&Task) -> Sample),
    /// A program in C.
    Compiled(&'static str),
    /// A program in Python, and the module that it needs.
    Script(&'static str, &'static str),
}

pub const POOL: Contender = here("bootstep, pool", worker::on_pool, 1);
pub const INTAKE_THREAD: Contender = here("bootstep, intake thread", worker::on_intake_thread, 1);
pub const AMIQUIP: Contender = here("amiquip, one ack each", bare_amiquip::drain, 1);
pub const AMIQUIP_50: Contender = here("amiquip, one ack for 50", bare_amiquip::drain, 50);
pub const LAPIN: Contender = here("lapin, one ack each", on_tokio::drain, 1);
pub const SLEEPING: Contender = here("sleeping alone", sleeping::sleep, 1);
pub const RABBITMQ_C: Contender = foreign("rabbitmq-c, one ack each", Program::Compiled("drain.c"), 1);
pub const RABBITMQ_C_50: Contender = foreign("rabbitmq-c, one ack for 50", Program::Compiled("drain.c"), 50);
pub const PIKA: Contender = foreign("pika, one ack each", Program::Script("drain_pika.py", "pika"), 1);
pub const CELERY: Contender = foreign("Celery with a ConsumerStep", Program::Script("drain_celery.py", "celery"), 1);

pub const ALL: &[Contender] =
    &[POOL, INTAKE_THREAD, AMIQUIP, AMIQUIP_50, RABBITMQ_C, RABBITMQ_C_50, LAPIN, PIKA, CELERY, SLEEPING];

const fn here(name: &'static str, run: fn(&Task) -> Sample, ack_every: usize) -> Contender {
    Contender { name, program: Program::Here(run), ack_every }
}

const fn foreign(name: &'static str, program: Program, ack_every: usize) -> Contender {
    Contender { name, program, ack_every }
}

impl PartialEq for Contender {
    fn eq(&self, other: &Contender) -> bool {
        self.name == other.name
    }
}

/// Those of the contenders that can run on this machine.
pub struct Lineup {
    foreign: HashMap<&'static str, Result<Vec<PathBuf>, String>>,
}

impl Lineup {
    /// This compiles and looks for what they need.
    pub fn find() -> Lineup {
        let foreign = ALL.iter().filter_map(|contender| Some((contender.name, contender.words()?))).collect();
        Lineup { foreign }
    }

    /// The contenders that are left out, and why.
    pub fn left_out(&self) -> Vec<(&'static str, &str)> {
        let why = |contender: &Contender| Some((contender.name, self.foreign.get(contender.name)?.as_ref().err()?.as_str()));
        ALL.iter().filter_map(why).collect()
    }

    /// What runs this contender for this task, if it can run here.
    pub fn command(&self, contender: &Contender, task: &Task) -> Option<Command> {
        let mut task = Task { ack_every: contender.ack_every, ..task.clone() };
        if IN_NO_TIME.contains(contender) {
            task.handler = Work::Nothing;
        }
        let mut command = match self.foreign.get(contender.name) {
            None => this_program_as(contender.name),
            Some(Err(_)) => return None,
            Some(Ok(words)) => {
                let mut command = Command::new(words.first()?);
                command.args(&words[1..]);
                command
            }
        };
        task.tell(&mut command);
        Some(command)
    }
}

impl Contender {
    /// Whether it drains a queue at all.
    pub fn needs_broker(&self) -> bool {
        *self != SLEEPING
    }

    /// Whether the broker hands over as many messages as it acks at a time; else both would wait for ever.
    pub fn can_wait_with_acks_at(&self, prefetch: u16) -> bool {
        self.ack_every <= usize::from(prefetch)
    }

    /// Whether it can measure the middle of what it drains only.
    pub fn can_skip(&self) -> bool {
        [POOL, INTAKE_THREAD, SLEEPING, RABBITMQ_C, RABBITMQ_C_50].contains(self)
    }

    // A program and its arguments, or what is missing; nothing if it is this program.
    fn words(&self) -> Option<Result<Vec<PathBuf>, String>> {
        match self.program {
            Program::Here(_) => None,
            Program::Compiled(source) => Some(foreign::compiled(source).map(|program| vec![program])),
            Program::Script(name, module) => {
                // -B: no compiled files beside the sources.
                Some(foreign::python_with(module).map(|python| vec![python, "-B".into(), foreign::script(name)]))
            }
        }
    }
}

/// In a process of its own: the contender of that name does its task and prints what it cost.
pub fn play(name: &str) -> ExitCode {
    let contender = ALL.iter().find(|contender| contender.name == name);
    let Some(Contender { program: Program::Here(run), .. }) = contender else {
        eprintln!("there is no contender `{name}`");
        return ExitCode::from(2);
    };
    println!("{}", run(&Task::from_env()));
    ExitCode::SUCCESS
}
