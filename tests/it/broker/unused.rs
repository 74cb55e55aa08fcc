//! Queues that go when nobody uses them (<https://www.rabbitmq.com/docs/ttl#queue-ttl>).

use super::bench::{next, Bench, SOON};
use crate::support::wait::eventually;
use bootstep::{Exchange, Fault, Publication, Queue};
use std::time::Duration;

cases_by_queue_type![
    a_queue_that_nobody_uses_goes_with_its_bindings,
    what_was_on_a_queue_that_nobody_used_is_no_dead_letter,
    a_message_that_expires_before_its_queue_is_a_dead_letter,
    a_queue_that_is_consumed_stays,
    publishing_to_a_queue_is_no_use_of_it,
];

mod declared_again {
    use super::*;

    cases![declaring_a_classic_queue_again_is_a_use_of_it];
    quorum_cases![declaring_a_quorum_queue_again_is_no_use_of_it];
}

/// RabbitMQ looks at its quorum queues every five seconds, if it has the time.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

/// Not asked for by a declaration, which would be a use of it. Over a connection of its own, because RabbitMQ closes that with
/// an internal error if a quorum queue goes just then.
fn is_gone(bench: &Bench, exchange: &str, key: &str) -> bool {
    let probe = bench.broker.connect("probe").unwrap();
    let published = probe.publish(&[Publication::new(exchange, key, "anybody?").mandatory()], SOON);
    published.is_err_and(|err| err.fault() == Fault::NotTaken)
}

#[track_caller]
fn wait_until_gone(bench: &Bench, exchange: &str, key: &str) {
    bench.let_pass(SHORT);
    eventually(&format!("`{key}` is gone"), PATIENCE, || is_gone(bench, exchange, key));
}

fn a_queue_that_nobody_uses_goes_with_its_bindings(bench: &Bench) {
    let exchange = bench.exchange(Exchange::fanout);
    let queue = bench.declare(bench.queue().expires(SHORT).bind(&exchange, ""));
    wait_until_gone(bench, &exchange, "");

    let err = bench.connection.declare_queue(&Queue::existing(queue)).unwrap_err();
    assert_eq!(err.fault(), Fault::NotFound);
}

fn what_was_on_a_queue_that_nobody_used_is_no_dead_letter(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().expires(SHORT).dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2"]);
    wait_until_gone(bench, "", &queue);

    bench.assert_holds(&dead, &[]);
}

fn a_message_that_expires_before_its_queue_is_a_dead_letter(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().expires(SHORT).message_ttl(SHORT / 4).dead_letter_to("", &dead));
    bench.send(&queue, &["1"]);
    bench.let_pass(SHORT);

    bench.assert_holds(&dead, &["1"]);
}

fn a_queue_that_is_consumed_stays(bench: &Bench) {
    let queue = bench.declare(bench.queue().expires(SHORT));
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let other = bench.declare(bench.queue().expires(SHORT));
        wait_until_gone(bench, "", &other);
        bench.send(&queue, &["still there"]);
        let letter = next(inbox);
        inbox.ack(letter.tag).unwrap();
    });
    consumed.unwrap();

    wait_until_gone(bench, "", &queue);
}

fn publishing_to_a_queue_is_no_use_of_it(bench: &Bench) {
    let queue = bench.declare(bench.queue().expires(SHORT));
    eventually("the queue is gone", PATIENCE, || {
        bench.let_pass(SHORT / 4);
        is_gone(bench, "", &queue)
    });
}

fn declaring_a_classic_queue_again_is_a_use_of_it(bench: &Bench) {
    let queue = bench.queue().expires(SHORT * 2);
    bench.declare(queue.clone());
    bench.send(&queue.name, &["1"]);
    for declared in [queue.clone(), Queue::existing(&queue.name)] {
        let other = bench.declare(bench.queue().expires(SHORT * 2));
        eventually("another queue of that age is gone", PATIENCE, || {
            bench.let_pass(SHORT / 4);
            // Were it gone, this would make an empty one, or fail.
            assert_eq!(bench.connection.declare_queue(&declared).unwrap().messages, 1);
            is_gone(bench, "", &other)
        });
    }
}

fn declaring_a_quorum_queue_again_is_no_use_of_it(bench: &Bench) {
    let queue = bench.queue().expires(SHORT);
    bench.declare(queue.clone());
    bench.send(&queue.name, &["1"]);
    eventually("another queue is in its place", PATIENCE, || {
        bench.let_pass(SHORT / 4);
        let probe = bench.broker.connect("probe").unwrap();
        probe.declare_queue(&queue).is_ok_and(|status| status.messages == 0)
    });
}
