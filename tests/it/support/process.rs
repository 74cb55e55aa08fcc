//! A worker in a process of its own, as a person or an init system meets it: signals in, a log and an exit code out.

use super::stage::SOON;
use super::wait::{eventually, holds_within};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().expect("it is piped")), log.clone());
        // Read to the end, so that the process never waits for us.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Process { child, log }
    }

    /// Waits until its log tells of this so often.
    #[track_caller]
    pub fn tells(&self, count: usize, what: &str) {
        let told = || self.log.lock().unwrap().iter().filter(|line| line.contains(what)).count();
        assert!(holds_within(SOON, || told() >= count), "{count} times `{what}` in {:#?}", self.log.lock().unwrap());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("`kill` starts");
        assert!(sent.success());
    }

    /// Sends the signal and waits for the end; answers the exit code, and how long that took.
    #[track_caller]
    pub fn ends_by(&mut self, signal: &str) -> (Option<i32>, Duration) {
        let sent = Instant::now();
        self.signal(signal);
        eventually("the process is gone", SOON, || !self.is_running());
        (self.child.wait().expect("a child can be waited for").code(), sent.elapsed())
    }

    /// Waits for the end and answers the exit code.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        eventually("the process is gone", SOON, || !self.is_running());
        self.child.wait().expect("a child can be waited for").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
