//! How often a quorum queue delivers a message (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).

use super::bench::{death, deaths, next, text, texts, Bench};
use bootstep::Value;

quorum_cases![
    a_message_that_came_back_too_often_is_a_dead_letter,
    a_message_that_came_back_too_often_is_dropped_without_dead_letters,
    with_a_delivery_limit_of_zero_nothing_comes_twice,
    with_a_delivery_limit_a_message_goes_back_to_the_front,
    each_message_has_returns_of_its_own,
    a_rejected_message_is_rejected_however_often_it_came,
];

/// Takes that many, hands them back by ending the consumer, and waits until so many are ready.
#[track_caller]
fn abandon(bench: &Bench, queue: &str, count: u16, left: u32) {
    bench.connection.consume(queue, count, |inbox| (0..count).for_each(|_| drop(next(inbox)))).unwrap();
    bench.wait_for_ready(queue, left);
}

fn a_message_that_came_back_too_often_is_a_dead_letter(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().delivery_limit(2).dead_letter_to("", &dead));
    bench.send(&queue, &["body"]);
    [1, 1, 0].into_iter().for_each(|left| abandon(bench, &queue, 1, left));

    let message = bench.take_one(&dead);
    assert_eq!(text(&message), "body");
    assert_eq!(deaths(&message), [death(1, "delivery_limit", &queue, "", &[&queue])]);
    assert_eq!(message.header("x-first-death-reason").and_then(Value::as_str), Some("delivery_limit"));
    bench.assert_holds(&queue, &[]);
}

fn a_message_that_came_back_too_often_is_dropped_without_dead_letters(bench: &Bench) {
    let queue = bench.declare(bench.queue().delivery_limit(1));
    bench.send(&queue, &["1", "2"]);
    [2, 1].into_iter().for_each(|left| abandon(bench, &queue, 1, left));

    bench.assert_holds(&queue, &["2"]);
}

fn with_a_delivery_limit_of_zero_nothing_comes_twice(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().delivery_limit(0).dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2", "3"]);
    abandon(bench, &queue, 3, 0);

    assert_eq!(texts(&bench.take(&dead, 3)), ["1", "2", "3"]);
}

fn with_a_delivery_limit_a_message_goes_back_to_the_front(bench: &Bench) {
    let queue = bench.declare(bench.queue().delivery_limit(5));
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let first = next(inbox);
        inbox.requeue(first.tag).unwrap();
        [(); 3].map(|()| {
            let letter = next(inbox);
            inbox.ack(letter.tag).unwrap();
            text(&letter.message)
        })
    });
    assert_eq!(consumed.unwrap(), ["1", "2", "3"]);
}

fn each_message_has_returns_of_its_own(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().delivery_limit(1).dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2", "3"]);
    abandon(bench, &queue, 1, 3);
    abandon(bench, &queue, 2, 2);
    assert_eq!(texts(&bench.take(&dead, 1)), ["1"]);

    let messages = bench.take(&queue, 2);
    let count = |message: &bootstep::Message| message.header("x-delivery-count").and_then(Value::as_i64);
    let counts: Vec<_> = messages.iter().map(count).collect();
    assert_eq!((texts(&messages), counts), (vec!["2".to_owned(), "3".to_owned()], vec![Some(1), None]));
}

fn a_rejected_message_is_rejected_however_often_it_came(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().delivery_limit(1).dead_letter_to("", &dead));
    bench.send(&queue, &["body"]);
    abandon(bench, &queue, 1, 1);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let letter = next(inbox);
        inbox.reject(letter.tag).unwrap();
    });
    consumed.unwrap();

    assert_eq!(deaths(&bench.take_one(&dead)), [death(1, "rejected", &queue, "", &[&queue])]);
}
