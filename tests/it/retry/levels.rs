//! Failed attempts in levels: they wait, come again, and end in the archive, with all that came with the message.

use super::text;
use crate::support::stage::{Stage, SOON};
use bootstep::{headers, Consumer, Exchange, Message, Outcome, Publication, Queue, RetryPolicy, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;

crate::on_both!(
    a_failed_message_comes_again_and_then_lies_in_the_archive,
    an_error_and_a_panic_are_failed_attempts,
    a_retry_keeps_exchange_key_and_properties,
    a_handler_may_ask_for_another_delay_within_the_policy,
    an_archived_message_is_not_tried_again,
    a_deleted_archive_is_declared_again_for_what_waits,
    a_refused_message_is_tried_again_however_busy_the_intake_thread_is,
    a_quorum_queue_retries_as_well,
    what_waits_long_does_not_hold_up_what_waits_briefly,
);

const SHORT: Duration = Duration::from_millis(50);

fn a_failed_message_comes_again_and_then_lies_in_the_archive(stage: &Stage) {
    fails_twice_then_archives(stage, Queue::new("jobs"));
}

fn a_quorum_queue_retries_as_well(stage: &Stage) {
    fails_twice_then_archives(stage, Queue::new("jobs").quorum());
}

#[track_caller]
fn fails_twice_then_archives(stage: &Stage, queue: Queue) {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = attempts.clone();
    let consumer = Consumer::new(queue, move |_: String, message: &Message| {
        seen.lock().unwrap().push(message.attempt());
        Ok(Outcome::retry("the press is jammed"))
    });
    let _running = stage.start(consumer.retry(RetryPolicy::exponential(SHORT, 2)));
    stage.publish("jobs", &["print"]);
    stage.until("the message is archived", || stage.ready("jobs.archive") == 1);
    let archived = &stage.take("jobs.archive", 1)[0];
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3]);
    assert_eq!(archived.body(), b"print");
    assert_eq!((archived.retries(), text(archived, headers::REASON).as_str()), (2, "the press is jammed"));
    assert_eq!(text(archived, headers::QUEUE), "jobs");
    assert!(matches!(archived.header(headers::FIRST_FAILED), Some(Value::Timestamp(_))));
    assert_eq!(stage.ready("jobs"), 0);
}

fn an_error_and_a_panic_are_failed_attempts(stage: &Stage) {
    let consumer = Consumer::new("shaky", |word: String, _: &Message| match word.as_str() {
        "error" => Err("no paper".into()),
        "panic" => panic!("out of ink"),
        _ => Ok(Outcome::Ack),
    });
    let _running = stage.start(consumer.retry(RetryPolicy::none()));
    stage.publish("shaky", &["error", "fine", "panic"]);
    let mut reasons: Vec<_> = stage.take("shaky.archive", 2).iter().map(|message| text(message, headers::REASON)).collect();
    reasons.sort();
    assert_eq!(reasons, ["no paper", "panicked: out of ink"]);
}

fn a_retry_keeps_exchange_key_and_properties(stage: &Stage) {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let consumer = Consumer::new(Queue::new("kept").bind("desk", "letter.#"), move |_: Vec<u8>, message: &Message| {
        let mut properties = message.properties().clone();
        properties.headers.as_mut().unwrap().retain(|name, _| !name.starts_with("x-"));
        let seen = (message.exchange().to_owned(), message.routing_key().to_owned(), properties);
        tell.send((message.attempt(), seen))?;
        if message.attempt() < 3 {
            Err("again".into())
        } else {
            Ok(Outcome::Ack)
        }
    });
    let _running = stage.start(consumer.exchange(Exchange::topic("desk")).retry(RetryPolicy::fixed(SHORT, 5)));
    let mut letter = Publication::new("desk", "letter.blue", b"\x00\xff".to_vec()).mandatory();
    letter.properties.message_id = Some("m7".into());
    letter.properties.content_type = Some("application/octet-stream".into());
    letter.properties = letter.properties.header("stamp", 3);
    stage.send(&[letter]).unwrap();
    let mut attempts = Vec::new();
    stage.until("three attempts", || {
        attempts.extend(told.try_iter());
        attempts.len() == 3
    });
    let first = &attempts[0].1;
    assert_eq!((first.0.as_str(), first.1.as_str()), ("desk", "letter.blue"));
    assert!(attempts.iter().enumerate().all(|(place, (attempt, seen))| *attempt == place as u32 + 1 && seen == first));
}

