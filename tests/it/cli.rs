//! The command line, as a person or a script meets it: what is printed, where, and which exit code comes of it.

mod archive_look;
mod archive_move;
mod archive_odd;
mod check;
mod config;
mod help;
mod own_commands;
mod publish;
mod readme;
mod record;
mod record_file;
mod run;

use std::path::Path;
use std::process::{Command, Output};

/// The program with these arguments, and nothing of the environment that it would read.
pub fn bootstep(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstep"));
    for name in ["AMQP_URL", "BOOTSTEP_CONFIG", "COLUMNS", "RUST_LOG", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// What it printed to standard output, to standard error, and its exit code.
pub fn said(command: &mut Command) -> (String, String, i32) {
    let Output { stdout, stderr, status } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (text(stdout), text(stderr), status.code().expect("it ends by itself"))
}

/// Compares with the text that is kept under this name; `UPDATE_SNAPSHOTS=1` keeps the new one instead.
#[track_caller]
pub fn snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, actual).expect("the snapshot can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, actual, "this is not what {} has; UPDATE_SNAPSHOTS=1 keeps the new text", path.display());
}
