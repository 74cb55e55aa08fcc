//! The end: what runs finishes, what has not begun goes back, and the exit code says how it went.

use crate::support::stage::{Stage, SOON};
use bootstep::{steps::SpawnPool, Consumer, Message, Outcome, Queue, Worker};
use std::process::{Command, Stdio};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Mutex;
use std::time::{Duration, Instant};

crate::on_both!(
    a_running_handler_finishes_and_what_has_not_begun_goes_back,
    a_missed_deadline_is_told_and_the_message_comes_again,
    a_handler_can_halt_the_worker_with_a_code,
    nothing_begins_after_a_halt,
    a_full_archive_does_not_hold_up_the_end,
    zero_is_the_exit_code_only_if_everything_is_settled,
    leaving_at_once_is_never_zero,
);

/// A consumer that tells when it begins with a message, and holds it until it is let go.
fn held(queue: &str) -> (Consumer, Receiver<()>, SyncSender<()>) {
    let (begin, begun) = sync_channel(100);
    let (open, gate) = sync_channel::<()>(100);
    let gate = Mutex::new(gate);
    let consumer = Consumer::new(queue, move |_: String, _: &Message| {
        begin.send(())?;
        gate.lock().unwrap().recv_timeout(SOON)?;
        Ok(Outcome::Ack)
    });
    (consumer, begun, open)
}

fn a_running_handler_finishes_and_what_has_not_begun_goes_back(stage: &Stage) {
    let (consumer, begun, open) = held("work");
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.replace(SpawnPool::of(2)).add(consumer.prefetch(50));
    let running = worker.start().unwrap();
    stage.publish("work", &["x"; 30]);
    (0..2).for_each(|_| begun.recv_timeout(SOON).unwrap());
    running.shutdown().drain();
    stage.until("what has not begun is back", || stage.ready("work") == 28);
    (0..2).for_each(|_| open.send(()).unwrap());
    assert_eq!(running.wait(), bootstep::EXIT_DRAINED);
    assert_eq!(stage.ready("work"), 28);
}

fn a_missed_deadline_is_told_and_the_message_comes_again(stage: &Stage) {
    let (consumer, begun, open) = held("stuck");
    let mut worker = Worker::new(stage.broker.clone()).drain_within(Duration::from_millis(200));
    worker.steps.add(consumer);
    let running = worker.start().unwrap();
    stage.publish("stuck", &["x"]);
    begun.recv_timeout(SOON).unwrap();
    let asked = Instant::now();
    assert_eq!(running.stop(), bootstep::EXIT_NOT_DRAINED);
    assert!(asked.elapsed() < Duration::from_secs(10), "it does not wait for the handler");
    open.send(()).unwrap();
    assert!(stage.take("stuck", 1)[0].is_redelivered());
}

fn a_handler_can_halt_the_worker_with_a_code(stage: &Stage) {
    let consumer = Consumer::new("brake", |word: String, _: &Message| match word.as_str() {
        "stop" => Ok(Outcome::halt(42, "the disk is full")),
        _ => Ok(Outcome::Ack),
    });
    let running = stage.start(consumer.concurrency(1).prefetch(1));
    stage.publish("brake", &["go", "stop"]);
    assert_eq!(running.wait(), 42);
    assert_eq!(stage.take("brake", 1)[0].body(), b"stop");
}

fn nothing_begins_after_a_halt(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("brake")).unwrap();
    // Quick ones first, so that many are handed over together.
    stage.publish("brake", &[["go"; 100].as_slice(), &["stop"], &["go"; 99]].concat());
    let consumer = Consumer::new("brake", |word: String, _: &Message| match word.as_str() {
        "stop" => Ok(Outcome::halt(42, "the disk is full")),
        _ => Ok(Outcome::Ack),
    });
    let running = stage.start(consumer.concurrency(1).prefetch(500));
    assert_eq!(running.wait(), 42);
    assert_eq!(stage.ready("brake"), 100);
}

fn a_full_archive_does_not_hold_up_the_end(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("jobs.archive").max_length(1).overflow("reject-publish")).unwrap();
    stage.publish("jobs.archive", &["full"]);
    let (tell, told) = sync_channel(10);
    let consumer = Consumer::new("jobs", move |_: String, _: &Message| {
        tell.send(())?;
        Ok(Outcome::archive("for a human"))
    });
    let running = stage.start(consumer);
    stage.publish("jobs", &["x", "y"]);
    // The other may wait for the consumer to go on, if the first was refused by then.
    told.recv_timeout(SOON).unwrap();
    let asked = Instant::now();
    assert_eq!(running.stop(), bootstep::EXIT_DRAINED);
    assert!(asked.elapsed() < SOON / 2, "it does not wait for a human");
    stage.until("both are back on their queue", || stage.ready("jobs") == 2);
}

fn zero_is_the_exit_code_only_if_everything_is_settled(stage: &Stage) {
    let (consumer, begun, _open) = held("stuck");
    let halting = Consumer::new("halting", |_: String, _: &Message| Ok(Outcome::halt(0, "enough")));
    let mut worker = Worker::new(stage.broker.clone()).drain_within(Duration::from_millis(200));
    worker.steps.add(consumer).add(halting);
    let running = worker.start().unwrap();
    stage.publish("stuck", &["x"]);
    begun.recv_timeout(SOON).unwrap();
    stage.publish("halting", &["x"]);
    assert_eq!(running.wait(), bootstep::EXIT_NOT_DRAINED);
}

fn leaving_at_once_is_never_zero(stage: &Stage) {
    let (consumer, begun, _open) = held("stuck");
    let running = stage.start(consumer);
    stage.publish("stuck", &["x"]);
    begun.recv_timeout(SOON).unwrap();
    running.shutdown().halt(0);
    running.shutdown().now();
    assert_eq!(running.wait(), bootstep::EXIT_NOT_DRAINED);
}

#[test]
fn a_wrong_url_and_a_wrong_password_are_told_without_the_password() {
    let (_stage, url) = Stage::rabbitmq_with_url();
    let refused = url.replace("guest:guest", "guest:s3cret");
    for (url, code, expected) in
        [("amqp://guest:s3cret@localhost/a/b", 2, "more than one `/`"), (refused.as_str(), 3, "check user name and password")]
    {
        let output = command(url).env("RUST_LOG", "trace").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
    }
}

fn command(url: &str) -> Command {
    let mut command = Command::new(crate::examples::built("custom_consumer"));
    command.env("AMQP_URL", url).env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