fn a_handler_may_ask_for_another_delay_within_the_policy(stage: &Stage) {
    let consumer = Consumer::new("late", |_: String, message: &Message| match message.attempt() {
        1 => Ok(Outcome::retry("later").after(Duration::from_secs(2))),
        _ => Ok(Outcome::Ack),
    });
    // Levels of one, two, four hours: two seconds round up to one hour, and so does nothing at all.
    let _running = stage.start(consumer.retry(RetryPolicy::exponential(Duration::from_secs(3600), 3)));
    stage.publish("late", &["x"]);
    stage.until("it waits on the first level", || stage.ready("late.retry.3600s") == 1);
}

fn what_waits_long_does_not_hold_up_what_waits_briefly(stage: &Stage) {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let consumer = Consumer::new("mixed", move |word: String, message: &Message| match message.attempt() {
        1 if word == "long" => Ok(Outcome::retry("in a minute").after(Duration::from_secs(60))),
        1 => Ok(Outcome::retry("soon")),
        _ => {
            tell.send(word)?;
            Ok(Outcome::Ack)
        }
    });
    let _running = stage.start(consumer.retry(RetryPolicy::delays([1, 60].map(Duration::from_secs))));
    stage.publish("mixed", &["long"]);
    stage.until("the first waits its minute", || stage.ready("mixed.retry.60s") == 1);
    stage.publish("mixed", &["short"]);
    let mut came = Vec::new();
    stage.until("the second is back", || {
        came.extend(told.try_iter());
        !came.is_empty()
    });
    assert_eq!(came, ["short"]);
    assert_eq!(stage.ready("mixed.retry.60s"), 1);
}

fn an_archived_message_is_not_tried_again(stage: &Stage) {
    let consumer = Consumer::new("final", |_: String, _: &Message| Ok(Outcome::archive("seen enough")));
    let _running = stage.start(consumer);
    stage.publish("final", &["x"]);
    let archived = &stage.take("final.archive", 1)[0];
    assert_eq!((archived.attempt(), text(archived, headers::REASON).as_str()), (1, "seen enough"));
}

fn a_deleted_archive_is_declared_again_for_what_waits(stage: &Stage) {
    let consumer = Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::archive("for a human")));
    let _running = stage.start(consumer);
    stage.connection.delete_queue("jobs.archive").unwrap();
    stage.publish("jobs", &["x"]);
    let there = || stage.connection.declare_queue(&Queue::existing("jobs.archive")).is_ok();
    stage.until("the archive is there again", there);
    assert_eq!(stage.take("jobs.archive", 1)[0].body(), b"x");
}

fn a_refused_message_is_tried_again_however_busy_the_intake_thread_is(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("jobs.archive").max_length(1).overflow("reject-publish")).unwrap();
    stage.publish("jobs.archive", &["full"]);
    let consumer = Consumer::new("jobs", |word: String, _: &Message| match word.as_str() {
        "stuck" => Ok(Outcome::archive("for a human")),
        _ => Ok(Outcome::Requeue),
    });
    let _running = stage.start(consumer.on_intake_thread());
    stage.publish("jobs", &["stuck", "again", "again", "again"]);
    assert_eq!(stage.take("jobs.archive", 1)[0].body(), b"full");
    assert_eq!(stage.take("jobs.archive", 1)[0].body(), b"stuck");
}

#[test]
fn a_reason_of_any_length_leaves_the_headers_small() {
    let stage = Stage::rabbitmq();
    let long = "ä".repeat(200_000);
    let consumer = Consumer::new("wordy", move |_: String, _: &Message| Ok(Outcome::archive(&long)));
    let _running = stage.start(consumer);
    stage.publish("wordy", &["x"]);
    let reason = text(&stage.take("wordy.archive", 1)[0], headers::REASON);
    assert_eq!(reason.len(), 2_000);
}

#[test]
fn a_foreign_retry_header_neither_fails_nor_buys_attempts() {
    let stage = Stage::memory();
    let consumer = Consumer::new("odd", |_: String, _: &Message| Ok(Outcome::retry("no")));
    let _running = stage.start(consumer.retry(RetryPolicy::fixed(SHORT, 1)));
    for value in [Value::Text("many".into()), Value::I64(-5), Value::I64(i64::MAX)] {
        let mut odd = Publication::new("", "odd", "x");
        odd.properties = odd.properties.header(headers::RETRIES, value);
        stage.send(&[odd]).unwrap();
    }
    let memory = stage.memory.as_ref().unwrap();
    memory.drain(SOON).unwrap();
    assert_eq!(stage.ready("odd.archive"), 3);
}
