//! Runs a case under callgrind, once with N repetitions and once with twice as many: the difference is free of the start.

use crate::cases::{self, Case};
use crate::profile::Profile;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the case that this process is to run.
pub const CASE: &str = "MICRO_CASE";
/// How often.
const TIMES: &str = "MICRO_TIMES";

/// What one repetition costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub instructions: f64,
    /// Calls of malloc, calloc and realloc.
    pub allocations: f64,
}

/// # Errors
/// When valgrind is missing, with how to get it.
pub fn is_there() -> Result<(), String> {
    let found = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    let how = "install it with `apt-get install valgrind` or `dnf install valgrind`; it runs on Linux";
    found.then_some(()).ok_or_else(|| format!("valgrind is missing, and without it nothing is counted: {how}"))
}

/// In the process that callgrind watches.
pub fn run_here(name: &str) {
    let times =
        std::env::var(TIMES).ok().and_then(|times| times.parse().ok()).expect("the one who names the case says how often");
    let run =
        crate::worker::named(name).or_else(|| cases::all().into_iter().find(|case| case.name == name).map(|case| case.run));
    run.unwrap_or_else(|| panic!("there is no case `{name}`"))(times);
}

pub fn counts_of(case: &Case) -> Counts {
    let [once, twice] = [1, 2].map(|by| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        watch(case.name, case.times * by, folder.path(), &[]).into_iter().map(|path| Profile::read(&path)).collect::<Vec<_>>()
    });
    let each = |of: fn(&Profile) -> u64| {
        let sum = |profiles: &[Profile]| profiles.iter().map(of).sum::<u64>() as f64;
        (sum(&twice) - sum(&once)) / case.times as f64
    };
    Counts { instructions: each(Profile::instructions), allocations: each(Profile::allocations) }
}

/// Runs a case of this program in a process of its own, and answers the files that callgrind has left in the folder.
pub fn watch(name: &str, times: usize, folder: &Path, options: &[&str]) -> Vec<PathBuf> {
    let this = std::env::current_exe().expect("a running program has a path");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]).args(options);
    valgrind.arg(format!("--callgrind-out-file={}", folder.join("out").display())).arg(this);
    let output = valgrind.env(CASE, name).env(TIMES, times.to_string()).output().expect("valgrind was there a moment ago");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let entries = std::fs::read_dir(folder).expect("the folder was made for this");
    entries.map(|entry| entry.expect("callgrind is through with its files").path()).collect()
}
