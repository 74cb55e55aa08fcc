//! Contenders in processes of their own, so that CPU and memory are theirs alone.

use crate::broker::wait::holds_within;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Nothing that is measured takes longer; what does hangs.
const LONGEST: Duration = Duration::from_secs(240);

/// In this program's environment, which contender it is to be.
const CONTENDER: &str = "BENCH_CONTENDER";

/// Which contender this process is, if it is not the suite itself.
pub fn contender_to_be() -> Option<String> {
    std::env::var(CONTENDER).ok()
}

/// A command that runs this program as that contender.
pub fn this_program_as(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running program has a path"));
    command.env(CONTENDER, name);
    command
}

/// A contender at work. Killed if it is dropped before its answer was read.
pub struct Running {
    child: Child,
}

impl Running {
    pub fn start(mut command: Command) -> Result<Running, String> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        child.map(|child| Running { child }).map_err(|err| format!("could not start {command:?}: {err}"))
    }

    /// What it printed, once it has ended well.
    pub fn answer(mut self) -> Result<String, String> {
        let mut status = None;
        holds_within(LONGEST, || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        match status {
            Some(status) if status.success() => {
                let mut printed = String::new();
                let pipe = self.child.stdout.as_mut().expect("its output is a pipe");
                pipe.read_to_string(&mut printed).map_err(|err| err.to_string())?;
                Ok(printed)
            }
            Some(status) => Err(format!("it ended with {status}")),
            None => Err(format!("it had not ended after {LONGEST:?}")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In vain where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
