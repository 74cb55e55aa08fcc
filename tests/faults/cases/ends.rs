//! How a worker ends: at the first SIGTERM, at the second, with the broker there, gone or silent.

use super::{gate, open, Scene, SOON};
use crate::field::Field;
use crate::injury::Injury;
use crate::judge::Verdict;
use crate::link::{Direction, Flow};
use crate::settings::{Kind, Mix, Settings};
use crate::support::wait::eventually;
use crate::support::{now_ms, pass};
use std::time::Duration;

/// 500 messages are with the worker; within a second it is gone, and each is handed back or done, none twice.
pub fn sigterm_with_500(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let gate = gate();
    let settings = Settings { prefetch: 500, ..scene.gated(Mix::Acked, &gate) };
    let mut field = Field::new(scene.node, settings, 1);
    field.publish(5_000);
    field.start_all();
    until_ready(&field, 4_500);
    open(&gate);
    end_within(&mut field, Duration::from_secs(1), 0);
    match scene.kind {
        Kind::Classic => scene.conclude_without_repeats(field),
        // RabbitMQ passes acks on to a quorum queue in its own time, and forgets those that it has not when the channel closes.
        Kind::Quorum => {
            let (mut field, verdict) = scene.conclude(field);
            field.measured.push(format!("acks that RabbitMQ forgot: {}", verdict.repeated));
            (field, verdict)
        }
    }
}

/// Handlers that do not end hold up the first SIGTERM, and not the second.
pub fn second_sigterm(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let gate = gate();
    let settings = Settings { drain_ms: 30_000, ..scene.gated(Mix::Acked, &gate) };
    let mut field = Field::new(scene.node, settings, 1);
    field.publish(1_000);
    field.start_all();
    until_ready(&field, 900);
    field.seats[0].terminate();
    // What no handler has begun is back, the rest is waited for: at most one for each thread.
    let begun = u64::try_from(field.settings.threads).expect("it is small");
    let connection = field.connect();
    let is_back = || (1_000 - begun..1_000).contains(&field.ready(&connection, &field.settings.queue));
    eventually("what no handler has begun is back", SOON, is_back);
    assert!(field.seats[0].is_running(), "the first SIGTERM did not wait for running handlers");
    end_within(&mut field, Duration::from_secs(1), 1);
    open(&gate);
    scene.conclude_without_repeats(field)
}

/// The broker is gone, and the worker ends all the same.
pub fn sigterm_broker_down(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut field = Field::new(scene.node, scene.settings(Mix::Acked), 1);
    field.start_all();
    field.settle_in();
    field.publish(3_000);
    eventually("the worker is at work", SOON, || !field.entries().is_empty());
    let began = now_ms();
    scene.node.kill();
    end_within(&mut field, Duration::from_secs(3), 0);
    scene.node.restart();
    field.note(Injury::BrokerKilled, began);
    scene.conclude(field)
}

/// The broker says nothing and hears nothing, and the worker ends within its drain limit and a little more.
pub fn sigterm_broker_silent(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut field = Field::new(scene.node, scene.settings(Mix::FailingOnce), 1);
    field.publish(3_000);
    field.start_all();
    eventually("the worker is at work", SOON, || !field.entries().is_empty());
    let began = now_ms();
    for link in field.seats[0].proxy().links() {
        link.set(Direction::ToBroker, Flow::Silent);
        link.set(Direction::ToWorker, Flow::Silent);
    }
    field.seats[0].terminate();
    let limit = Duration::from_millis(field.settings.drain_ms) + Duration::from_secs(2);
    match field.seats[0].wait(limit) {
        Some(0 | 1) => {}
        Some(code) => field.complain(format!("the worker ended with code {code}")),
        None => field.complain(format!("the worker had not ended {limit:?} after SIGTERM")),
    }
    field.seats[0].kill();
    field.note(Injury::SilenceToBroker, began);
    scene.conclude(field)
}

/// Three workers are restarted in turn, twice, while messages flow: nothing runs twice, because each hands back what it has.
pub fn rolling_restart(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let settings = Settings { drain_ms: 10_000, ..scene.settings(Mix::OutOfOrder) };
    let mut field = Field::new(scene.node, settings.clone(), 3);
    field.start_all();
    let url = field.url().to_owned();
    let mut published = std::mem::take(&mut field.published);
    let publisher = std::thread::spawn(move || {
        let outcome = published.publish(&url, &settings, 6_000, Duration::from_secs(5));
        (published, outcome)
    });
    for seat in [0, 1, 2, 0, 1, 2] {
        let began = now_ms();
        pass(Duration::from_millis(500));
        match field.seats[seat].stop(Duration::from_secs(11)) {
            Ok((_, 0)) => {}
            Ok((_, code)) => field.complain(format!("a worker ended with code {code}")),
            Err(what) => field.complain(what),
        }
        field.note(Injury::Terminated, began);
        field.seats[seat].start();
    }
    let (published, outcome) = publisher.join().expect("the publisher does not panic");
    field.published = published;
    outcome.unwrap_or_else(|what| field.complain(what));
    scene.conclude_without_repeats(field)
}

fn until_ready(field: &Field, messages: u32) {
    let connection = field.connect();
    let queue = field.settings.queue.clone();
    eventually(&format!("{messages} messages are ready"), SOON, || field.ready(&connection, &queue) == u64::from(messages));
}

fn end_within(field: &mut Field, limit: Duration, wanted: i32) {
    let began = now_ms();
    match field.seats[0].stop(limit) {
        Ok((took, code)) if code == wanted => field.measured.push(format!("gone {} ms after SIGTERM", took.as_millis())),
        Ok((_, code)) => field.complain(format!("SIGTERM ended the worker with code {code} and not {wanted}")),
        Err(what) => field.complain(what),
    }
    field.note(Injury::Terminated, began);
}
