//! What a declaration answers, and how it says what stands in its way.

use super::bench::{assert_fault, next, Bench};
use bootstep::{Exchange, Fault, Publication, Queue};
use std::time::Duration;

cases_by_queue_type![
    declaring_again_is_fine_and_counts_messages_and_consumers,
    a_queue_with_other_arguments_says_which_and_how,
    a_number_is_the_same_whatever_its_width,
    purging_counts_what_was_ready_and_leaves_what_is_out,
    deleting_counts_what_was_on_the_queue,
    a_queue_deleted_and_declared_again_is_another,
    arguments_that_make_no_sense_are_refused,
];

fn declaring_again_is_fine_and_counts_messages_and_consumers(bench: &Bench) {
    let queue = bench.queue().max_length(10);
    let status = bench.connection.declare_queue(&queue).unwrap();
    assert_eq!((status.name.as_str(), status.messages, status.consumers), (queue.name.as_str(), 0, 0));

    bench.send(&queue.name, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue.name, 1, |inbox| {
        next(inbox);
        bench.wait_for_ready(&queue.name, 2);
        let status = bench.connection.declare_queue(&queue).unwrap();
        (status.messages, status.consumers)
    });
    assert_eq!(consumed.unwrap(), (2, 1));
}

fn a_queue_with_other_arguments_says_which_and_how(bench: &Bench) {
    let plain = || bench.queue();
    check(bench, plain().max_length(1000), |queue| queue.max_length(500), "`x-max-length` is 1000 there, 500 here");
    check(
        bench,
        plain().max_length(1000),
        |queue| without(queue, "x-max-length"),
        "`x-max-length` is 1000 there, not set here",
    );
    check(bench, plain(), |queue| queue.max_length(500), "`x-max-length` is not set there, 500 here");
    let ttl = |ms| move |queue: Queue| queue.message_ttl(Duration::from_millis(ms));
    check(bench, ttl(1000)(plain()), ttl(2000), "`x-message-ttl` is 1000 there, 2000 here");
    check(
        bench,
        plain().dead_letter_to("one", "key"),
        |queue| queue.dead_letter_to("two", "key"),
        "`x-dead-letter-exchange` is one there, two here",
    );
    check(
        bench,
        plain().dead_letter_to("one", "key"),
        |queue| queue.dead_letter_to("one", "other"),
        "`x-dead-letter-routing-key` is key there, other here",
    );
    if bench.is_quorum() {
        check(bench, plain(), Queue::classic, "`x-queue-type` is quorum there, classic here");
    } else {
        check(bench, plain(), Queue::quorum, "`x-queue-type` is classic there, quorum here");
    }
}

fn without(mut queue: Queue, argument: &str) -> Queue {
    queue.arguments.remove(argument);
    queue
}

#[track_caller]
fn check(bench: &Bench, there: Queue, change: impl FnOnce(Queue) -> Queue, expected: &str) {
    bench.connection.declare_queue(&there).unwrap();
    let err = bench.connection.declare_queue(&change(there.clone())).unwrap_err();
    assert_eq!(err.fault(), Fault::Mismatch);
    assert_eq!(err.to_string(), format!("queue `{}` exists with other arguments: {expected}", there.name));
}

fn a_number_is_the_same_whatever_its_width(bench: &Bench) {
    let queue = bench.queue();
    bench.declare(queue.clone().argument("x-max-length", 1000i32));
    bench.declare(queue.argument("x-max-length", 1000i64));
}

fn purging_counts_what_was_ready_and_leaves_what_is_out(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        next(inbox);
        bench.wait_for_ready(&queue, 2);
        bench.connection.purge_queue(&queue).unwrap()
    });
    assert_eq!(consumed.unwrap(), 2);

    bench.wait_for_ready(&queue, 1);
    bench.assert_holds(&queue, &["1"]);
    assert_eq!(bench.connection.purge_queue(&queue).unwrap(), 0);
    assert_fault(bench.connection.purge_queue("nobody-declared-this"), Fault::NotFound);
}

fn deleting_counts_what_was_on_the_queue(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2"]);
    assert_eq!(bench.connection.delete_queue(&queue).unwrap(), 2);
    assert_fault(bench.connection.declare_queue(&Queue::existing(&queue)), Fault::NotFound);
    // Gone is gone: deleting it again is no error.
    assert_eq!(bench.connection.delete_queue(&queue).unwrap(), 0);
}

fn a_queue_deleted_and_declared_again_is_another(bench: &Bench) {
    let exchange = bench.exchange(Exchange::fanout);
    let queue = bench.queue();
    bench.declare(queue.clone().bind(&exchange, "").max_length(1));
    bench.send(&queue.name, &["before"]);
    bench.connection.delete_queue(&queue.name).unwrap();
    bench.declare(queue.clone());
    bench.publish(Publication::new(&exchange, "", "unbound"));

    bench.assert_holds(&queue.name, &[]);
}

fn arguments_that_make_no_sense_are_refused(bench: &Bench) {
    for queue in [
        bench.queue().argument("x-message-ttl", -1),
        bench.queue().argument("x-message-ttl", "soon"),
        bench.queue().argument("x-max-length", -1),
        bench.queue().argument("x-max-length", true),
        bench.queue().argument("x-overflow", "explode"),
        bench.queue().argument("x-dead-letter-exchange", 1),
        bench.queue().argument("x-dead-letter-routing-key", "no exchange"),
        bench.queue().argument("x-queue-type", "no such type"),
    ] {
        let declared = bench.connection.declare_queue(&queue);
        assert_eq!(declared.map_err(|err| err.fault()), Err(Fault::Mismatch), "{:?}", queue.arguments);
    }
}
