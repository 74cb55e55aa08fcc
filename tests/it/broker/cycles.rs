//! Dead letters that come round: what would go on for ever by itself ends (<https://www.rabbitmq.com/docs/dlx#cycles>).

use super::bench::{death, deaths, next, text, texts, Bench};
use bootstep::Queue;
use std::time::Duration;

cases_by_queue_type![
    a_message_that_expires_from_queue_to_queue_ends_where_it_began,
    a_message_pushed_out_to_its_own_queue_is_dropped,
    a_message_pushed_out_and_then_expired_ends_where_it_began,
    a_rejection_on_the_way_round_lets_a_message_go_on,
    a_rejection_before_the_last_round_does_not_count,
    a_rejection_by_a_queue_is_no_end_even_if_the_rest_is_automatic,
];

mod by_returns {
    use super::*;

    quorum_cases![
        a_message_that_came_back_too_often_does_not_go_to_its_own_queue,
        a_message_that_came_back_too_often_and_then_expires_ends_where_it_began,
        a_message_that_came_back_too_often_after_a_rejection_goes_on,
    ];
}

const SHORT: Duration = Duration::from_millis(30);

/// Queues in a ring, each of which dead-letters to the next.
fn ring<const N: usize>(bench: &Bench, queues: [impl FnOnce(Queue) -> Queue; N]) -> [String; N] {
    let plain = [(); N].map(|()| bench.queue());
    let names = plain.each_ref().map(|queue| queue.name.clone());
    for (place, (queue, make)) in plain.into_iter().zip(queues).enumerate() {
        bench.declare(make(queue.dead_letter_to("", &names[(place + 1) % N])));
    }
    names
}

fn expiring(queue: Queue) -> Queue {
    queue.message_ttl(SHORT)
}

fn as_it_is(queue: Queue) -> Queue {
    queue
}

#[track_caller]
fn reject_one(bench: &Bench, queue: &str) {
    let consumed = bench.connection.consume(queue, 1, |inbox| {
        let letter = next(inbox);
        inbox.reject(letter.tag).unwrap();
    });
    consumed.unwrap();
}

/// Waits for longer than any message takes round so many queues.
#[track_caller]
fn let_rounds_pass(bench: &Bench, queues: usize) {
    let long = SHORT * (queues as u32 + 2);
    let dead = bench.declare(bench.queue());
    let sentinels = bench.declare(bench.queue().message_ttl(long).dead_letter_to("", &dead));
    bench.send(&sentinels, &["sentinel"]);
    for _ in 0..queues + 2 {
        bench.let_pass(SHORT);
    }
    bench.take_one(&dead);
}

#[track_caller]
fn assert_gone(bench: &Bench, queues: &[String]) {
    let_rounds_pass(bench, queues.len());
    for queue in queues {
        bench.wait_for_ready(queue, 0);
    }
}

fn a_message_that_expires_from_queue_to_queue_ends_where_it_began(bench: &Bench) {
    let [first, second, third] = ring(bench, [expiring as fn(Queue) -> Queue, expiring, as_it_is]);
    bench.send(&first, &["body"]);
    bench.let_pass(SHORT);
    bench.let_pass(SHORT);
    let expected = [death(1, "expired", &second, "", &[&second]), death(1, "expired", &first, "", &[&first])];
    assert_eq!(deaths(&bench.take_one(&third)), expected);

    let round = ring(bench, [expiring as fn(Queue) -> Queue, expiring, expiring]);
    bench.send(&round[0], &["body"]);
    assert_gone(bench, &round);
}

fn a_message_pushed_out_to_its_own_queue_is_dropped(bench: &Bench) {
    let [queue] = ring(bench, [|queue: Queue| queue.max_length(1)]);
    bench.send(&queue, &["1", "2", "3"]);

    bench.wait_for_ready(&queue, 1);
    bench.assert_holds(&queue, &["3"]);
}

