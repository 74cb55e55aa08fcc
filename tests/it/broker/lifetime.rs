//! What exists for how long, whose it is, and what is said of what does not exist.

use super::bench::{assert_fault, next, Bench, SOON};
use crate::support::wait::eventually;
use bootstep::{Binding, Exchange, Fault, Publication, Queue};

cases![
    consuming_a_missing_queue_is_not_found,
    a_passive_declaration_of_what_is_missing_is_not_found,
    deleting_a_queue_cancels_its_consumers,
    an_auto_delete_queue_goes_with_its_last_consumer,
    an_auto_delete_exchange_goes_with_its_last_binding,
    an_exclusive_queue_is_locked_for_another_connection_and_goes_with_its_own,
    the_broker_names_a_queue_without_a_name,
    a_queue_that_lives_shorter_or_longer_is_another,
    an_exchange_of_another_kind_says_so,
    a_name_that_starts_as_the_brokers_own_is_refused,
];

fn consuming_a_missing_queue_is_not_found(bench: &Bench) {
    assert_fault(bench.connection.consume("nobody-declared-this", 1, |_| ()), Fault::NotFound);
}

fn a_passive_declaration_of_what_is_missing_is_not_found(bench: &Bench) {
    assert_fault(bench.connection.declare_queue(&Queue::existing("nobody-declared-this")), Fault::NotFound);
    assert_fault(bench.connection.declare_exchange(&Exchange::existing("nobody-declared-this")), Fault::NotFound);

    let (queue, exchange) = (bench.declare(bench.queue()), bench.exchange(Exchange::topic));
    bench.connection.declare_queue(&Queue::existing(queue)).unwrap();
    bench.connection.declare_exchange(&Exchange::existing(exchange)).unwrap();
}

fn deleting_a_queue_cancels_its_consumers(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        next(inbox);
        bench.connection.delete_queue(&queue).unwrap();
        inbox.next(SOON).unwrap_err()
    });
    let err = consumed.unwrap();
    assert_eq!(err.fault(), Fault::NotFound);
    assert!(err.to_string().contains("cancelled"), "{err}");
}

fn an_auto_delete_queue_goes_with_its_last_consumer(bench: &Bench) {
    let queue = bench.declare(bench.queue().auto_delete());
    let consumed = bench.connection.consume(&queue, 1, |_| {
        bench.connection.consume(&queue, 1, |_| ()).unwrap();
        bench.connection.declare_queue(&Queue::existing(&queue)).unwrap();
    });
    consumed.unwrap();

    eventually("the queue is gone", SOON, || is_missing(bench, &Queue::existing(&queue)));
}

fn is_missing(bench: &Bench, queue: &Queue) -> bool {
    bench.connection.declare_queue(queue).is_err_and(|err| err.fault() == Fault::NotFound)
}

fn an_auto_delete_exchange_goes_with_its_last_binding(bench: &Bench) {
    let exchange = bench.exchange(|name| Exchange::direct(name).auto_delete());
    let queue = bench.declare(bench.queue().bind(&exchange, "one").bind(&exchange, "two"));
    bench.connection.unbind(&queue, &Binding::new(&exchange, "one")).unwrap();
    bench.publish(Publication::new(&exchange, "two", "still there"));

    bench.connection.delete_queue(&queue).unwrap();
    assert_fault(bench.connection.declare_exchange(&Exchange::existing(exchange)), Fault::NotFound);
}

fn an_exclusive_queue_is_locked_for_another_connection_and_goes_with_its_own(bench: &Bench) {
    let owner = bench.broker.connect("owner").unwrap();
    let queue = bench.queue().exclusive();
    owner.declare_queue(&queue).unwrap();
    owner.publish(&[Publication::new("", &queue.name, "1")], SOON).unwrap();
    let body = owner.consume(&queue.name, 1, |inbox| next(inbox).message.body().to_vec());
    assert_eq!(body.unwrap(), b"1");

    assert_fault(bench.connection.declare_queue(&queue), Fault::Locked);
    assert_fault(bench.connection.declare_queue(&Queue::existing(&queue.name)), Fault::Locked);
    assert_fault(bench.connection.consume(&queue.name, 1, |_| ()), Fault::Locked);
    assert_fault(bench.connection.purge_queue(&queue.name), Fault::Locked);
    assert_fault(bench.connection.delete_queue(&queue.name), Fault::Locked);
    // Publishing to it is allowed to everybody.
    bench.send(&queue.name, &["2"]);

    owner.close(SOON);
    eventually("the queue is gone", SOON, || is_missing(bench, &Queue::existing(&queue.name)));
}

fn the_broker_names_a_queue_without_a_name(bench: &Bench) {
    // Exclusive, because 4.3 has no other queues that nobody would find again.
    let first = bench.declare(Queue::new("").exclusive());
    let second = bench.declare(Queue::new("").exclusive());
    assert!(first.starts_with("amq.gen-") && first != second, "{first}, {second}");

    bench.send(&first, &["here"]);
    bench.assert_holds(&first, &["here"]);
}

fn a_queue_that_lives_shorter_or_longer_is_another(bench: &Bench) {
    let there = bench.queue();
    bench.declare(there.clone());
    for (here, expected) in [
        (there.clone().transient(), "`durable` is true there, false here"),
        (there.clone().auto_delete(), "`auto_delete` is false there, true here"),
    ] {
        let err = bench.connection.declare_queue(&here).unwrap_err();
        assert_eq!(err.fault(), Fault::Mismatch);
        assert_eq!(err.to_string(), format!("queue `{}` exists with other arguments: {expected}", there.name));
    }
    assert_fault(bench.connection.declare_queue(&there.exclusive()), Fault::Locked);
}

fn an_exchange_of_another_kind_says_so(bench: &Bench) {
    let name = bench.exchange(Exchange::direct);
    bench.connection.declare_exchange(&Exchange::direct(&name)).unwrap();
    for (here, expected) in [
        (Exchange::fanout(&name), "`type` is direct there, fanout here"),
        (Exchange::direct(&name).transient(), "`durable` is true there, false here"),
        (Exchange::direct(&name).internal(), "`internal` is false there, true here"),
    ] {
        let err = bench.connection.declare_exchange(&here).unwrap_err();
        assert_eq!(err.fault(), Fault::Mismatch);
        assert_eq!(err.to_string(), format!("exchange `{name}` exists with other arguments: {expected}"));
    }
}

fn a_name_that_starts_as_the_brokers_own_is_refused(bench: &Bench) {
    assert_fault(bench.connection.declare_queue(&Queue::new("amq.mine")), Fault::AccessRefused);
    assert_fault(bench.connection.declare_exchange(&Exchange::direct("amq.mine")), Fault::AccessRefused);
    // Its own exchanges are there, and declaring one as it is changes nothing.
    bench.connection.declare_exchange(&Exchange::direct("amq.direct")).unwrap();
}
