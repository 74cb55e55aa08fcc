//! Messages at the end of a file, and on standard output.

use super::{handled, message, written};
use bootstep::handlers::{Append, Print};
use bootstep::{Fault, Outcome};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn each_message_is_a_line_at_the_end_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders");
    fs::write(&path, "before\n").unwrap();
    let append = Append::to(&path);
    append.check().unwrap();
    assert_eq!(handled(&append, &message("one")), Ok(Outcome::Ack));
    assert_eq!(handled(&Append::to(&path).sync(), &message("two")), Ok(Outcome::Ack));
    assert_eq!(handled(&append, &message(b"\xff")), Ok(Outcome::Ack));
    assert_eq!(fs::read(&path).unwrap(), b"before\none\ntwo\n\xff\n");
}

#[test]
fn the_whole_message_is_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders");
    let append = Append::to(&path).json();
    assert_eq!(handled(&append, &message("a\nb")), Ok(Outcome::Ack));
    assert_eq!(handled(&append, &message(b"\xff")), Ok(Outcome::Ack));
    let lines: Vec<serde_json::Value> = written(&path).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["body"], &lines[0]["routing_key"]), (&"a\nb".into(), &"order.web".into()));
    assert_eq!(lines[1]["body_base64"], "/w==");
}

#[test]
fn a_file_that_was_rotated_away_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders");
    let append = Append::to(&path);
    assert_eq!(handled(&append, &message("one")), Ok(Outcome::Ack));
    fs::rename(&path, folder.path().join("orders.1")).unwrap();
    assert_eq!(handled(&append, &message("two")), Ok(Outcome::Ack));
    assert_eq!((written(&path).as_str(), written(&folder.path().join("orders.1")).as_str()), ("two\n", "one\n"));
}

#[test]
fn a_line_that_does_not_fit_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    // A bound on the size of files, for a process of its own, is a disk that is full.
    let this = std::env::current_exe().unwrap();
    let bounded = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} --exact programs::files::in_a_process_with_small_files --ignored",
        this.display()
    );
    let status = Command::new("sh").args(["-c", &bounded]).env("FOLDER", folder.path()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    assert_eq!(written(&folder.path().join("orders")), "small\nsmall\n");
}

#[test]
#[ignore = "needs a bound on the size of files; another test runs it"]
fn in_a_process_with_small_files() {
    let path = std::path::PathBuf::from(std::env::var("FOLDER").unwrap()).join("orders");
    let append = Append::to(path);
    assert_eq!(handled(&append, &message("small")), Ok(Outcome::Ack));
    let err = handled(&append, &message("x".repeat(20_000))).unwrap_err();
    assert!(err.contains("orders` cannot be appended to: File too large"), "{err}");
    assert_eq!(handled(&append, &message("small")), Ok(Outcome::Ack));
}

#[test]
fn a_new_file_whose_folder_cannot_be_synced_takes_no_message() {
    // A bound on open files, for a process of its own: there is room for the file, and none for its folder.
    let this = std::env::current_exe().unwrap();
    let test = "programs::files::in_a_process_with_few_open_files";
    let bounded = format!("ulimit -n 64; exec {} --exact {test} --ignored", this.display());
    let status = Command::new("sh").args(["-c", &bounded]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "needs a bound on open files; another test runs it"]
fn in_a_process_with_few_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders");
    let append = Append::to(&path).sync();
    let mut others: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    let refused = Err(format!("`{}` cannot be appended to: Too many open files (os error 24)", path.display()));
    others.pop();
    assert_eq!(handled(&append, &message("one")), refused);
    // The file is there by now, and its folder has still to be synced.
    assert_eq!(handled(&append, &message("two")), refused);
    assert_eq!(handled(&Append::to(&path), &message("unsynced")), Ok(Outcome::Ack));
    others.pop();
    assert_eq!(handled(&append, &message("three")), Ok(Outcome::Ack));
    // It has one of the two places; a new file takes the other one.
    fs::rename(&path, folder.path().join("orders.1")).unwrap();
    assert_eq!(handled(&append, &message("four")), refused);
    drop(others);
    assert_eq!(handled(&append, &message("five")), Ok(Outcome::Ack));
    let old = written(&folder.path().join("orders.1"));
    assert_eq!((written(&path).as_str(), old.as_str()), ("five\n", "unsynced\nthree\n"));
}

#[test]
fn a_file_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let append = Append::to(folder.path().join("none/orders"));
    let err = append.check().unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    assert!(
        err.to_string().contains("none/orders` cannot be appended to; check the path and its rights: No such file"),
        "{err}"
    );
    assert!(handled(&append, &message("x")).unwrap_err().contains("none/orders` cannot be appended to: No such file"));
}

#[test]
fn a_printed_message_is_a_line_on_standard_output() {
    let this = std::env::current_exe().unwrap();
    let mut printing = Command::new(this)
        .args(["--exact", "programs::files::in_a_process_that_prints", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(printing.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line == "two cups"));
    let json: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(json["body"], "as json");
    // From here on nobody reads.
    drop(lines);
    assert!(printing.wait().unwrap().success());
}

#[test]
#[ignore = "prints; another test runs it"]
fn in_a_process_that_prints() {
    assert_eq!(handled(&Print::new(), &message("two cups")), Ok(Outcome::Ack));
    assert_eq!(handled(&Print::new().json(), &message("as json")), Ok(Outcome::Ack));
    crate::support::wait::eventually("nobody reads", crate::support::stage::SOON, || {
        let is_closed = handled(&Print::new(), &message("to nobody"));
        is_closed == Ok(Outcome::halt(1, "nobody reads what is printed: standard output is closed"))
    });
    // The harness would fail over what it prints itself.
    std::process::exit(0);
}
