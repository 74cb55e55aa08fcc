//! Programs of bad manners: that do not read, do not stop writing, or leave something behind.

use super::{handled, is_alive, message, script, written};
use crate::support::stage::SOON;
use crate::support::wait::eventually;
use bootstep::handlers::Program;
use bootstep::Outcome;
use std::time::{Duration, Instant};

/// Far more than any pipe holds.
const BIG: usize = 100 * 1024 * 1024;

#[test]
fn a_big_body_flows() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(handled(&script("wc -c > got").directory(folder.path()), &message(vec![b'x'; BIG])), Ok(Outcome::Ack));
    assert_eq!(written(&folder.path().join("got")).trim(), BIG.to_string());
}

#[test]
fn a_program_need_not_read() {
    let big = message(vec![b'x'; BIG]);
    assert_eq!(handled(&script("exit 0"), &big), Ok(Outcome::Ack));
    assert_eq!(handled(&script("exec 0<&-; sleep 0.1; exit 65"), &big), Ok(Outcome::reject("exit code 65")));
    assert_eq!(handled(&script("head -c 100000 > /dev/null; exit 69"), &big), Ok(Outcome::Requeue));
    // What it leaves holds the other end of the pipe, and never reads.
    assert_eq!(handled(&script("sleep 1000 >/dev/null 2>&1 & echo $! >&2; exit 3"), &big).map_err(kill), Err(()));
}

#[test]
fn a_flood_neither_blocks_nor_stays_in_memory() {
    in_silence("programs::manners::in_a_process_that_is_flooded");
}

/// Runs a test in a process of its own: what is passed on is not for whoever reads the tests, and the memory is its own.
fn in_silence(test: &str) {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "its standard error is flooded; another test runs it"]
fn in_a_process_that_is_flooded() {
    let before = peak_bytes();
    let lines = script("yes | head -c 100000000 >&2; echo enough >&2; exit 1");
    assert!(handled(&lines, &message("x")).unwrap_err().ends_with("y\ny\nenough"));
    let endless = script("head -c 100000000 /dev/zero | tr '\\0' x >&2; exit 1");
    assert_eq!(handled(&endless, &message("x")), Err("x".repeat(1_900)));
    let more = peak_bytes() - before;
    // Pages of this program that are read meanwhile count as well; the floods are a hundred megabytes each.
    assert!(more < 30_000_000, "{more} bytes more");
}

#[test]
fn what_a_program_leaves_behind_is_left_alone_and_delays_nothing() {
    let began = Instant::now();
    let reason = handled(&script("sleep 1000 & echo $! >&2; exit 3"), &message("x")).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "its standard error is still open");
    assert!(is_alive(&reason));
    kill(reason);
}

#[test]
fn what_a_program_leaves_behind_may_write_without_end() {
    in_silence("programs::manners::in_a_process_with_a_flood_from_behind");
}

#[test]
#[ignore = "its standard error is flooded; another test runs it"]
fn in_a_process_with_a_flood_from_behind() {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let left = |program: Program, expected: Result<Outcome, &str>| {
        let result = handled(&program.directory(folder.path()), &message("x"));
        assert_eq!(result, expected.map_err(str::to_owned));
        let id = written(&folder.path().join("left"));
        eventually("nobody reads the flood any more", SOON, || !is_alive(&id));
    };
    let limited = |text: &str| script(text).time_limit(Duration::from_secs(30));
    // After this time nobody waits so briefly for the flood that a busy machine looks like its end.
    left(limited("yes '' >&2 & echo $! > left; sleep 2; exit"), Ok(Outcome::Ack));
    let child = "read -r line; yes '' >&2 & echo $! > left; sleep 2; exit 3";
    left(limited(child).persistent(), Err("`sh` ended before it replied (exit code 3)"));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_program_that_closes_its_standard_error_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = script("exec 2>&-; sleep 0.3; echo done > got").directory(folder.path());
    assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
    assert_eq!(written(&folder.path().join("got")), "done\n");
}

fn kill(id: String) {
    let status = std::process::Command::new("kill").args(["-9", id.trim()]).status().unwrap();
    assert!(status.success(), "it was there");
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
