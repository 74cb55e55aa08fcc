//! What the broker refuses about exchanges, and in which words.

use super::bench::{assert_fault, assert_refused, Bench, SOON};
use bootstep::{Binding, Exchange, ExchangeKind, Fault, Properties, Publication};

cases![
    the_default_exchange_cannot_be_declared,
    the_brokers_own_exchanges_can_be_neither_deleted_nor_declared_otherwise,
    an_unknown_type_of_exchange_is_not_supported,
    a_binding_names_the_missing_exchange_before_the_missing_queue,
    a_locked_queue_is_bound_and_unbound_by_nobody_else,
    an_exchange_is_deleted_whatever_is_bound_to_it,
    a_wrong_exchange_is_told_before_a_wrong_message,
];

fn the_default_exchange_cannot_be_declared(bench: &Bench) {
    let words = "ACCESS_REFUSED - operation not permitted on the default exchange";
    for exchange in [Exchange::direct(""), Exchange::fanout(""), Exchange::existing("")] {
        assert_refused(bench.connection.declare_exchange(&exchange), Fault::AccessRefused, words);
    }
}

fn the_brokers_own_exchanges_can_be_neither_deleted_nor_declared_otherwise(bench: &Bench) {
    for own in [
        Exchange::direct("amq.direct"),
        Exchange::fanout("amq.fanout"),
        Exchange::topic("amq.topic"),
        Exchange::headers("amq.headers"),
        Exchange::headers("amq.match"),
        Exchange::topic("amq.rabbitmq.trace").internal(),
    ] {
        bench.connection.declare_exchange(&own).unwrap();
        let words = format!("ACCESS_REFUSED - deletion of system exchange '{}'", own.name);
        assert_refused(bench.connection.delete_exchange(&own.name), Fault::AccessRefused, &words);
        let words = format!("exchange `{}` exists with other arguments: `durable` is true there, false here", own.name);
        assert_refused(bench.connection.declare_exchange(&own.transient()), Fault::Mismatch, &words);
    }
    // The prefix is what counts.
    let words = "ACCESS_REFUSED - deletion of system exchange 'amq.mine'";
    assert_refused(bench.connection.delete_exchange("amq.mine"), Fault::AccessRefused, words);
    let words = "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'";
    assert_refused(bench.connection.declare_exchange(&Exchange::direct("amq.mine")), Fault::AccessRefused, words);
}

fn an_unknown_type_of_exchange_is_not_supported(bench: &Bench) {
    let unknown = |name: &str| Exchange::new(name, ExchangeKind::Other("x-no-such-type".into()));
    // The type is looked at before anything else. 3.10 closes the connection for it.
    for name in ["nobody-declared-this", "amq.direct", ""] {
        let connection = bench.broker.connect("unsupported").unwrap();
        assert_refused(connection.declare_exchange(&unknown(name)), Fault::Unsupported, "x-no-such-type");
    }
    // Whoever only asks whether it is there does not say of which type.
    let there = bench.exchange(Exchange::topic);
    let mut existing = unknown(&there);
    existing.passive = true;
    bench.connection.declare_exchange(&existing).unwrap();
}

fn a_binding_names_the_missing_exchange_before_the_missing_queue(bench: &Bench) {
    let exchange = bench.exchange(Exchange::headers);
    let bind = |exchange: &str| bench.connection.bind("no-queue", &Binding::new(exchange, "").argument("x-match", "most"));
    assert_refused(bind("no-exchange"), Fault::NotFound, "NOT_FOUND - no exchange 'no-exchange'");
    assert_refused(bind(&exchange), Fault::NotFound, "NOT_FOUND - no queue 'no-queue'");
}

fn a_locked_queue_is_bound_and_unbound_by_nobody_else(bench: &Bench) {
    let (exchange, headers) = (bench.exchange(Exchange::direct), bench.exchange(Exchange::headers));
    let owner = bench.broker.connect("owner").unwrap();
    let queue = bench.queue().exclusive().bind(&exchange, "bound");
    owner.declare_queue(&queue).unwrap();
    let (bound, unbound) = (Binding::new(&exchange, "bound"), Binding::new(&exchange, "unbound"));
    assert_fault(bench.connection.bind(&queue.name, &bound), Fault::Locked);
    assert_fault(bench.connection.bind(&queue.name, &unbound), Fault::Locked);
    assert_fault(bench.connection.unbind(&queue.name, &bound), Fault::Locked);
    // What is wrong with the binding itself, and what changes nothing, come before whose the queue is.
    let senseless = Binding::new(&headers, "").argument("x-match", "most");
    assert_fault(bench.connection.bind(&queue.name, &senseless), Fault::Mismatch);
    bench.connection.unbind(&queue.name, &unbound).unwrap();
}

fn an_exchange_is_deleted_whatever_is_bound_to_it(bench: &Bench) {
    let source = bench.exchange(Exchange::fanout);
    let exchange = bench.exchange(|name| Exchange::fanout(name).bind(&source, ""));
    bench.declare(bench.queue().bind(&exchange, ""));
    for exchange in [&exchange, &source] {
        bench.connection.delete_exchange(exchange).unwrap();
        assert_fault(bench.connection.declare_exchange(&Exchange::existing(exchange)), Fault::NotFound);
    }
}

fn a_wrong_exchange_is_told_before_a_wrong_message(bench: &Bench) {
    let internal = bench.exchange(|name| Exchange::direct(name).internal());
    let mut late = Properties::persistent("text/plain");
    late.expiration = Some("soon".into());
    for properties in [Properties::persistent("text/plain").header("CC", "no list"), late] {
        let publish = |exchange: &str| {
            let publication = Publication::new(exchange, "key", "body").with(properties.clone());
            bench.connection.publish(&[publication], SOON)
        };
        assert_fault(publish("nobody-declared-this"), Fault::NotFound);
        assert_fault(publish(&internal), Fault::AccessRefused);
        assert_fault(publish("amq.direct"), Fault::Mismatch);
    }
}
