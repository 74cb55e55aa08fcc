//! A full queue that refuses, on classic queues: a quorum queue takes some more before it does.

use crate::broker::bench::{assert_fault, death, deaths, next, text, Bench, SOON};
use bootstep::{Exchange, Fault, Publication};

cases![
    a_full_queue_that_refuses_is_an_error_for_the_publisher,
    a_full_queue_that_refuses_may_send_the_newcomer_to_the_dead_letters,
    one_full_queue_of_several_is_an_error_and_the_others_have_it,
    a_dead_letter_that_a_full_queue_refuses_is_lost,
];

fn a_full_queue_that_refuses_is_an_error_for_the_publisher(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_length(1).overflow("reject-publish"));
    bench.send(&queue, &["1"]);
    assert_fault(bench.connection.publish(&[Publication::new("", &queue, "2")], SOON), Fault::NotTaken);

    bench.assert_holds(&queue, &["1"]);
    bench.send(&queue, &["3"]);
    bench.assert_holds(&queue, &["3"]);
}

fn a_full_queue_that_refuses_may_send_the_newcomer_to_the_dead_letters(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let full = bench.queue().max_length(1).overflow("reject-publish-dlx").dead_letter_to("", &dead);
    let queue = bench.declare(full);
    bench.send(&queue, &["1"]);
    assert_fault(bench.connection.publish(&[Publication::new("", &queue, "2")], SOON), Fault::NotTaken);

    let message = bench.take_one(&dead);
    assert_eq!(text(&message), "2");
    assert_eq!(deaths(&message), [death(1, "maxlen", &queue, "", &[&queue])]);
    bench.assert_holds(&queue, &["1"]);
}

fn one_full_queue_of_several_is_an_error_and_the_others_have_it(bench: &Bench) {
    let exchange = bench.exchange(Exchange::fanout);
    let full = bench.declare(bench.queue().bind(&exchange, "").max_length(1).overflow("reject-publish"));
    let roomy = bench.declare(bench.queue().bind(&exchange, ""));
    bench.send(&full, &["1"]);
    assert_fault(bench.connection.publish(&[Publication::new(&exchange, "", "2")], SOON), Fault::NotTaken);

    bench.assert_holds(&full, &["1"]);
    bench.assert_holds(&roomy, &["2"]);
}

fn a_dead_letter_that_a_full_queue_refuses_is_lost(bench: &Bench) {
    let dead = bench.declare(bench.queue().max_length(1).overflow("reject-publish"));
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    bench.send(&dead, &["full"]);
    bench.send(&queue, &["1", "2"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let letter = next(inbox);
        inbox.reject(letter.tag).unwrap();
    });
    consumed.unwrap();

    bench.wait_for_ready(&queue, 1);
    bench.assert_holds(&queue, &["2"]);
    bench.assert_holds(&dead, &["full"]);
}
