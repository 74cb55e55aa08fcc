//! Who is measured side by side, and how each is run.

use crate::contenders::{bare_amiquip, sleeping, worker};
use crate::measure::Sample;
use crate::process::this_program_as;
use crate::task::Task;
use std::process::{Command, ExitCode};

/// One that can drain a queue.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    pub name: &'static str,
    pub program: Program,
    pub ack_every: usize,
}

/// What is run for it.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// This program, which does it itself.
    Here(fn(&Task) -> Sample),
}

pub const POOL: Contender = Contender { name: "bootstep, pool", program: Program::Here(worker::on_pool), ack_every: 1 };
pub const INTAKE_THREAD: Contender =
    Contender { name: "bootstep, intake thread", program: Program::Here(worker::on_intake_thread), ack_every: 1 };
pub const AMIQUIP: Contender =
    Contender { name: "amiquip, one ack each", program: Program::Here(bare_amiquip::drain), ack_every: 1 };
pub const AMIQUIP_50: Contender =
    Contender { name: "amiquip, one ack for 50", program: Program::Here(bare_amiquip::drain), ack_every: 50 };
pub const SLEEPING: Contender = Contender { name: "sleeping alone", program: Program::Here(sleeping::sleep), ack_every: 1 };

pub const ALL: &[Contender] = &[POOL, INTAKE_THREAD, AMIQUIP, AMIQUIP_50, SLEEPING];

impl Contender {
    /// What runs it for this task.
    pub fn command(&self, task: &Task) -> Command {
        let mut command = match self.program {
            Program::Here(_) => this_program_as(self.name),
        };
        Task { ack_every: self.ack_every, ..task.clone() }.tell(&mut command);
        command
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
