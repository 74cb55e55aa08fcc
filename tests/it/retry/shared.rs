//! Failed attempts in the three queues of celery-message-consumer: declared as its workers do, counted as they count.

use super::{always_failing, text};
use crate::support::stage::{Stage, SOON};
use bootstep::{headers, Consumer, Message, Outcome, Publication, Queue, RetryLayout, RetryPolicy, Table, Value};
use std::time::Duration;

crate::on_both!(
    its_queues_are_declared_as_the_celery_workers_declare_them,
    a_failed_message_counts_as_the_celery_workers_count,
    a_message_that_a_celery_worker_has_tried_is_tried_as_often_as_is_left,
    what_is_archived_at_once_has_no_count,
    what_is_rejected_is_archived,
    a_foreign_count_neither_kills_nor_buys_attempts,
    a_retry_keeps_all_that_the_publisher_said,
    more_than_sixteen_delays_are_kept_as_they_are,
);

const SHORT: Duration = Duration::from_millis(50);

/// Word for word what celery-message-consumer declares for a handler of `key`.
fn as_celery_declares(key: &str) -> [Queue; 3] {
    let with = |name: String, arguments: &[(&str, Value)]| {
        let mut queue = Queue::new(name);
        queue.arguments = arguments.iter().map(|(name, value)| (name.to_string(), value.clone())).collect::<Table>();
        queue
    };
    [
        with(key.into(), &[]),
        with(format!("{key}.retry"), &[("x-dead-letter-exchange", "".into()), ("x-dead-letter-routing-key", key.into())]),
        with(
            format!("{key}.archived"),
            &[("x-message-ttl", 2_073_600_000_i64.into()), ("x-max-length", 1_000_000.into()), ("x-queue-mode", "lazy".into())],
        ),
    ]
}

fn shared(consumer: Consumer, retries: u32) -> Consumer {
    consumer.retry_layout(RetryLayout::Shared).retry(RetryPolicy::fixed(SHORT, retries))
}

#[track_caller]
fn declare_as_celery(stage: &Stage, key: &str) {
    for queue in as_celery_declares(key) {
        stage.connection.declare_queue(&queue).unwrap();
    }
}

fn its_queues_are_declared_as_the_celery_workers_declare_them(stage: &Stage) {
    // A declaration that differs in anything is a 406, whoever comes second.
    declare_as_celery(stage, "first");
    let ack = |queue: &str| shared(Consumer::new(queue, |_: String, _: &Message| Ok(Outcome::Ack)), 4);
    let _second = stage.start(ack("first"));
    let _first = stage.start(ack("second"));
    declare_as_celery(stage, "second");
    let others = ["second.dead", "second.archive", "second.retry.50ms"].map(Queue::existing);
    assert!(others.iter().all(|queue| stage.connection.declare_queue(queue).is_err()), "there are three queues and no more");
    let other_ttl = Queue::new("second.retry").dead_letter_to("", "second").message_ttl(SHORT);
    assert!(stage.connection.declare_queue(&other_ttl).is_err(), "this broker compares");
}

fn a_failed_message_counts_as_the_celery_workers_count(stage: &Stage) {
    let (consumer, attempts) = always_failing("jobs");
    let _running = stage.start(shared(consumer, 4));
    stage.publish("jobs", &["x"]);
    let archived = &stage.take("jobs.archived", 1)[0];
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(archived.header("x-retry-count"), Some(&Value::I32(4)));
    assert_eq!((archived.retries(), text(archived, headers::REASON).as_str()), (4, "the press is jammed"));
    assert_eq!(archived.properties().expiration, None);
    assert!(matches!(archived.header(headers::FIRST_FAILED), Some(Value::Timestamp(_))));
}

fn a_message_that_a_celery_worker_has_tried_is_tried_as_often_as_is_left(stage: &Stage) {
    let (consumer, attempts) = always_failing("jobs");
    let _running = stage.start(shared(consumer, 4));
    let mut tried = Publication::new("", "jobs", "{}").content_type("application/json");
    tried.properties = tried.properties.header("x-retry-count", 3);
    stage.send(&[tried]).unwrap();
    let archived = &stage.take("jobs.archived", 1)[0];
    assert_eq!(*attempts.lock().unwrap(), [4, 5]);
    assert_eq!(archived.header("x-retry-count"), Some(&Value::I32(4)));
    // When it first failed, nobody here knows.
    assert_eq!(archived.header(headers::FIRST_FAILED), None);
}

fn what_is_archived_at_once_has_no_count(stage: &Stage) {
    let consumer = Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::archive("never")));
    let _running = stage.start(shared(consumer, 4));
    stage.publish("jobs", &["x"]);
    assert_eq!(stage.take("jobs.archived", 1)[0].header("x-retry-count"), None);
}

