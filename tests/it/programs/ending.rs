//! How a program ends, and what that makes of its message.

use super::{handled, is_alive, is_there, message, script, written};
use crate::support::stage::SOON;
use crate::support::wait::eventually;
use bootstep::Outcome;
use std::time::{Duration, Instant};

#[test]
fn an_exit_code_says_what_becomes_of_the_message() {
    let check = |text: &str, expected: Result<Outcome, &str>| {
        assert_eq!(handled(&script(text), &message("x")), expected.map_err(str::to_owned), "{text}");
    };
    check("exit 0", Ok(Outcome::Ack));
    check("echo fine >&2; exit 0", Ok(Outcome::Ack));
    check("echo no order >&2; exit 65", Ok(Outcome::reject("no order")));
    check("exit 69", Ok(Outcome::Requeue));
    check("exit 75", Ok(Outcome::retry("exit code 75")));
    check("echo one >&2; echo two >&2; exit 3", Err("one\ntwo"));
    check("exit 3", Err("exit code 3"));
    check("kill -9 $$", Err("killed by SIGKILL"));
    check("echo oh >&2; kill -TERM $$", Err("killed by SIGTERM: oh"));
}

#[test]
fn the_end_of_a_long_complaint_is_the_reason() {
    let complaint = "i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i+1)); done >&2; printf 'caf\\351' >&2; exit 1";
    let reason = handled(&script(complaint), &message("x")).unwrap_err();
    assert!(reason.starts_with("line 1") && reason.ends_with("line 1999\ncaf\u{fffd}"), "{reason}");
    assert!(reason.len() > 1_000 && reason.len() <= 2_000, "{}", reason.len());
}

#[test]
fn a_program_over_its_time_is_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = script("trap 'echo asked >&2; exit 0' TERM; sleep 1000 & wait").directory(folder.path());
    let began = Instant::now();
    let reason = handled(&program.time_limit(Duration::from_millis(100)), &message("x")).unwrap_err();
    assert_eq!(reason, "`sh` took longer than 100ms and was ended (exit code 0): asked");
    assert!(began.elapsed() < Duration::from_secs(9), "it did not wait for SIGKILL");
}

#[test]
fn a_program_that_does_not_listen_is_killed_with_all_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let stubborn = "trap '' TERM; echo $$ > own; (trap '' TERM; sleep 1000 & echo $! > child; wait) & sleep 1000; sleep 1000";
    let program = script(stubborn).directory(folder.path());
    let program = program.time_limit(Duration::from_millis(300)).kill_after(Duration::from_millis(100));
    let reason = handled(&program, &message("x")).unwrap_err();
    assert_eq!(reason, "`sh` took longer than 300ms and was ended (killed by SIGKILL)");
    let [own, child] = ["own", "child"].map(|name| written(&folder.path().join(name)));
    assert!(!own.is_empty() && !child.is_empty());
    assert!(!is_there(&own), "it was waited for");
    eventually("what it started is gone", SOON, || !is_alive(&child));
}

#[test]
fn what_a_program_over_its_time_leaves_has_time_to_end_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let text = "(trap 'sleep 0.2; echo tidy > left; exit' TERM; sleep 1000 & wait) & sleep 1000";
    let program = script(text).directory(folder.path()).time_limit(Duration::from_millis(200));
    assert!(handled(&program, &message("x")).is_err());
    assert_eq!(written(&folder.path().join("left")), "tidy\n");
}

#[test]
fn no_zombies_are_left() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["echo $$ >> ids; exit 1", "echo $$ >> ids; kill -9 $$", "echo $$ >> ids; exec 2>&-; exit 0"] {
        let _ = handled(&script(text).directory(folder.path()), &message("x"));
    }
    let ids = written(&folder.path().join("ids"));
    assert_eq!(ids.lines().count(), 3);
    assert_eq!(ids.lines().filter(|id| is_there(id)).count(), 0);
}
