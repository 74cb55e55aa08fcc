//! A queue full of bytes that refuses, on classic queues.

use crate::broker::bench::{assert_fault, death, deaths, text, Bench, SOON};
use bootstep::{Fault, Publication};

cases![
    a_queue_full_of_bytes_refuses_what_does_not_fit_and_takes_what_does,
    a_queue_full_of_bytes_may_send_the_newcomer_to_the_dead_letters,
];

fn a_queue_full_of_bytes_refuses_what_does_not_fit_and_takes_what_does(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_length_bytes(5).overflow("reject-publish"));
    bench.send(&queue, &["1234"]);
    assert_fault(bench.connection.publish(&[Publication::new("", &queue, "56")], SOON), Fault::NotTaken);

    bench.send(&queue, &["7"]);
    bench.assert_holds(&queue, &["1234", "7"]);
}

fn a_queue_full_of_bytes_may_send_the_newcomer_to_the_dead_letters(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let full = bench.queue().max_length(9).max_length_bytes(1).overflow("reject-publish-dlx").dead_letter_to("", &dead);
    let queue = bench.declare(full);
    bench.send(&queue, &["1"]);
    assert_fault(bench.connection.publish(&[Publication::new("", &queue, "2")], SOON), Fault::NotTaken);

    let message = bench.take_one(&dead);
    assert_eq!(text(&message), "2");
    assert_eq!(deaths(&message), [death(1, "maxlen", &queue, "", &[&queue])]);
    bench.assert_holds(&queue, &["1"]);
}
