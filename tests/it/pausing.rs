//! A consumer whose archive or retry queue takes nothing pauses: it does not work through its queue with nowhere to put what fails.

use crate::support::node::Node;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{Broker, Consumer, ConsumerState, Message, Outcome, Publication, Queue, RetryPolicy, Running, Worker};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

crate::on_both!(
    a_full_archive_pauses_its_consumer_until_there_is_room,
    a_full_retry_queue_pauses_its_consumer_on_the_intake_thread_as_well,
    another_consumer_goes_on,
);

/// Archives what is called so, tries again what is called so, and counts all it is called with.
fn sorting(queue: &str) -> (Consumer, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let consumer = Consumer::new(queue, move |word: String, message: &Message| {
        count.fetch_add(1, Ordering::SeqCst);
        match word.as_str() {
            "archive" => Ok(Outcome::archive("for a human")),
            "retry" if message.attempt() == 1 => Ok(Outcome::retry("again")),
            _ => Ok(Outcome::Ack),
        }
    });
    (consumer, runs)
}

fn fill(stage: &Stage, queue: Queue) {
    let name = queue.name.clone();
    stage.connection.declare_queue(&queue.max_length(1).overflow("reject-publish")).unwrap();
    stage.publish(&name, &["full"]);
}

fn a_full_archive_pauses_its_consumer_until_there_is_room(stage: &Stage) {
    fill(stage, Queue::new("jobs.archive"));
    let (consumer, runs) = sorting("jobs");
    let running = stage.start(consumer.prefetch(10).concurrency(1));
    stays_paused(stage, &running, &runs, "archive", "jobs.archive");
    assert_eq!(stage.take("jobs.archive", 1)[0].body(), b"archive");
}

fn a_full_retry_queue_pauses_its_consumer_on_the_intake_thread_as_well(stage: &Stage) {
    let hour = Duration::from_secs(3600);
    fill(stage, Queue::new("jobs.retry.3600s").message_ttl(hour).dead_letter_to("", "jobs"));
    let (consumer, runs) = sorting("jobs");
    let policy = RetryPolicy::fixed(hour, 1);
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    // The queue that waits is bounded here, which the worker's own is not.
    worker.steps.replace(bootstep::steps::DeclareDeadLetters::default().queue(
        Queue::new("jobs.retry.3600s").message_ttl(hour).dead_letter_to("", "jobs").max_length(1).overflow("reject-publish"),
    ));
    worker.steps.add(consumer.retry(policy).prefetch(10).on_intake_thread());
    let running = worker.start().unwrap();
    stays_paused(stage, &running, &runs, "retry", "jobs.retry.3600s");
    assert_eq!(stage.take("jobs.retry.3600s", 1)[0].body(), b"retry");
}

fn stays_paused(stage: &Stage, running: &Running, runs: &AtomicU32, word: &str, full: &str) {
    stage.publish("jobs", &[word]);
    let is_paused = || matches!(&running.consumers()[0].state, ConsumerState::Paused { reason } if reason.contains(full));
    stage.until("it has nowhere to go", is_paused);
    stage.publish("jobs", &["a", "b", "c"]);
    stage.until("the others are delivered", || stage.ready("jobs") == 0);
    let asked = stage.broker.clock().now();
    stage.until("time for them to be handled", || stage.broker.clock().now() - asked > Duration::from_millis(300));
    assert_eq!(runs.load(Ordering::SeqCst), 1, "no handler begins meanwhile");
    assert_eq!(stage.take(full, 1)[0].body(), b"full");
    stage.until("it goes on by itself", || runs.load(Ordering::SeqCst) == 4);
    assert_eq!(running.consumers()[0].state, ConsumerState::Consuming);
}

fn another_consumer_goes_on(stage: &Stage) {
    fill(stage, Queue::new("jobs.archive"));
    let (stuck, runs) = sorting("jobs");
    let (free, others) = sorting("other");
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.add(stuck).add(free);
    let running = worker.start().unwrap();
    stage.publish("jobs", &["archive"]);
    stage.until("it has nowhere to go", || runs.load(Ordering::SeqCst) == 1);
    stage.publish("other", &["archive", "a", "b"]);
    stage.until("the other queue is done", || others.load(Ordering::SeqCst) == 3 && stage.ready("other.archive") == 1);
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("jobs"), stage.ready("jobs.archive")), (1, 1), "what had nowhere to go is back on its queue");
}

#[test]
fn an_alarm_pauses_who_wants_to_publish_and_nobody_else() {
    let node = Node::start();
    let broker = Broker::amqp(&node.url()).unwrap();
    let connection = broker.connect("test").unwrap();
    ["jobs", "other"].iter().for_each(|queue| drop(connection.declare_queue(&Queue::new(*queue)).unwrap()));
    let publish = |queue: &str, body: &str, times: usize| {
        connection.publish(&vec![Publication::new("", queue, body).mandatory(); times], SOON).unwrap();
    };
    publish("jobs", "archive", 1);
    publish("jobs", "a", 200);
    publish("other", "a", 200);
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    let (stuck, _) = sorting("jobs");
    let (free, others) = sorting("other");
    let mut worker = Worker::new(broker.clone());
    worker.steps.add(stuck).add(free);
    let running = worker.start().unwrap();
    eventually("who only acks goes on", SOON, || others.load(Ordering::SeqCst) == 200);
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    let ready = |queue: &str| connection.declare_queue(&Queue::existing(queue)).unwrap().messages;
    eventually("all is done", SOON, || (ready("jobs"), ready("other"), ready("jobs.archive")) == (0, 0, 1));
    assert_eq!(running.stop(), 0);
}

#[test]
fn what_has_no_place_is_not_handled_anew_at_each_consumer_timeout() {
    is_not_handled_anew(|consumer| consumer);
}

#[test]
fn on_the_intake_thread_neither() {
    is_not_handled_anew(Consumer::on_intake_thread);
}

fn is_not_handled_anew(change: impl Fn(Consumer) -> Consumer) {
    let stage = &Stage::memory();
    let memory = stage.memory.as_ref().unwrap();
    fill(stage, Queue::new("jobs.archive"));
    let (consumer, runs) = sorting("jobs");
    let running = stage.start(change(consumer.prefetch(10).concurrency(1)));
    stage.publish("jobs", &["archive"; 5]);
    let is_paused = || matches!(running.consumers()[0].state, ConsumerState::Paused { .. });
    // What was begun with the first goes on for a moment.
    let mut at_first = 0;
    stage.until("they have nowhere to go", || {
        let before = std::mem::replace(&mut at_first, runs.load(Ordering::SeqCst));
        is_paused() && before == at_first
    });
    for timeout in 1..=5 {
        memory.advance(Duration::from_secs(31 * 60));
        stage.until("one is tried", || runs.load(Ordering::SeqCst) >= at_first + timeout && is_paused());
        assert_eq!(runs.load(Ordering::SeqCst), at_first + timeout, "no other is handled");
    }
    stage.take("jobs.archive", 1);
    // Room for one at a time.
    (0..5).for_each(|_| assert_eq!(stage.take("jobs.archive", 1)[0].body(), b"archive"));
    stage.publish("jobs", &["a", "b"]);
    stage.until("it goes on", || stage.ready("jobs") == 0 && running.consumers()[0].acked == 2);
    assert_eq!(running.stop(), 0);
}
