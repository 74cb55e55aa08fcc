//! A Python program as a child process: started with a plan, told to end, waited for.

use crate::environment::programs;
use crate::support::wait::holds_within;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a program has to end by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// This starts a program of an environment, which writes its log to this file.
    pub fn start(command: &mut Command, log: PathBuf) -> Program {
        let file = fs::File::create(&log).expect("the case's folder can be written");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("an open file can be shared"))
            .stderr(file)
            .spawn()
            .expect("what was installed starts");
        Program { child, log }
    }

    /// A command with what every program here needs to know.
    pub fn command(program: &Path, url: &str, evidence: &Path, plan: &serde_json::Value, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("PYTHONPATH", programs())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("INTEROP_URL", url)
            .env("INTEROP_PLAN", plan.to_string())
            .env("INTEROP_EVIDENCE", evidence);
        command
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn succeeds(mut self) {
        let has_ended = holds_within(PATIENCE, || !self.is_running());
        let status = self.child.try_wait().expect("a child can be asked");
        assert!(has_ended && status.is_some_and(|status| status.success()), "it ended with {status:?}: {}", self.said());
    }

    /// SIGTERM and the end: the exit code, -1 for a signal.
    #[track_caller]
    pub fn stop(mut self) -> i32 {
        assert!(self.is_running(), "it ended too soon: {}", self.said());
        let sent = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(sent.expect("`kill` starts").success());
        assert!(holds_within(PATIENCE, || !self.is_running()), "SIGTERM did not end it: {}", self.said());
        self.child.wait().expect("a child can be waited for").code().unwrap_or(-1)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
