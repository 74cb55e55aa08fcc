//! A worker in a process of its own, as a person or an init system meets it: signals in, a log and an exit code out.

use super::stage::SOON;
use super::wait::{eventually, holds_within};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    log: Lines,
    output: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = kept(child.stderr.take().expect("it is piped"));
        let output = kept(child.stdout.take().expect("it is piped"));
        Process { child, log, output }
    }

    /// Waits until its log tells of this so often.
    #[track_caller]
    pub fn tells(&self, count: usize, what: &str) {
        has(&self.log, count, what);
    }

    /// Waits until it has printed this so often, on standard output.
    #[track_caller]
    #[allow(dead_code)] // only the command line prints
    pub fn prints(&self, count: usize, what: &str) {
        has(&self.output, count, what);
    }

    /// What it has told so far.
    #[allow(dead_code)] // only the command line's log is for programs
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
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

/// Reads to the end, so that the process never waits for us.
fn kept(stream: impl Read + Send + 'static) -> Lines {
    let kept = Lines::default();
    let lines = kept.clone();
    let read = move || BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line));
    std::thread::spawn(read);
    kept
}

#[track_caller]
fn has(lines: &Lines, count: usize, what: &str) {
    let found = || lines.lock().unwrap().iter().filter(|line| line.contains(what)).count();
    assert!(holds_within(SOON, || found() >= count), "{count} times `{what}` in {:#?}", lines.lock().unwrap());
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
