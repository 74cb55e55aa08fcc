//! Programs as the handlers of a worker, on a broker.

use super::{is_alive, script, written};
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{headers, Consumer, Message, Queue, RetryPolicy};
use std::time::{Duration, Instant};

crate::on_both!(
    what_a_program_says_is_done,
    a_persistent_child_says_what_is_done,
    what_a_child_publishes_is_there_before_the_ack,
    programs_run_side_by_side,
    a_program_is_waited_for_when_the_worker_ends,
);

const SHORT: Duration = Duration::from_millis(50);

fn reason(message: &Message) -> String {
    message.header(headers::REASON).map(ToString::to_string).unwrap_or_default()
}

fn what_a_program_says_is_done(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"read -r word; echo "$word $MESSAGE_ATTEMPT" >> log; echo "it was $word" >&2
        case $word in bad) exit 65;; later) test $MESSAGE_ATTEMPT -gt 2 || exit 75;; odd) exit 3;; esac"#;
    let program = script(text).directory(folder.path());
    let _running = stage.start(Consumer::handled_by("words", program).retry(RetryPolicy::fixed(SHORT, 2)).concurrency(1));
    stage.publish("words", &["good\n", "bad\n", "later\n", "odd\n"]);
    let dead = &stage.take("words.dead", 1)[0];
    assert_eq!((dead.body(), reason(dead)), (&b"bad\n"[..], "it was bad".into()));
    let archived = &stage.take("words.archive", 1)[0];
    assert_eq!((archived.body(), reason(archived)), (&b"odd\n"[..], "it was odd".into()));
    stage.until("the late one is done", || written(&folder.path().join("log")).contains("later 3"));
    let log = written(&folder.path().join("log"));
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["bad 1", "good 1", "later 1", "later 2", "later 3", "odd 1", "odd 2", "odd 3"]);
}

fn a_persistent_child_says_what_is_done(stage: &Stage) {
    let text = r#"while read -r line; do case $line in *'"body":"bad"'*) echo reject: no;; *'"body":"crash"'*) echo aargh >&2; exit 1;; *) echo ack;; esac; done"#;
    let consumer = Consumer::handled_by("words", script(text).persistent()).retry(RetryPolicy::fixed(SHORT, 1));
    let running = stage.start(consumer);
    stage.publish("words", &["good", "bad", "crash", "good"]);
    assert_eq!(reason(&stage.take("words.dead", 1)[0]), "no");
    assert_eq!(reason(&stage.take("words.archive", 1)[0]), "`sh` ended before it replied (exit code 1): aargh");
    assert_eq!(running.stop(), 0);
    assert_eq!(stage.ready("words"), 0);
}

fn what_a_child_publishes_is_there_before_the_ack(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("packed")).unwrap();
    let reply = r#"{"outcome":"ack","publish":[{"routing_key":"packed","body":"two cups"}]}"#;
    let program = script(&format!("while read -r line; do echo '{reply}'; done")).persistent();
    let running = stage.start(Consumer::handled_by("orders", program));
    stage.publish("orders", &["x"]);
    let packed = &stage.take("packed", 1)[0];
    assert_eq!((packed.body(), packed.properties().delivery_mode), (&b"two cups"[..], Some(2)));
    assert_eq!(running.stop(), 0);
}

fn programs_run_side_by_side(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    // Each waits for the other: one after the other they would never end.
    let text = "read -r own other; touch $own; until test -e $other; do sleep 0.01; done; echo x >> done";
    let program = script(text).directory(folder.path());
    let _running = stage.start(Consumer::handled_by("pairs", program).concurrency(2));
    stage.publish("pairs", &["a b\n", "b a\n"]);
    eventually("both are done", SOON, || written(&folder.path().join("done")) == "x\nx\n");
}

fn a_program_is_waited_for_when_the_worker_ends(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    let program = script("touch begun; sleep 0.3; touch done").directory(folder.path());
    let running = stage.start(Consumer::handled_by("jobs", program));
    stage.publish("jobs", &["x"]);
    eventually("it runs", SOON, || folder.path().join("begun").exists());
    assert_eq!(running.stop(), 0);
    assert!(folder.path().join("done").exists());
    assert_eq!(stage.ready("jobs"), 0);
}

#[test]
fn the_children_end_with_the_worker() {
    let stage = Stage::memory();
    let folder = tempfile::tempdir().unwrap();
    let program =
        script("echo $$ > id; while read -r line; do echo ack; touch done; done").persistent().directory(folder.path());
    let running = stage.start(Consumer::handled_by("jobs", program));
    stage.publish("jobs", &["x"]);
    eventually("it is done", SOON, || folder.path().join("done").exists());
    let id = written(&folder.path().join("id"));
    assert!(is_alive(&id));
    assert_eq!(running.stop(), 0);
    eventually("the child is gone", SOON, || !is_alive(&id));
}

#[test]
fn leaving_at_once_does_not_wait_for_a_program() {
    let stage = Stage::memory();
    let folder = tempfile::tempdir().unwrap();
    let program = script("trap '' TERM; echo $$ > id; while :; do sleep 1000; done").directory(folder.path());
    let running = stage.start(Consumer::handled_by("jobs", program));
    stage.publish("jobs", &["x"]);
    eventually("it runs", SOON, || !written(&folder.path().join("id")).is_empty());
    let began = Instant::now();
    running.shutdown().now();
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(5));
    // Its thread still waits for it, in this process that goes on.
    let id = written(&folder.path().join("id"));
    assert!(is_alive(&id));
    let kill = std::process::Command::new("kill").args(["-9", "--", &format!("-{}", id.trim())]).status().unwrap();
    assert!(kill.success());
}
