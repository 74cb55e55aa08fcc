//! Things that break by themselves, one sort at a time and to be measured.

use super::{gate, open, Scene, SOON};
use crate::field::Field;
use crate::injury::{clear_alarm, raise_alarm, Injury};
use crate::judge::Verdict;
use crate::settings::{DeadLetters, Mix, Settings};
use crate::support::wait::eventually;
use crate::support::{now_ms, pass};
use std::time::Duration;

/// The broker is killed and comes back, twice: workers consume again within two seconds of its first answer.
pub fn recovery(scene: &mut Scene<'_>) -> (Field, Verdict) {
    const LIMIT_MS: u64 = 2_000;
    let settings = Settings { prefetch: 20, threads: 4, ..scene.settings(Mix::OutOfOrder) };
    let mut field = Field::new(scene.node, settings, 2);
    field.start_all();
    field.settle_in();
    for _ in 0..2 {
        field.publish(800);
        let began = now_ms();
        scene.node.kill();
        scene.node.restart();
        let answered = now_ms();
        let first_after = |field: &Field| field.entries().iter().map(|entry| entry.at_ms).find(|at| *at >= answered);
        eventually("a worker consumes again", SOON, || first_after(&field).is_some());
        let took_ms = first_after(&field).map_or(0, |at| at - answered);
        field.measured.push(format!("consuming {took_ms} ms after the broker answered again"));
        if took_ms > LIMIT_MS {
            field.complain(format!("consuming again took {took_ms} ms"));
        }
        field.note(Injury::BrokerKilled, began);
        field.hops.push((began, answered));
    }
    scene.conclude(field)
}

/// Handlers of very different length, every third message rejected by way of the broker: a worker that dies at any moment has
/// never acked what it had not settled.
pub fn killed_out_of_order(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let settings = Settings { dead_letters: DeadLetters::ByBroker, prefetch: 500, ..scene.settings(Mix::OutOfOrder) };
    let mut rng = fastrand::Rng::with_seed(scene.seed);
    let mut field = Field::new(scene.node, settings, 1);
    field.publish(2_000);
    for _ in 0..5 {
        field.start_all();
        let before = field.entries().len();
        eventually("the worker is at work", SOON, || field.entries().len() > before);
        pass(Duration::from_millis(rng.u64(0..300)));
        let began = now_ms();
        field.seats[0].kill();
        field.note(Injury::WorkerKilled, began);
    }
    scene.conclude(field)
}

/// The worker dies each time when the broker has confirmed a move and the original is not acked yet.
pub fn killed_at_confirm(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut rng = fastrand::Rng::with_seed(scene.seed);
    let mut field = Field::new(scene.node, scene.settings(Mix::FailingOnce), 1);
    field.start_all();
    for _ in 0..4 {
        field.publish(300);
        Injury::WorkerKilledAtConfirm.inject(scene.node, &mut field, &mut rng);
    }
    scene.conclude(field)
}

/// The broker takes no publishes while everything is to be moved; nothing is cut, so nothing runs twice.
pub fn alarm_during_retries(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let gate = gate();
    let mut field = Field::new(scene.node, scene.gated(Mix::FailingOnce, &gate), 2);
    field.publish(1_000);
    field.start_all();
    let connection = field.connect();
    eventually("both have their prefetch", SOON, || field.ready(&connection, &field.settings.queue) == 800);
    let began = now_ms();
    raise_alarm(scene.node);
    open(&gate);
    pass(Duration::from_secs(2));
    clear_alarm(scene.node);
    field.note(Injury::MemoryAlarm, began);
    scene.conclude_without_repeats(field)
}

/// Handlers hold their messages longer than the broker waits: they come again, and the worker goes on.
pub fn consumer_timeout(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let gate = gate();
    let set = |timeout_ms: u32, tick_ms: u32| {
        let both = [("consumer_timeout", timeout_ms), ("channel_tick_interval", tick_ms)];
        let set = both.map(|(name, ms)| format!("application:set_env(rabbit, {name}, {ms})")).join(", ");
        scene.node.ctl(&["eval", &format!("{set}.")]);
    };
    // A channel reads both when it is opened.
    set(1_000, 250);
    let mut field = Field::new(scene.node, scene.gated(Mix::Acked, &gate), 1);
    field.publish(500);
    let began = now_ms();
    field.start_all();
    eventually("the broker has had enough", SOON, || field.logs_say("consumer timeout"));
    set(1_800_000, 60_000);
    open(&gate);
    field.note(Injury::ChannelClosed, began);
    scene.conclude(field)
}

/// Each fault of the storms once, so that none is left to chance.
pub fn every_fault(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut rng = fastrand::Rng::with_seed(scene.seed);
    let settings = scene.settings(Mix::Everything);
    let mut field = Field::new(scene.node, settings.clone(), 3);
    field.start_all();
    let url = field.url().to_owned();
    let mut published = std::mem::take(&mut field.published);
    let publisher = std::thread::spawn(move || {
        let outcome = published.publish(&url, &settings, 4_000, Duration::from_secs(25));
        (published, outcome)
    });
    field.settle_in();
    let mut faults = Injury::of_storms();
    rng.shuffle(&mut faults);
    for fault in faults {
        field.heal_due();
        pass(Duration::from_millis(rng.u64(0..500)));
        fault.inject(scene.node, &mut field, &mut rng);
    }
    let (published, outcome) = publisher.join().expect("the publisher does not panic");
    field.published = published;
    outcome.unwrap_or_else(|what| field.complain(what));
    scene.conclude(field)
}
