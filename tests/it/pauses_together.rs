//! What pauses a consumer, several at a time, and what happens to its queue meanwhile: it always goes on.

use crate::support::stage::{Stage, SOON};
use bootstep::{headers, Consumer, KillSwitch, Message, Outcome, Publication, Queue, RetryPolicy};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

crate::on_both!(
    a_queue_deleted_while_the_switch_is_open_is_consumed_again,
    a_queue_declared_anew_while_the_switch_is_open_is_consumed_again,
    a_switch_that_trips_at_once_and_keeps_nothing_goes_on,
    a_full_archive_a_switch_and_suspects_on_the_pool,
    a_full_archive_a_switch_and_suspects_on_the_intake_thread,
    a_shutdown_hands_back_what_would_be_handled_alone,
);

const PAUSE: Duration = Duration::from_millis(400);

/// Fails so many times; nothing is tried twice.
fn failing(times: u32) -> (Consumer, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let consumer = Consumer::new("jobs", move |_: String, _: &Message| match count.fetch_add(1, Ordering::SeqCst) {
        run if run < times => Err("away".into()),
        _ => Ok(Outcome::Ack),
    });
    (consumer.retry(RetryPolicy::none()).concurrency(1), runs)
}

/// Messages that came again once, as a worker says that counts.
fn suspects(count: usize) -> Vec<Publication> {
    let mut suspect = Publication::new("", "jobs", "suspect").mandatory();
    suspect.properties = suspect.properties.header(headers::REDELIVERIES, 1);
    vec![suspect; count]
}

fn fill_archive(stage: &Stage) {
    let full = Queue::new("jobs.archive").max_length(1).overflow("reject-publish");
    stage.connection.declare_queue(&full).unwrap();
    stage.publish("jobs.archive", &["full"]);
    stage.connection.declare_queue(&Queue::new("jobs")).unwrap();
}

fn a_queue_deleted_while_the_switch_is_open_is_consumed_again(stage: &Stage) {
    deleted(stage, || stage.until("it is declared again", || stage.send(&suspects(1)).is_ok()));
}

fn a_queue_declared_anew_while_the_switch_is_open_is_consumed_again(stage: &Stage) {
    deleted(stage, || drop(stage.connection.declare_queue(&Queue::new("jobs")).unwrap()));
}

fn deleted(stage: &Stage, afterwards: impl FnOnce()) {
    let (consumer, runs) = failing(2);
    let running = stage.start(consumer.prefetch(5).kill_switch(KillSwitch::at(1.0).over(2).pause(PAUSE)));
    stage.publish("jobs", &["x"; 20]);
    stage.until("it has tripped", || runs.load(Ordering::SeqCst) >= 2);
    stage.connection.delete_queue("jobs").unwrap();
    afterwards();
    stage.publish("jobs", &["x"; 20]);
    stage.until("all are handled", || runs.load(Ordering::SeqCst) >= 22 && stage.ready("jobs") == 0);
    assert_eq!(running.stop(), 0);
}

fn a_switch_that_trips_at_once_and_keeps_nothing_goes_on(stage: &Stage) {
    let (consumer, runs) = failing(4);
    let switch = KillSwitch::at(0.0).over(1).pause(Duration::ZERO).hold(Duration::ZERO);
    let running = stage.start(consumer.prefetch(1).kill_switch(switch));
    stage.publish("jobs", &["x"; 20]);
    stage.until("all are handled", || runs.load(Ordering::SeqCst) == 20);
    assert_eq!(running.stop(), 0);
}

fn a_full_archive_a_switch_and_suspects_on_the_pool(stage: &Stage) {
    all_at_once(stage, |consumer| consumer);
}

fn a_full_archive_a_switch_and_suspects_on_the_intake_thread(stage: &Stage) {
    all_at_once(stage, Consumer::on_intake_thread);
}

fn all_at_once(stage: &Stage, change: impl Fn(Consumer) -> Consumer) {
    fill_archive(stage);
    stage.send(&suspects(2)).unwrap();
    stage.publish("jobs", &["x"; 5]);
    let (consumer, runs) = failing(3);
    let consumer = consumer.prefetch(5).poison_after(3).kill_switch(KillSwitch::at(1.0).over(2).pause(PAUSE));
    let running = stage.start(change(consumer));
    stage.send(&suspects(2)).unwrap();
    stage.until("one has nowhere to go", || runs.load(Ordering::SeqCst) >= 1);
    // Room for one at a time; while one is being taken there is room for the next, so there may be two for a moment.
    let mut taken = 0;
    stage.until("room is made three times", || {
        taken += u32::from(stage.ready("jobs.archive") > 0 && take_one(stage, "jobs.archive"));
        taken == 3
    });
    stage.until("all are handled", || runs.load(Ordering::SeqCst) == 9);
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("jobs"), stage.ready("jobs.archive")), (0, 1));
}

fn take_one(stage: &Stage, queue: &str) -> bool {
    let taken = stage.connection.consume(queue, 1, |inbox| match inbox.next(SOON).unwrap() {
        Some(letter) => inbox.ack(letter.tag).is_ok(),
        None => false,
    });
    taken.unwrap()
}

fn a_shutdown_hands_back_what_would_be_handled_alone(stage: &Stage) {
    fill_archive(stage);
    stage.send(&suspects(4)).unwrap();
    let (consumer, runs) = failing(4);
    let running = stage.start(consumer.prefetch(5).poison_after(3));
    stage.until("one has nowhere to go", || runs.load(Ordering::SeqCst) == 1);
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("jobs"), stage.ready("jobs.archive")), (4, 1));
}
