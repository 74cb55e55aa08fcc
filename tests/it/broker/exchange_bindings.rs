//! Exchanges bound to exchanges (<https://www.rabbitmq.com/docs/e2e>): where messages go on to, and what goes with a binding.

use super::bench::{assert_fault, assert_refused, next, Bench, SOON};
use crate::support::vhost::unique;
use bootstep::{Binding, Exchange, Fault, Publication, Queue, Topology};

cases![
    an_exchange_passes_on_what_meets_a_binding,
    a_queue_gets_one_copy_however_many_ways_lead_there,
    exchanges_bound_in_a_circle_end,
    an_internal_exchange_takes_from_other_exchanges,
    a_topology_may_name_an_exchange_before_its_source,
    binding_exchanges_again_changes_nothing,
    binding_exchanges_names_the_source_first_if_both_are_missing,
    the_default_exchange_is_bound_to_no_exchange,
    a_deleted_exchange_takes_the_bindings_to_and_from_it_along,
    an_auto_delete_source_goes_with_its_last_binding,
    auto_delete_exchanges_go_one_after_the_other,
    an_auto_delete_exchange_stays_without_its_source,
];

mod dying {
    use super::*;

    cases_by_queue_type![a_dead_letter_is_passed_on_from_exchange_to_exchange];

    fn a_dead_letter_is_passed_on_from_exchange_to_exchange(bench: &Bench) {
        let graveyard = bench.exchange(Exchange::direct);
        let vault = bench.exchange(|name| Exchange::fanout(name).bind(&graveyard, "key"));
        let dead = bench.declare(bench.queue().bind(&vault, ""));
        let queue = bench.declare(bench.queue().dead_letter_to(&graveyard, "key"));
        bench.send(&queue, &["body"]);
        let consumed = bench.connection.consume(&queue, 1, |inbox| {
            let letter = next(inbox);
            inbox.reject(letter.tag).unwrap();
        });
        consumed.unwrap();

        let message = bench.take_one(&dead);
        assert_eq!((message.exchange(), message.routing_key()), (graveyard.as_str(), "key"));
    }
}

fn is_there(bench: &Bench, exchange: &str) -> bool {
    match bench.connection.declare_exchange(&Exchange::existing(exchange)) {
        Ok(()) => true,
        Err(err) => {
            assert_eq!(err.fault(), Fault::NotFound, "{err}");
            false
        }
    }
}

fn an_exchange_passes_on_what_meets_a_binding(bench: &Bench) {
    let shop = bench.exchange(Exchange::topic);
    let orders = bench.exchange(|name| Exchange::direct(name).bind(&shop, "order.*"));
    let all = bench.exchange(|name| Exchange::fanout(name).bind(&orders, "order.paid"));
    let paid = bench.declare(bench.queue().bind(&orders, "order.paid"));
    let audit = bench.declare(bench.queue().bind(&all, "ignored"));
    for key in ["order.paid", "order.sent", "offer.made"] {
        bench.publish(Publication::new(&shop, key, key));
    }

    // A message keeps the exchange that it was published to.
    let message = bench.take_one(&paid);
    assert_eq!((message.exchange(), message.routing_key()), (shop.as_str(), "order.paid"));
    bench.assert_holds(&paid, &[]);
    bench.assert_holds(&audit, &["order.paid"]);
}

fn a_queue_gets_one_copy_however_many_ways_lead_there(bench: &Bench) {
    let source = bench.exchange(Exchange::fanout);
    let queue = bench.queue().bind(&source, "");
    let by_two = [(); 2].iter().fold(queue, |queue, ()| {
        let way = bench.exchange(|name| Exchange::fanout(name).bind(&source, "one").bind(&source, "two"));
        queue.bind(way, "")
    });
    let queue = bench.declare(by_two);
    bench.publish(Publication::new(&source, "", "once"));

    bench.assert_holds(&queue, &["once"]);
}

fn exchanges_bound_in_a_circle_end(bench: &Bench) {
    let itself = bench.exchange(|name| Exchange::fanout(&name).bind(name, ""));
    let first = bench.exchange(|name| Exchange::fanout(name).bind(&itself, ""));
    let second = bench.exchange(|name| Exchange::fanout(name).bind(&first, ""));
    bench.connection.bind_exchange(&itself, &Binding::new(&second, "")).unwrap();
    let nowhere = Publication::new(&first, "", "lost").mandatory();
    assert_fault(bench.connection.publish(&[nowhere], SOON), Fault::NotTaken);

    let queue = bench.declare(bench.queue().bind(&second, "").bind(&itself, ""));
    for exchange in [&itself, &first, &second] {
        bench.publish(Publication::new(exchange, "", "once"));
    }
    bench.assert_holds(&queue, &["once", "once", "once"]);
}

fn an_internal_exchange_takes_from_other_exchanges(bench: &Bench) {
    let open = bench.exchange(Exchange::fanout);
    let inside = bench.exchange(|name| Exchange::fanout(name).internal().bind(&open, ""));
    let queue = bench.declare(bench.queue().bind(&inside, ""));
    bench.publish(Publication::new(&open, "", "by way of another"));
    let direct = [Publication::new(&inside, "", "from outside")];
    let words = format!("cannot publish to internal exchange '{inside}'");
    assert_refused(bench.connection.publish(&direct, SOON), Fault::AccessRefused, &words);

    bench.assert_holds(&queue, &["by way of another"]);
}