fn what_is_rejected_is_archived(stage: &Stage) {
    let consumer = Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack));
    let _running = stage.start(shared(consumer, 4));
    stage.send(&[Publication::new("", "jobs", b"\xff".to_vec())]).unwrap();
    let archived = &stage.take("jobs.archived", 1)[0];
    assert_eq!(archived.body(), b"\xff");
    assert!(text(archived, headers::REASON).contains("UTF-8"));
}

fn a_foreign_count_neither_kills_nor_buys_attempts(stage: &Stage) {
    let (consumer, attempts) = always_failing("jobs");
    let _running = stage.start(shared(consumer, 1));
    for count in [Value::Text("many".into()), Value::I64(-5), Value::I64(i64::MAX), Value::Text("7".into()), Value::Null] {
        let mut odd = Publication::new("", "jobs", "x");
        odd.properties = odd.properties.header("x-retry-count", count);
        stage.send(&[odd]).unwrap();
    }
    let archived = stage.take("jobs.archived", 5);
    // Unreadable counts are none; what says that it was tried often enough is tried once.
    assert_eq!(attempts.lock().unwrap().len(), 2 + 2 + 1 + 1 + 2);
    let mut counts: Vec<_> = archived.iter().map(|message| message.header("x-retry-count").cloned()).collect();
    counts.sort_by_key(|count| count.as_ref().and_then(Value::as_i64));
    let expected = [1, 1, 1, 7, i32::MAX].map(|count| Some(Value::I32(count)));
    assert_eq!(counts, expected, "a text or a 64-bit number could end a celery worker");
}

fn a_retry_keeps_all_that_the_publisher_said(stage: &Stage) {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let consumer = Consumer::new(Queue::new("kept").bind("amq.topic", "letter.#"), move |_: Vec<u8>, message: &Message| {
        tell.send((message.exchange().to_owned(), message.routing_key().to_owned()))?;
        Err(if message.attempt() < 3 { "again".into() } else { "enough".into() })
    });
    let _running = stage.start(shared(consumer, 2));
    let mut letter = Publication::new("amq.topic", "letter.blue", b"\x00\xff".to_vec()).mandatory();
    letter.properties.message_id = Some("m7".into());
    letter.properties.correlation_id = Some("c7".into());
    letter.properties.content_type = Some("application/octet-stream".into());
    letter.properties.priority = Some(3);
    letter.properties.expiration = Some("3600000".into());
    letter.properties = letter.properties.header("stamp", 3);
    stage.send(&[letter.clone()]).unwrap();
    let archived = &stage.take("kept.archived", 1)[0];
    let addresses: Vec<_> = told.try_iter().collect();
    assert_eq!(addresses, vec![("amq.topic".to_owned(), "letter.blue".to_owned()); 3]);
    assert_eq!((archived.exchange(), archived.routing_key()), ("amq.topic", "letter.blue"));
    assert_eq!(archived.body(), letter.body());
    let mut properties = archived.properties().clone();
    properties.headers.as_mut().unwrap().retain(|name, _| !name.starts_with("x-"));
    // RabbitMQ takes an expiration out when it dead-letters; the publisher's is kept beside.
    letter.properties.expiration = None;
    assert_eq!(properties, letter.properties);
    assert_eq!(text(archived, headers::EXPIRATION), "3600000");
}

fn more_than_sixteen_delays_are_kept_as_they_are(stage: &Stage) {
    let consumer = Consumer::new("late", |word: String, _: &Message| {
        Ok(Outcome::retry("later").after(Duration::from_millis(word.parse()?)))
    });
    let delays = (1..=20).map(|minutes| Duration::from_secs(60 * minutes));
    let _running = stage.start(consumer.retry_layout(RetryLayout::Shared).retry(RetryPolicy::delays(delays)));
    let asked: Vec<String> = (1..=20).map(|minute| (minute * 60_000 + 7).to_string()).collect();
    stage.publish("late", &asked.iter().map(String::as_str).collect::<Vec<_>>());
    let mut kept: Vec<_> = stage.take("late.retry", 20).iter().map(|it| it.properties().expiration.clone().unwrap()).collect();
    kept.sort_by_key(|expiration| expiration.parse::<u64>().unwrap());
    assert_eq!(kept, asked);
}

#[test]
fn its_archive_has_no_bounds_of_its_own() {
    let stage = Stage::memory();
    let consumer = Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack));
    let consumer = shared(consumer, 1).archive(bootstep::Archive::default().max_length(5));
    let mut worker = bootstep::Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.add(consumer);
    let err = worker.start().expect_err("the archive is part of the contract").to_string();
    assert!(err.contains("leave `Consumer::archive` out"), "{err}");
}

#[test]
fn a_layout_around_another_queue_is_refused() {
    let stage = Stage::memory();
    let mut worker = bootstep::Worker::new(stage.broker.clone());
    let consumer = Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack));
    worker.steps.add(consumer.layout(bootstep::SharedLayout::around("job")));
    let err = worker.start().expect_err("its retries would come back to nobody").to_string();
    assert!(err.ends_with(r#"the layout is around `job`; make it with `SharedLayout::around("jobs")`"#), "{err}");
}
