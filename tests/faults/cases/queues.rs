//! Queues around a message that are full, or not there: the message stays where it was until they are.

use super::{gate, open, Scene, CONCLUDED_WITHIN, SOON};
use crate::evidence::Deed;
use crate::field::Field;
use crate::injury::Injury;
use crate::judge::Verdict;
use crate::letters;
use crate::settings::{Kind, Mix, Settings};
use crate::support::now_ms;
use crate::support::wait::{eventually, holds_within};
use std::time::Duration;

const REFUSED: &str = "does not take a message";

/// A retry queue has room for twenty, and five hundred are to wait there.
pub fn retry_queue_full(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let settings = Settings { first_delay_ms: 500, ..scene.settings(Mix::FailingOnce) };
    let mut field = Field::new(scene.node, settings, 1);
    let began = now_ms();
    limit(scene, &format!("^{}.retry", field.settings.queue), 20);
    field.start_all();
    field.publish(500);
    eventually("the retry queue refuses", SOON, || field.logs_say(REFUSED));
    unlimit(scene);
    field.note(Injury::QueueFull, began);
    scene.conclude_without_repeats(field)
}

/// A thousand messages are with the worker when the queue that they are to wait on is deleted.
pub fn retry_queue_missing(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let gate = gate();
    let settings = Settings { prefetch: 1_000, ..scene.gated(Mix::FailingOnce, &gate) };
    let mut field = Field::new(scene.node, settings, 1);
    field.start_all();
    field.publish(1_500);
    let connection = field.connect();
    eventually("1,000 are with the worker", SOON, || field.ready(&connection, &field.settings.queue) == 500);
    let began = now_ms();
    let first = field.settings.retry_queues().remove(0);
    connection.delete_queue(&first).expect("it was there");
    open(&gate);
    eventually("the move is refused", SOON, || field.logs_say(REFUSED));
    field.note(Injury::QueueDeleted, began);
    scene.conclude_without_repeats(field)
}

/// The main queue is deleted while messages wait for their retry; the worker declares it again before they come due.
pub fn main_queue_missing(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let settings = Settings { first_delay_ms: 2_000, ..scene.settings(Mix::FailingOnce) };
    let mut field = Field::new(scene.node, settings, 1);
    wait_on_retry(&mut field, 300);
    let began = now_ms();
    field.connect().delete_queue(&field.settings.queue).expect("it was there");
    field.note(Injury::QueueDeleted, began);
    scene.conclude_without_repeats(field)
}

/// The same with no worker there to declare it. A quorum queue holds what it cannot pass on; of a classic one, RabbitMQ promises
/// nothing, and this is the case counted apart.
pub fn main_queue_missing_long(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let settings = Settings { first_delay_ms: 2_000, ..scene.settings(Mix::FailingOnce) };
    let mut field = Field::new(scene.node, settings, 1);
    wait_on_retry(&mut field, 300);
    field.stop_all();
    let began = now_ms();
    let connection = field.connect();
    connection.delete_queue(&field.settings.queue).expect("it was there");
    let first = field.settings.retry_queues().remove(0);
    match scene.kind {
        Kind::Classic => eventually("all have come due", SOON, || field.ready(&connection, &first) == 0),
        // On its way and not arrived counts as held.
        Kind::Quorum => assert!(!holds_within(Duration::from_secs(4), || field.held(scene.node) < 300), "it let go of some"),
    }
    field.hops.push((began, now_ms()));
    field.note(Injury::QueueDeleted, began);
    connection.declare_queue(&field.settings.main_queue()).expect("it is gone, and can be declared");
    field.start_all();
    scene.conclude(field)
}

/// The consumed queue is deleted under its consumers, three times, when it is empty.
pub fn queue_deleted(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut field = Field::new(scene.node, scene.settings(Mix::Acked), 2);
    field.start_all();
    let connection = field.connect();
    for round in 1..=3 {
        field.publish(500);
        eventually("all are done", SOON, || field.held(scene.node) == 0);
        let began = now_ms();
        connection.delete_queue(&field.settings.queue).expect("it was there");
        field.note(Injury::QueueDeleted, began);
        let queue = bootstep::Queue::existing(&*field.settings.queue);
        eventually(&format!("the queue is there again, round {round}"), SOON, || connection.declare_queue(&queue).is_ok());
    }
    field.publish(500);
    scene.conclude_without_repeats(field)
}

/// The archive has room for fifty, and three hundred are given up; somebody empties it until all have arrived.
pub fn archive_full(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut field = Field::new(scene.node, scene.settings(Mix::Archived), 1);
    let began = now_ms();
    limit(scene, &format!("^{}.archive", field.settings.queue), 50);
    field.start_all();
    field.publish(300);
    eventually("the archive refuses", SOON, || field.logs_say(REFUSED));
    let connection = field.connect();
    let settings = field.settings.clone();
    let mut archived = Vec::new();
    let all_arrived = holds_within(CONCLUDED_WITHIN, || {
        archived.extend(letters::take_all(&connection, &settings.archive(), |message| letters::kept(&settings, message)));
        archived.len() >= 300
    });
    if !all_arrived {
        field.complain(format!("{} of 300 arrived in an archive that was emptied again and again", archived.len()));
    }
    field.archived = archived;
    unlimit(scene);
    field.note(Injury::QueueFull, began);
    scene.conclude_without_repeats(field)
}

/// Publishes messages that fail, and waits until all of them wait.
fn wait_on_retry(field: &mut Field, messages: u64) {
    field.publish(messages);
    field.start_all();
    let connection = field.connect();
    let first = field.settings.retry_queues().remove(0);
    eventually("all wait for their retry", SOON, || field.ready(&connection, &first) == messages);
    assert!(field.entries().iter().all(|entry| entry.deed == Deed::Failed), "none has come back yet");
}

fn limit(scene: &Scene<'_>, pattern: &str, messages: u32) {
    let definition = format!(r#"{{"max-length":{messages},"overflow":"reject-publish"}}"#);
    scene.node.ctl(&["set_policy", "full", pattern, &definition, "--apply-to", "queues"]);
}

fn unlimit(scene: &Scene<'_>) {
    scene.node.ctl(&["clear_policy", "full"]);
}
