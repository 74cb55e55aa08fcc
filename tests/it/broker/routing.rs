//! Which queues a message goes to.

use super::bench::{assert_fault, texts, Bench, SOON};
use bootstep::{Binding, Exchange, Fault, Publication, Queue};

cases![
    the_default_exchange_routes_to_the_queue_that_the_key_names,
    a_direct_exchange_routes_by_equal_keys,
    a_fanout_exchange_routes_to_every_queue_whatever_the_key,
    a_topic_exchange_routes_by_words,
    two_bindings_that_both_match_bring_one_copy,
    binding_again_changes_nothing,
    a_binding_taken_away_routes_no_more,
    the_default_exchange_can_be_neither_bound_nor_deleted,
    binding_what_does_not_exist_is_not_found,
    taking_away_what_does_not_exist_changes_nothing,
    a_deleted_exchange_takes_its_bindings_along,
    an_internal_exchange_takes_nothing_from_a_client,
];

fn the_default_exchange_routes_to_the_queue_that_the_key_names(bench: &Bench) {
    let (named, other) = (bench.declare(bench.queue()), bench.declare(bench.queue()));
    bench.send(&named, &["here"]);

    let message = bench.take_one(&named);
    assert_eq!((message.exchange(), message.routing_key()), ("", named.as_str()));
    assert!(!message.is_redelivered());
    bench.assert_holds(&other, &[]);
}

fn a_direct_exchange_routes_by_equal_keys(bench: &Bench) {
    let exchange = bench.exchange(Exchange::direct);
    let paid = bench.declare(bench.queue().bind(&exchange, "paid"));
    let both = bench.declare(bench.queue().bind(&exchange, "paid").bind(&exchange, "sent"));
    for key in ["paid", "sent", "paid.late", ""] {
        bench.publish(Publication::new(&exchange, key, key));
    }

    bench.assert_holds(&paid, &["paid"]);
    bench.assert_holds(&both, &["paid", "sent"]);
}

fn a_fanout_exchange_routes_to_every_queue_whatever_the_key(bench: &Bench) {
    let exchange = bench.exchange(Exchange::fanout);
    let keyed = bench.declare(bench.queue().bind(&exchange, "key"));
    let keyless = bench.declare(bench.queue().bind(&exchange, ""));
    bench.publish(Publication::new(&exchange, "another", "all"));

    bench.assert_holds(&keyed, &["all"]);
    bench.assert_holds(&keyless, &["all"]);
}

fn a_topic_exchange_routes_by_words(bench: &Bench) {
    const KEYS: &[&str] = &["", "a", "a.b", "a.b.c", "a..b", ".", "b.a.c", "b.a", "x.y.z"];
    let table: &[(&str, &[&str])] = &[
        ("a.b", &["a.b"]),
        ("*", &["a"]),
        ("a.*", &["a.b"]),
        ("a.*.b", &["a..b"]),
        ("*.*", &["a.b", ".", "b.a"]),
        ("#", KEYS),
        ("a.#", &["a", "a.b", "a.b.c", "a..b"]),
        ("#.a", &["a", "b.a"]),
        ("#.a.#", &["a", "a.b", "a.b.c", "a..b", "b.a.c", "b.a"]),
        ("#.#", KEYS),
        ("#.*", &["a", "a.b", "a.b.c", "a..b", ".", "b.a.c", "b.a", "x.y.z"]),
        ("*.#.c", &["a.b.c", "b.a.c"]),
        ("", &[""]),
    ];
    let exchange = bench.exchange(Exchange::topic);
    let queues: Vec<String> = table.iter().map(|(pattern, _)| bench.declare(bench.queue().bind(&exchange, *pattern))).collect();
    let publications: Vec<_> = KEYS.iter().map(|key| Publication::new(&exchange, *key, *key)).collect();
    bench.connection.publish(&publications, SOON).unwrap();

    for ((pattern, expected), queue) in table.iter().zip(&queues) {
        let count = bench.connection.declare_queue(&Queue::existing(queue)).unwrap().messages;
        let got = texts(&bench.take(queue, count.try_into().unwrap()));
        assert_eq!(got, *expected, "`{pattern}`");
    }
}

