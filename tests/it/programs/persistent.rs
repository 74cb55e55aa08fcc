//! Programs that take many messages: a line in, a line out, and what becomes of a child that does anything else.

use super::{handled, is_alive, is_there, message, script, written};
use crate::support::stage::SOON;
use crate::support::wait::eventually;
use bootstep::handlers::Program;
use bootstep::{Handler, Message, Outcome, Publication};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A child that runs these commands for each `$line`.
fn for_each(commands: &str) -> Program {
    script(&format!("while read -r line; do {commands}; done")).persistent()
}

/// The same, which begins by writing its process id, a line for each child.
fn counted(commands: &str) -> Program {
    script(&format!("echo $$ >> ids; while read -r line; do {commands}; done")).persistent()
}

#[test]
fn one_child_takes_one_message_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let program = counted("printf '%s\\n' \"$line\" >> lines; echo ack").directory(folder.path());
    for body in ["one", "two\nlines", "three"] {
        assert_eq!(handled(&program, &message(body)), Ok(Outcome::Ack));
    }
    let lines = written(&folder.path().join("lines"));
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| (line["body"].as_str().unwrap(), line["number"].as_u64().unwrap())).collect();
    assert_eq!(told, [("one", 1), ("two\nlines", 2), ("three", 3)]);
    assert_eq!((lines[0]["queue"].as_str(), lines[0]["attempt"].as_u64()), (Some("order.web"), Some(1)));
    let ids = written(&folder.path().join("ids"));
    assert_eq!(ids.lines().count(), 1);
    drop(program);
    assert!(!is_there(&ids), "its input has ended, and it with it");
}

#[test]
fn a_reply_is_an_outcome() {
    let check = |reply: &str, expected: Outcome| {
        assert_eq!(handled(&for_each(&format!("echo '{reply}'")), &message("x")), Ok(expected));
    };
    check("retry: no paper", Outcome::retry("no paper"));
    check("requeue", Outcome::Requeue);
    check(r#"{"outcome": "retry", "after": "5m", "reason": "noon"}"#, Outcome::retry("noon").after(Duration::from_secs(300)));
    check(r#"{"outcome": "archive", "reason": "by hand", "number": 1}"#, Outcome::archive("by hand"));
}

#[test]
fn what_a_reply_publishes_goes_with_the_message() {
    let reply = r#"{"outcome":"ack","publish":[{"exchange":"shop","routing_key":"packed","body":"two cups","properties":{"type":"box"}}]}"#;
    let message = message("x");
    assert_eq!(handled(&for_each(&format!("echo '{reply}'")), &message), Ok(Outcome::Ack));
    let published = message.published();
    let mut expected = Publication::new("shop", "packed", "two cups");
    expected.properties.kind = Some("box".into());
    assert_eq!(published, [expected]);
}

#[test]
fn there_is_a_child_for_each_thread_at_work_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let program = counted("sleep 0.05; echo ack").directory(folder.path());
    let together = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..4 {
                    together.wait();
                    assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
                }
            });
        }
    });
    assert_eq!(written(&folder.path().join("ids")).lines().count(), 3);
}

/// The first message of such a child fails for this reason, and the next one gets another child.
#[track_caller]
fn fails(commands: &str, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let once = format!("if test -e failed; then echo ack; else touch failed; {commands}; fi");
    let program =
        counted(&once).directory(folder.path()).time_limit(Duration::from_secs(3)).kill_after(Duration::from_millis(50));
    let err = handled(&program, &message("a secret")).expect_err("this is no reply");
    assert!(err.contains(reason) && !err.contains("secret"), "{err}");
    assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
    let ids = written(&folder.path().join("ids"));
    let ids: Vec<_> = ids.lines().collect();
    assert_eq!(ids.len(), 2);
    assert!(!is_there(ids[0]), "the first one is gone");
}

#[test]
fn a_child_that_does_not_reply_as_agreed_is_replaced() {
    fails("echo oops >&2; exit 3", "`sh` ended before it replied (exit code 3): oops");
    fails("kill -9 $$", "`sh` ended before it replied (killed by SIGKILL)");
    fails("exec 1>&-; sleep 1000", "`sh` ended before it replied (it has closed its standard output)");
    fails("echo \"$line\"", "`sh` gave a reply that is none");
    fails("echo hm", "`sh` gave a reply that is none: write `ack`, `retry: why`");
    fails("echo '{\"outcome\": \"ack\", \"number\": 7}'", "it answers message 7, this is 1");
    fails("printf 'ack\\nack\\n'", "`sh` replied more than one line to one message");
    fails("yes | tr -d '\\n'", "`sh` replied with a line of more than 16777216 bytes");
    fails("sleep 1000 >/dev/null & sleep 1000", "`sh` took longer than 3s and was ended (killed by SIGTERM)");
}