fn a_message_pushed_out_and_then_expired_ends_where_it_began(bench: &Bench) {
    let [full, waiting] = ring(bench, [(|queue: Queue| queue.max_length(1)) as fn(Queue) -> Queue, expiring]);
    bench.send(&full, &["1", "2"]);
    assert_gone(bench, &[waiting]);

    bench.assert_holds(&full, &["2"]);
}

fn a_rejection_on_the_way_round_lets_a_message_go_on(bench: &Bench) {
    let [main, retry] = ring(bench, [as_it_is as fn(Queue) -> Queue, expiring]);
    bench.send(&main, &["body"]);
    for _ in 0..3 {
        reject_one(bench, &main);
        bench.let_pass(SHORT);
    }

    let expected = [death(3, "expired", &retry, "", &[&retry]), death(3, "rejected", &main, "", &[&main])];
    assert_eq!(deaths(&bench.take_one(&main)), expected);
}

fn a_rejection_before_the_last_round_does_not_count(bench: &Bench) {
    // Rejected to the ring from outside, and from there on by itself.
    let round = ring(bench, [expiring as fn(Queue) -> Queue, expiring]);
    let outside = bench.declare(bench.queue().dead_letter_to("", &round[0]));
    bench.send(&outside, &["body"]);
    reject_one(bench, &outside);
    if bench.connection.server().starts_with("RabbitMQ 3") {
        // It goes by the order of deaths that it has turned round, and this one never ends.
        let_rounds_pass(bench, 6);
        assert!(deaths(&bench.take_one(&round[0])).iter().any(|death| death["count"].as_i64() > Some(1)));
        return;
    }

    assert_gone(bench, &round);
}

fn a_rejection_by_a_queue_is_no_end_even_if_the_rest_is_automatic(bench: &Bench) {
    let [main, first, second] = ring(bench, [as_it_is as fn(Queue) -> Queue, expiring, expiring]);
    bench.send(&main, &["body"]);
    reject_one(bench, &main);
    bench.let_pass(SHORT);
    bench.let_pass(SHORT);

    let message = bench.take_one(&main);
    assert_eq!(text(&message), "body");
    let mut expected = [(&second, "expired"), (&first, "expired"), (&main, "rejected")];
    // RabbitMQ 3.x turns the order of earlier deaths round with each further one.
    if bench.connection.server().starts_with("RabbitMQ 3") {
        expected[1..].reverse();
    }
    assert_eq!(deaths(&message), expected.map(|(queue, reason)| death(1, reason, queue, "", &[queue])));
}

/// Takes one and hands it back by ending the consumer.
#[track_caller]
fn abandon(bench: &Bench, queue: &str) {
    bench.connection.consume(queue, 1, |inbox| drop(next(inbox))).unwrap();
}

fn a_message_that_came_back_too_often_does_not_go_to_its_own_queue(bench: &Bench) {
    let [queue] = ring(bench, [|queue: Queue| queue.delivery_limit(0)]);
    bench.send(&queue, &["1", "2"]);
    abandon(bench, &queue);

    bench.wait_for_ready(&queue, 1);
    assert_eq!(texts(&bench.take(&queue, 1)), ["2"]);
}

fn a_message_that_came_back_too_often_and_then_expires_ends_where_it_began(bench: &Bench) {
    let [main, retry] = ring(bench, [(|queue: Queue| queue.delivery_limit(0)) as fn(Queue) -> Queue, expiring]);
    bench.send(&main, &["body"]);
    abandon(bench, &main);

    assert_gone(bench, &[main, retry]);
}

fn a_message_that_came_back_too_often_after_a_rejection_goes_on(bench: &Bench) {
    let limited = |queue: Queue| queue.delivery_limit(0);
    let [main, other] = ring(bench, [limited as fn(Queue) -> Queue, as_it_is]);
    bench.send(&main, &["body"]);
    abandon(bench, &main);
    reject_one(bench, &other);
    abandon(bench, &main);

    let expected = [death(2, "delivery_limit", &main, "", &[&main]), death(1, "rejected", &other, "", &[&other])];
    assert_eq!(deaths(&bench.take_one(&other)), expected);
}
