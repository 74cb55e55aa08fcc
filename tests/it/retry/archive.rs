//! What is given up: how much of it is kept, for how long, and who hears of it before there is no room.

use crate::support::heard::{heard, listen};
use crate::support::stage::{Stage, SOON};
use bootstep::{Archive, Consumer, Message, Outcome, Queue, RetryPolicy, Worker};
use std::time::Duration;

crate::on_both!(
    a_full_archive_refuses_and_nothing_is_lost,
    an_archive_ages_only_where_that_is_asked_for,
    at_boot_a_human_hears_of_an_archive_that_is_nearly_full,
);

fn giving_up(queue: &str) -> Consumer {
    let consumer = Consumer::new(queue, |_: String, _: &Message| Ok(Outcome::archive("for a human")));
    consumer.retry(RetryPolicy::none())
}

fn a_full_archive_refuses_and_nothing_is_lost(stage: &Stage) {
    let _running = stage.start(giving_up("jobs").archive(Archive::default().max_length(2)));
    stage.publish("jobs", &["a", "b", "c", "d", "e"]);
    stage.until("the archive is full", || stage.ready("jobs.archive") >= 2);
    let declared = Queue::new("jobs.archive").max_length(2).overflow("reject-publish");
    stage.connection.declare_queue(&declared).unwrap();
    let mut bodies: Vec<_> = Vec::new();
    // Room for two at a time, and the rest stays until there is.
    while bodies.len() < 5 {
        stage.until("something is in the archive", || stage.ready("jobs.archive") > 0);
        let there = stage.ready("jobs.archive") as usize;
        assert!(there <= 3, "{there}");
        let taken = stage.connection.consume("jobs.archive", 10, |inbox| {
            let letter = inbox.next(SOON).unwrap().expect("one is ready");
            inbox.ack(letter.tag).unwrap();
            letter.message.body().to_vec()
        });
        bodies.push(taken.unwrap());
    }
    bodies.sort();
    assert_eq!(bodies, [b"a", b"b", b"c", b"d", b"e"]);
}

fn an_archive_ages_only_where_that_is_asked_for(stage: &Stage) {
    let day = Duration::from_secs(24 * 3600);
    let _ageing = stage.start(giving_up("ageing").archive(Archive::default().message_ttl(day)));
    let _kept = stage.start(giving_up("kept"));
    let bounded = |name: &str| Queue::new(name).max_length(1_000_000).overflow("reject-publish");
    // Whatever differs from what was declared is refused.
    stage.connection.declare_queue(&bounded("ageing.archive").message_ttl(day)).unwrap();
    stage.connection.declare_queue(&bounded("kept.archive")).unwrap();
}

fn at_boot_a_human_hears_of_an_archive_that_is_nearly_full(stage: &Stage) {
    listen();
    // What is logged on the two stages must not be mixed up.
    let queue = if stage.memory.is_some() { "brim.memory" } else { "brim.rabbitmq" };
    let archive = format!("{queue}.archive");
    let start = || stage.start(giving_up(queue).archive(Archive::default().max_length(5)));
    start().stop();
    stage.publish(&archive, &["a", "b", "c"]);
    start().stop();
    assert_eq!(heard(&[&archive, "has room for"]), 0);
    stage.publish(&archive, &["d"]);
    start().stop();
    let said = format!("`{archive}` holds 4 messages and has room for 5; when it is full, ");
    assert_eq!(heard(&[&said, "purge the archive"]), 1);
}

#[test]
fn while_it_fills_a_human_hears_at_most_once_a_minute() {
    listen();
    let stage = Stage::memory();
    let memory = stage.memory.as_ref().unwrap();
    let publish = |bodies: &[&str]| {
        stage.publish("fills", bodies);
        memory.rest(SOON).unwrap();
    };
    let warnings = || heard(&["`fills.archive` holds", "has room for 10"]);
    let _running = stage.start(giving_up("fills").archive(Archive::default().max_length(10)));
    publish(&["it is looked at when there is this one"]);
    for minute in 0..3 {
        stage.connection.purge_queue("fills.archive").unwrap();
        publish(&["1", "2", "3", "4", "5", "6", "7", "8"]);
        memory.advance(Duration::from_secs(59));
        publish(&["within the minute"]);
        assert_eq!((stage.ready("fills.archive"), warnings()), (9, minute));
        memory.advance(Duration::from_secs(1));
        publish(&["after it"]);
        assert_eq!(warnings(), minute + 1);
    }
}

#[test]
fn an_archive_that_would_age_sooner_than_asked_for_is_refused() {
    let stage = Stage::memory();
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.add(giving_up("jobs").archive(Archive::default().message_ttl(Duration::from_secs(365 * 24 * 3600))));
    let err = worker.start().expect_err("RabbitMQ cannot do that").to_string();
    assert!(err.contains("more than 49 days by age"), "{err}");
}