#[test]
fn what_a_child_says_unasked_is_nobodys_reply() {
    let folder = tempfile::tempdir().unwrap();
    // The second line comes when the message it would be taken to answer has not been sent yet.
    let program = counted("echo ack; sleep 0.1; echo ack; touch twice").directory(folder.path());
    assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
    eventually("the child has replied again", SOON, || folder.path().join("twice").exists());
    let program_slow = &program;
    assert_eq!(handled(program_slow, &message("x")), Ok(Outcome::Ack));
    assert_eq!(written(&folder.path().join("ids")).lines().count(), 2);
}

#[test]
fn what_a_child_says_about_one_message_is_not_the_reason_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let commands = "if test -e said; then exit 3; fi; echo ack; sleep 0.1; echo a secret >&2; touch said";
    let program = for_each(commands).directory(folder.path());
    assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
    eventually("the child has said it", SOON, || folder.path().join("said").exists());
    assert_eq!(handled(&program, &message("x")), Err("`sh` ended before it replied (exit code 3)".into()));
}

#[test]
fn a_child_that_ends_between_two_messages_costs_none() {
    let folder = tempfile::tempdir().unwrap();
    let program = script("echo $$ >> ids; read -r line; echo ack").persistent().directory(folder.path());
    for count in 1..=3 {
        assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
        let ids = written(&folder.path().join("ids"));
        assert_eq!(ids.lines().count(), count);
        eventually("the child has ended", SOON, || !is_alive(ids.lines().last().unwrap()));
    }
}

#[test]
fn a_child_that_never_reads_fails_and_hangs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let program = script("exec sleep 1000").persistent().directory(folder.path()).time_limit(Duration::from_millis(200));
    let reason = handled(&program, &message(vec![b'x'; 1_000_000])).unwrap_err();
    assert!(reason.contains("took longer than 200ms"), "{reason}");
    let reason = handled(&script("exit 0").persistent(), &message(vec![b'x'; 1_000_000])).unwrap_err();
    assert!(reason.starts_with("`sh` end"), "{reason}");
    let early = script("echo ack; exec sleep 1000").persistent();
    let reason = handled(&early, &message(vec![b'x'; 1_000_000])).unwrap_err();
    assert_eq!(reason, "`sh` replied before it had read its message");
}

#[test]
fn a_big_message_goes_there_and_a_big_reply_comes_back() {
    let big = "x".repeat(10_000_000);
    let program = script("read -r line; printf 'retry: '; head -c 1000000 /dev/zero | tr '\\0' y; echo; cat").persistent();
    let Ok(Outcome::Retry { reason, .. }) = program.handle((), &message(big)) else { panic!("it is a retry") };
    assert_eq!(reason, "y".repeat(1_000_000));
}

#[test]
fn ending_asks_first_and_kills_then() {
    let folder = tempfile::tempdir().unwrap();
    let check = |commands: &str, within_ms: u64, least_ms: u64| {
        let program = script(commands).persistent().directory(folder.path());
        assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
        let began = Instant::now();
        program.end(Duration::from_millis(within_ms));
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(least_ms) && took < Duration::from_secs(5), "{took:?}");
        assert!(!is_there(&written(&folder.path().join("id"))));
        // It goes on with others.
        assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
    };
    check("echo $$ > id; while read -r line; do echo ack; done", 10_000, 0);
    check("echo $$ > id; read -r line; echo ack; exec sleep 1000", 200, 100);
    check("trap '' TERM; echo $$ > id; read -r line; echo ack; while :; do sleep 1000; done", 200, 200);
}

#[test]
fn the_children_of_all_programs_end_together() {
    let stubborn = "trap '' TERM; read -r line; echo ack; while :; do sleep 1000; done";
    let programs = [stubborn; 5].map(|text| script(text).persistent());
    for program in &programs {
        assert_eq!(handled(program, &message("x")), Ok(Outcome::Ack));
    }
    let began = Instant::now();
    Program::end_all(&programs, Duration::from_secs(1));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}, one after the other five seconds");
}

#[test]
fn a_clone_shares_the_children_until_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let program = counted("echo ack").directory(folder.path());
    let same = program.clone();
    let other = program.clone().environment("A", "b");
    let handlers: [&Program; 4] = [&program, &same, &other, &other];
    for handler in handlers {
        assert_eq!(handled(handler, &Message::from_publication(Publication::new("", "q", "x"))), Ok(Outcome::Ack));
    }
    assert_eq!(written(&folder.path().join("ids")).lines().count(), 2);
}