fn two_bindings_that_both_match_bring_one_copy(bench: &Bench) {
    let exchange = bench.exchange(Exchange::topic);
    let queue = bench.declare(bench.queue().bind(&exchange, "order.*").bind(&exchange, "#"));
    bench.publish(Publication::new(&exchange, "order.paid", "once"));

    bench.assert_holds(&queue, &["once"]);
}

fn binding_again_changes_nothing(bench: &Bench) {
    let exchange = bench.exchange(Exchange::direct);
    let binding = Binding::new(&exchange, "key");
    let queue = bench.declare(bench.queue().bound(binding.clone()).bound(binding.clone()));
    bench.publish(Publication::new(&exchange, "key", "once"));
    bench.assert_holds(&queue, &["once"]);

    bench.connection.unbind(&queue, &binding).unwrap();
    bench.publish(Publication::new(&exchange, "key", "nowhere"));
    bench.assert_holds(&queue, &[]);
}

fn a_binding_taken_away_routes_no_more(bench: &Bench) {
    let exchange = bench.exchange(Exchange::direct);
    let queue = bench.declare(bench.queue().bind(&exchange, "kept").bind(&exchange, "gone"));
    let gone = Binding::new(&exchange, "gone");
    bench.connection.unbind(&queue, &gone).unwrap();
    bench.connection.unbind(&queue, &gone).unwrap();
    bench.publish(Publication::new(&exchange, "gone", "nowhere"));
    bench.publish(Publication::new(&exchange, "kept", "here"));

    bench.assert_holds(&queue, &["here"]);
}

fn the_default_exchange_can_be_neither_bound_nor_deleted(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let binding = Binding::new("", "key");
    assert_fault(bench.connection.bind(&queue, &binding), Fault::AccessRefused);
    assert_fault(bench.connection.unbind(&queue, &binding), Fault::AccessRefused);
    assert_fault(bench.connection.delete_exchange(""), Fault::AccessRefused);
}

fn binding_what_does_not_exist_is_not_found(bench: &Bench) {
    let (queue, exchange) = (bench.declare(bench.queue()), bench.exchange(Exchange::direct));
    assert_fault(bench.connection.bind(&queue, &Binding::new("nobody-declared-this", "key")), Fault::NotFound);
    assert_fault(bench.connection.bind("nobody-declared-this", &Binding::new(&exchange, "key")), Fault::NotFound);
}

fn taking_away_what_does_not_exist_changes_nothing(bench: &Bench) {
    let (queue, exchange) = (bench.declare(bench.queue()), bench.exchange(Exchange::direct));
    bench.connection.unbind(&queue, &Binding::new("nobody-declared-this", "key")).unwrap();
    bench.connection.unbind("nobody-declared-this", &Binding::new(exchange, "key")).unwrap();
    bench.connection.delete_exchange("nobody-declared-this").unwrap();
    assert_eq!(bench.connection.delete_queue("nobody-declared-this").unwrap(), 0);
}

fn a_deleted_exchange_takes_its_bindings_along(bench: &Bench) {
    let exchange = bench.exchange(Exchange::fanout);
    let queue = bench.declare(bench.queue().bind(&exchange, ""));
    bench.connection.delete_exchange(&exchange).unwrap();
    let nowhere = [Publication::new(&exchange, "", "lost")];
    assert_fault(bench.connection.publish(&nowhere, SOON), Fault::NotFound);

    bench.exchange(|_| Exchange::fanout(&exchange));
    bench.publish(Publication::new(&exchange, "", "unbound"));
    bench.assert_holds(&queue, &[]);
}

fn an_internal_exchange_takes_nothing_from_a_client(bench: &Bench) {
    let exchange = bench.exchange(|name| Exchange::direct(name).internal());
    let publication = Publication::new(exchange, "key", "from outside");
    assert_fault(bench.connection.publish(&[publication], SOON), Fault::AccessRefused);
}
