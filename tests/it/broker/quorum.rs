//! What a quorum queue alone does with what comes back: it counts, and it may put it last.

use super::bench::{assert_fault, next, text, Bench};
use bootstep::{Fault, Value};

quorum_cases![
    a_message_that_came_back_says_how_often,
    a_requeued_message_goes_to_the_end_without_a_delivery_limit,
    a_message_whose_consumer_ended_counts_as_returned,
    a_quorum_queue_is_durable_shared_and_stays
];

fn a_message_that_came_back_says_how_often(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1"]);
    // From 4.3 on what is handed back without a fault counts apart (`x-acquired-count`).
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        [None, Some(1), Some(2)].map(|_| {
            let letter = next(inbox);
            inbox.requeue(letter.tag).unwrap();
            letter.message.header("x-delivery-count").cloned()
        })
    });
    let counted = [None, Some(Value::I64(1)), Some(Value::I64(2))];
    assert_eq!(consumed.unwrap(), if bench.is_rabbitmq_from(4, 3) { [None, None, None] } else { counted });
}

fn a_requeued_message_goes_to_the_end_without_a_delivery_limit(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let first = next(inbox);
        inbox.requeue(first.tag).unwrap();
        [(); 3].map(|()| {
            let letter = next(inbox);
            inbox.ack(letter.tag).unwrap();
            (text(&letter.message), letter.message.is_redelivered())
        })
    });
    let mut expected = [("2".to_owned(), false), ("3".to_owned(), false), ("1".to_owned(), true)];
    // There every quorum queue has a limit, 20 unless it says otherwise; with a limit, a message goes back to the front.
    if bench.connection.server().starts_with("RabbitMQ 4") {
        expected.rotate_right(1);
    }
    assert_eq!(consumed.unwrap(), expected);
}

fn a_message_whose_consumer_ended_counts_as_returned(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1"]);
    bench.connection.consume(&queue, 1, |inbox| drop(next(inbox))).unwrap();
    bench.wait_for_ready(&queue, 1);

    assert_eq!(bench.take_one(&queue).header("x-delivery-count"), Some(&Value::I64(1)));
}

fn a_quorum_queue_is_durable_shared_and_stays(bench: &Bench) {
    for queue in [bench.queue().transient(), bench.queue().exclusive(), bench.queue().auto_delete()] {
        assert_fault(bench.connection.declare_queue(&queue), Fault::Mismatch);
    }
}
