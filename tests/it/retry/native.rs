//! Failed attempts that the queue itself holds back, and the refusals wherever it would not.

use super::{always_failing, text};
use crate::support::stage::{Stage, SOON};
use bootstep::{headers, Consumer, Message, Outcome, Queue, RetryLayout, RetryPolicy, Value, Worker};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

crate::on_both!(
    a_broker_that_would_ignore_the_delays_is_refused_at_boot,
    a_queue_that_does_not_wait_as_the_policy_says_is_refused_at_boot,
);

const SHORT: Duration = Duration::from_millis(300);

fn native(consumer: Consumer, retries: u32) -> Consumer {
    consumer.retry_layout(RetryLayout::Native).retry(RetryPolicy::linear(SHORT, retries))
}

fn waiting(name: &str) -> Queue {
    Queue::new(name).delayed_retry(SHORT, 10 * SHORT)
}

/// Whether this is RabbitMQ 4.3.1 or later, such as one named by `AMQP_URL`.
fn delays_by_itself(stage: &Stage) -> bool {
    stage.is_rabbitmq_from([4, 3, 1])
}

#[track_caller]
fn refusal(stage: &Stage, consumer: Consumer) -> String {
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.add(consumer);
    worker.start().expect_err("this cannot work").to_string()
}

fn a_broker_that_would_ignore_the_delays_is_refused_at_boot(stage: &Stage) {
    if delays_by_itself(stage) {
        return;
    }
    let (consumer, _) = always_failing(waiting("jobs"));
    let err = refusal(stage, native(consumer, 3));
    let server = stage.connection.server();
    for said in ["`jobs`", "needs RabbitMQ 4.3.1 or later", &server, "use `RetryLayout::Levels`"] {
        assert!(err.contains(said), "{err}");
    }
    assert!(stage.connection.declare_queue(&Queue::existing("jobs")).is_err(), "nothing is declared that would not work");
}

fn a_queue_that_does_not_wait_as_the_policy_says_is_refused_at_boot(stage: &Stage) {
    for (queue, remedy) in [
        (Queue::new("jobs").classic(), "declare it with `Queue::delayed_retry`"),
        (waiting("jobs").delivery_limit(3), "set no `delivery_limit`, or one above"),
        (waiting("jobs").delivery_limit(4), "set no `delivery_limit`, or a dead-letter exchange"),
        (Queue::new("jobs").delayed_retry(2 * SHORT, 10 * SHORT), "so say `RetryPolicy::linear(600ms, 3)"),
    ] {
        let err = refusal(stage, native(always_failing(queue).0, 3));
        assert!(err.contains(remedy), "{err}");
    }
}

#[test]
fn the_queue_delays_and_counts_and_the_worker_has_the_last_word() {
    let stage = Stage::rabbitmq();
    if !delays_by_itself(&stage) {
        return;
    }
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let queue = waiting("jobs").bind("amq.topic", "job.#").dead_letter_to("amq.fanout", "");
    let consumer = Consumer::new(queue.delivery_limit(3), move |_: String, message: &Message| {
        seen.lock().unwrap().push((message.attempt(), Instant::now()));
        Ok(Outcome::retry("the press is jammed").after(Duration::from_secs(3600)))
    });
    stage.connection.declare_queue(&Queue::new("morgue").bind("amq.fanout", "")).unwrap();
    let _running = stage.start(native(consumer, 2));
    let publication = bootstep::Publication::new("amq.topic", "job.print", "print").mandatory();
    stage.send(&[publication]).unwrap();
    let archived = &stage.take("jobs.archive", 1)[0];

    let times = times.lock().unwrap();
    assert_eq!(times.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(times[1].1 - times[0].1 >= SHORT && times[2].1 - times[1].1 >= 2 * SHORT, "{times:?}");
    assert!(times[2].1 - times[0].1 < Duration::from_secs(60), "{times:?}");
    assert_eq!(archived.body(), b"print");
    assert_eq!((archived.exchange(), archived.routing_key()), ("amq.topic", "job.print"));
    assert_eq!((archived.retries(), text(archived, headers::REASON).as_str()), (2, "the press is jammed"));
    assert_eq!(archived.header(headers::DELIVERY_COUNT), None);
    assert_eq!((stage.ready("jobs"), stage.ready("morgue")), (0, 0));
}

#[test]
fn what_is_handed_back_is_not_counted() {
    let stage = Stage::rabbitmq();
    if !delays_by_itself(&stage) {
        return;
    }
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = runs.clone();
    let consumer = Consumer::new(waiting("jobs"), move |_: String, message: &Message| {
        let mut runs = seen.lock().unwrap();
        runs.push((message.attempt(), message.header(headers::DELIVERY_COUNT).and_then(Value::as_i64)));
        Ok(if runs.len() % 4 == 0 { Outcome::retry("no") } else { Outcome::Requeue })
    });
    let _running = stage.start(native(consumer, 1));
    stage.publish("jobs", &["x"]);
    let archived = &stage.take("jobs.archive", 1)[0];
    assert_eq!(archived.retries(), 1);
    let first = vec![(1, None); 4];
    let second = vec![(2, Some(1)); 4];
    assert_eq!(*runs.lock().unwrap(), [first, second].concat());
}

#[test]
fn what_is_out_when_a_worker_dies_counts_and_is_never_lost() {
    let stage = Stage::rabbitmq();
    if !delays_by_itself(&stage) {
        return;
    }
    stage.connection.declare_queue(&waiting("jobs")).unwrap();
    stage.publish("jobs", &["x"]);
    for death in 0..3 {
        let dying = stage.broker.connect("dying").unwrap();
        let held = dying.consume("jobs", 1, |inbox| inbox.next(SOON).unwrap()).unwrap().expect("it is still there");
        let count = held.message.header(headers::DELIVERY_COUNT).and_then(Value::as_i64);
        assert_eq!(count.unwrap_or(0), death);
    }
    // More deaths than the policy has retries: the worker still has the last word.
    let (consumer, attempts) = always_failing(waiting("jobs"));
    let _running = stage.start(native(consumer, 1));
    assert_eq!(stage.take("jobs.archive", 1)[0].retries(), 3);
    assert_eq!(*attempts.lock().unwrap(), [4]);
}
