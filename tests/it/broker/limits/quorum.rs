//! A full quorum queue that refuses: it notices only when it holds too much.

use crate::broker::bench::{assert_fault, next, texts, Bench, SOON};
use bootstep::{Fault, Publication, Queue};

quorum_cases![
    a_full_quorum_queue_takes_one_too_many_before_it_refuses,
    a_quorum_queue_full_of_bytes_refuses,
    a_quorum_queue_that_refused_takes_again_when_there_is_room,
    a_full_quorum_queue_takes_dead_letters_of_others,
    a_quorum_queue_cannot_send_newcomers_to_the_dead_letters,
];

/// One after the other, each over a channel of its own.
fn send_each(bench: &Bench, queue: &str, bodies: &[&str]) {
    bodies.iter().for_each(|body| bench.send(queue, &[*body]));
}

#[track_caller]
fn assert_refused(bench: &Bench, queue: &str, body: &str) {
    assert_fault(bench.connection.publish(&[Publication::new("", queue, body)], SOON), Fault::NotTaken);
}

fn refusing(queue: Queue) -> Queue {
    queue.overflow("reject-publish")
}

fn a_full_quorum_queue_takes_one_too_many_before_it_refuses(bench: &Bench) {
    let queue = bench.declare(refusing(bench.queue().max_length(2)));
    send_each(bench, &queue, &["1", "2", "3"]);
    assert_refused(bench, &queue, "4");

    bench.assert_holds(&queue, &["1", "2", "3"]);
}

fn a_quorum_queue_full_of_bytes_refuses(bench: &Bench) {
    let queue = bench.declare(refusing(bench.queue().max_length(9).max_length_bytes(3000)));
    // So large that it does not matter what the queue keeps beside them, which counts from 4.3 on.
    let [first, second] = ["1", "2"].map(|body| body.repeat(2000));
    send_each(bench, &queue, &[&first, &second]);
    assert_refused(bench, &queue, "3");

    bench.assert_holds(&queue, &[&first, &second]);
}

fn a_quorum_queue_that_refused_takes_again_when_there_is_room(bench: &Bench) {
    let queue = bench.declare(refusing(bench.queue().max_length(1)));
    send_each(bench, &queue, &["1", "2"]);
    assert_refused(bench, &queue, "3");
    assert_eq!(texts(&bench.take(&queue, 1)), ["1"]);

    // Who has not published to it before is told by what it holds now: as many as it may.
    bench.send(&queue, &["4"]);
    bench.assert_holds(&queue, &["2", "4"]);
}

fn a_full_quorum_queue_takes_dead_letters_of_others(bench: &Bench) {
    let full = bench.declare(refusing(bench.queue().max_length(1)));
    let queue = bench.declare(bench.queue().dead_letter_to("", &full));
    send_each(bench, &full, &["1", "2"]);
    assert_refused(bench, &full, "3");
    bench.send(&queue, &["dead"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let letter = next(inbox);
        inbox.reject(letter.tag).unwrap();
    });
    consumed.unwrap();

    bench.assert_holds(&full, &["1", "2", "dead"]);
}

fn a_quorum_queue_cannot_send_newcomers_to_the_dead_letters(bench: &Bench) {
    // It takes the argument, and does what it would do without.
    let queue = bench.declare(bench.queue().max_length(1).overflow("reject-publish-dlx"));
    send_each(bench, &queue, &["1", "2"]);
    bench.assert_holds(&queue, &["2"]);
}
