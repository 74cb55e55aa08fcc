//! A case in a process of its own, where it reads what the worker logs: a process has one logger, and other cases talk as well.

use super::stage::SOON;
use super::wait::holds_within;
use log::{LevelFilter, Log, Metadata, Record};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Set in the process that has a case to itself.
const ALONE: &str = "BOOTSTEP_TEST_ALONE";

/// What has been logged in this process, from `info` on.
pub struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

/// Plays the case of this name in a process of its own; its output is shown if it fails.
#[track_caller]
pub fn alone(name: &str, case: impl FnOnce(&Lines)) {
    if std::env::var_os(ALONE).is_some() {
        log_here();
        return case(&LINES);
    }
    // Without the crate's own name, which the test runner leaves out.
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let tests = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(tests).args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().expect("it can run again");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// From now on this process keeps what is logged, and prints it to standard error.
pub fn log_here() {
    log::set_logger(&LINES).expect("nobody else logs in this process");
    log::set_max_level(LevelFilter::Info);
}

impl Lines {
    /// The lines that hold this text so far, each with its level before it.
    pub fn with(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// All warnings and errors so far.
    pub fn complaints(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| !line.starts_with("INFO")).cloned().collect()
    }

    /// Waits until so many lines hold this text, and answers the last of them.
    #[track_caller]
    pub fn nth(&self, count: usize, text: &str) -> String {
        let found = holds_within(SOON, || self.with(text).len() >= count);
        assert!(found, "not {count} times `{text}` in the log: {:#?}", self.with(""));
        let lines = self.with(text);
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines.into_iter().last().expect("there is one at least")
    }

    /// Waits until a line holds this text.
    #[track_caller]
    pub fn first(&self, text: &str) -> String {
        self.nth(1, text)
    }
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bootstep") || metadata.target().contains("steps_as_an_outsider")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            // For whoever reads why a case failed.
            eprintln!("{line}");
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

/// Makes a test of each case, played in a process of its own.
#[macro_export]
macro_rules! each_alone {
    ($($name:ident),* $(,)?) => {
        mod alone {
            $(#[test] fn $name() { $crate::support::alone::alone(concat!(module_path!(), "::", stringify!($name)), super::$name); })*
        }
    };
}
