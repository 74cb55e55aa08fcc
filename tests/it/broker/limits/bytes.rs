//! A queue that is full by the bytes of its bodies.

use crate::broker::bench::{death, deaths, next, text, texts, Bench};
use bootstep::Queue;

cases_by_queue_type![
    a_queue_full_of_bytes_drops_its_head,
    a_message_larger_than_its_queue_drops_all_before_it_and_itself,
    bytes_that_consumers_have_do_not_count,
    of_two_limits_the_one_that_is_reached_counts,
    what_comes_back_to_a_queue_full_of_bytes_pushes_the_head_out,
];

const UNIT: usize = 2000;

/// A queue for so many units of bytes. Quorum queues count what they keep beside a body too from 4.3 on: hence some more.
fn units(queue: Queue, units: usize) -> Queue {
    queue.max_length_bytes((units * UNIT + UNIT / 2).try_into().unwrap())
}

/// Sends these, each a unit of bytes long per character.
#[track_caller]
fn send(bench: &Bench, queue: &str, bodies: &[&str]) {
    let bodies: Vec<String> = bodies.iter().map(|body| large(body)).collect();
    bench.send(queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
}

fn large(body: &str) -> String {
    format!("{body:width$}", width = body.len() * UNIT)
}

fn short(bodies: &[String]) -> Vec<&str> {
    bodies.iter().map(|body| body.trim_end()).collect()
}

#[track_caller]
fn assert_holds(bench: &Bench, queue: &str, bodies: &[&str]) {
    let bodies: Vec<String> = bodies.iter().map(|body| large(body)).collect();
    bench.assert_holds(queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
}

fn a_queue_full_of_bytes_drops_its_head(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(units(bench.queue(), 5).dead_letter_to("", &dead));
    send(bench, &queue, &["12", "34", "5", "67"]);

    let message = bench.take_one(&dead);
    assert_eq!((text(&message).trim_end(), deaths(&message)), ("12", vec![death(1, "maxlen", &queue, "", &[&queue])]));
    assert_holds(bench, &queue, &["34", "5", "67"]);
    bench.assert_holds(&dead, &[]);
}

fn a_message_larger_than_its_queue_drops_all_before_it_and_itself(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(units(bench.queue(), 3).dead_letter_to("", &dead));
    send(bench, &queue, &["1", "2", "large"]);

    let dropped = texts(&bench.take(&dead, 3));
    // What a quorum queue drops at once comes backwards up to 4.2.
    if bench.is_quorum() && !bench.is_rabbitmq_from(4, 3) {
        assert_eq!(short(&dropped), ["large", "2", "1"]);
    } else {
        assert_eq!(short(&dropped), ["1", "2", "large"]);
    }
    bench.assert_holds(&queue, &[]);
}

fn bytes_that_consumers_have_do_not_count(bench: &Bench) {
    let queue = bench.declare(units(bench.queue(), 2));
    let seen = bench.connection.consume(&queue, 2, |inbox| {
        send(bench, &queue, &["12"]);
        let first = next(inbox);
        send(bench, &queue, &["34"]);
        let second = next(inbox);
        send(bench, &queue, &["56"]);
        inbox.ack_up_to(second.tag).unwrap();
        texts(&[first.message, second.message, next(inbox).message])
    });
    assert_eq!(short(&seen.unwrap()), ["12", "34", "56"]);
}

fn of_two_limits_the_one_that_is_reached_counts(bench: &Bench) {
    let queue = bench.declare(units(bench.queue().max_length(3), 6));
    send(bench, &queue, &["1", "2", "3", "4"]);
    bench.wait_for_ready(&queue, 3);
    send(bench, &queue, &["5555"]);
    bench.wait_for_ready(&queue, 3);
    send(bench, &queue, &["66"]);
    assert_holds(bench, &queue, &["5555", "66"]);
}

fn what_comes_back_to_a_queue_full_of_bytes_pushes_the_head_out(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(units(bench.queue(), 4).dead_letter_to("", &dead));
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        send(bench, &queue, &["12"]);
        next(inbox);
        send(bench, &queue, &["345"]);
    });
    consumed.unwrap();

    assert_eq!(short(&texts(&bench.take(&dead, 1))), ["12"]);
    assert_holds(bench, &queue, &["345"]);
}