fn a_topology_may_name_an_exchange_before_its_source(bench: &Bench) {
    let (first, second) = (unique("exchange"), unique("exchange"));
    let mut topology = Topology::default();
    // Bound to each other, so that no order would do.
    topology.exchanges.push(Exchange::fanout(&first).bind(&second, ""));
    topology.exchanges.push(Exchange::fanout(&second).bind(&first, ""));
    topology.queues.push(bench.queue().bind(&first, ""));
    bench.connection.declare(&topology).unwrap();
    bench.connection.declare(&topology).unwrap();
    bench.publish(Publication::new(&second, "", "here"));

    bench.assert_holds(&topology.queues[0].name, &["here"]);
}

fn binding_exchanges_again_changes_nothing(bench: &Bench) {
    let source = bench.exchange(Exchange::direct);
    let binding = Binding::new(&source, "key");
    let exchange = bench.exchange(|name| Exchange::fanout(name).bound(binding.clone()).bind(&source, "other"));
    bench.connection.bind_exchange(&exchange, &binding).unwrap();
    let queue = bench.declare(bench.queue().bind(&exchange, ""));
    for _ in 0..2 {
        bench.connection.unbind_exchange(&exchange, &binding).unwrap();
    }
    bench.publish(Publication::new(&source, "key", "nowhere"));
    bench.publish(Publication::new(&source, "other", "here"));

    bench.assert_holds(&queue, &["here"]);
}

fn binding_exchanges_names_the_source_first_if_both_are_missing(bench: &Bench) {
    let exchange = bench.exchange(Exchange::direct);
    for (destination, source, missing) in [
        ("no-destination", "no-source", "no-source"),
        ("no-destination", &exchange, "no-destination"),
        (&exchange, "no-source", "no-source"),
    ] {
        let binding = Binding::new(source, "key");
        let words = format!("no exchange '{missing}'");
        assert_refused(bench.connection.bind_exchange(destination, &binding), Fault::NotFound, &words);
        bench.connection.unbind_exchange(destination, &binding).unwrap();
    }
}

fn the_default_exchange_is_bound_to_no_exchange(bench: &Bench) {
    let exchange = bench.exchange(Exchange::direct);
    for (destination, source) in [("", exchange.as_str()), (&exchange, "")] {
        let binding = Binding::new(source, "key");
        assert_fault(bench.connection.bind_exchange(destination, &binding), Fault::AccessRefused);
        assert_fault(bench.connection.unbind_exchange(destination, &binding), Fault::AccessRefused);
    }
}

fn a_deleted_exchange_takes_the_bindings_to_and_from_it_along(bench: &Bench) {
    let source = bench.exchange(Exchange::fanout);
    let between = bench.exchange(|name| Exchange::fanout(name).bind(&source, ""));
    let last = bench.exchange(|name| Exchange::fanout(name).bind(&between, ""));
    let queue = bench.declare(bench.queue().bind(&last, ""));
    bench.publish(Publication::new(&source, "", "through"));
    bench.connection.delete_exchange(&between).unwrap();
    bench.publish(Publication::new(&source, "", "cut"));
    bench.exchange(|_| Exchange::fanout(&between));
    bench.publish(Publication::new(&source, "", "still cut"));
    bench.publish(Publication::new(&between, "", "here as well"));

    bench.assert_holds(&queue, &["through"]);
}

fn an_auto_delete_source_goes_with_its_last_binding(bench: &Bench) {
    let source = || bench.exchange(|name| Exchange::fanout(name).auto_delete());
    let (unbound, deleted) = (source(), source());
    for source in [&unbound, &deleted] {
        let exchange = bench.exchange(|name| Exchange::fanout(name).bind(source, ""));
        let queue = bench.declare(bench.queue().bind(source, ""));
        bench.connection.delete_queue(&queue).unwrap();
        assert!(is_there(bench, source));
        match source == &unbound {
            true => bench.connection.unbind_exchange(&exchange, &Binding::new(source, "")).unwrap(),
            false => bench.connection.delete_exchange(&exchange).unwrap(),
        }
        assert!(!is_there(bench, source));
    }
}

fn auto_delete_exchanges_go_one_after_the_other(bench: &Bench) {
    let first = bench.exchange(|name| Exchange::fanout(name).auto_delete());
    let second = bench.exchange(|name| Exchange::fanout(name).auto_delete().bind(&first, ""));
    let kept = bench.exchange(|name| Exchange::fanout(name).bind(&first, ""));
    let queue = bench.declare(bench.queue().bind(&second, ""));
    bench.connection.delete_queue(&queue).unwrap();
    assert_eq!([&first, &second, &kept].map(|exchange| is_there(bench, exchange)), [true, false, true]);

    let third = bench.exchange(|name| Exchange::fanout(name).auto_delete().bind(&first, ""));
    bench.connection.unbind_exchange(&kept, &Binding::new(&first, "")).unwrap();
    let queue = bench.declare(bench.queue().bind(&third, ""));
    bench.connection.delete_queue(&queue).unwrap();
    assert_eq!([&first, &third, &kept].map(|exchange| is_there(bench, exchange)), [false, false, true]);
}

fn an_auto_delete_exchange_stays_without_its_source(bench: &Bench) {
    // Only what it is a source of keeps it, and it never was one.
    let source = bench.exchange(Exchange::fanout);
    let exchange = bench.exchange(|name| Exchange::fanout(name).auto_delete().bind(&source, ""));
    bench.connection.delete_exchange(&source).unwrap();

    assert!(is_there(bench, &exchange));
    let queue = bench.declare(Queue::new(unique("queue")).bind(&exchange, ""));
    bench.publish(Publication::new(&exchange, "", "here"));
    bench.assert_holds(&queue, &["here"]);
}
