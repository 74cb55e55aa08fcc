//! Alternate exchanges (<https://www.rabbitmq.com/docs/ae>): where a message goes that its exchange routes nowhere.

use super::bench::{assert_fault, assert_refused, next, Bench, SOON};
use bootstep::{Exchange, Fault, Properties, Publication, Value};

cases![
    what_is_routed_nowhere_goes_on_to_the_alternate_exchange,
    what_is_routed_by_any_of_its_keys_does_not_go_to_the_alternate_exchange,
    what_an_exchange_passes_on_does_not_go_to_the_alternate_exchange,
    alternate_exchanges_in_a_circle_end,
    a_missing_alternate_exchange_takes_nothing,
    the_default_exchange_is_alternate_to_none,
    an_internal_exchange_may_be_the_alternate,
    an_exchange_with_another_alternate_says_so,
    an_alternate_that_is_no_text_is_refused,
];

mod dying {
    use super::*;

    cases_by_queue_type![a_dead_letter_that_is_routed_nowhere_goes_to_the_alternate_exchange];

    fn a_dead_letter_that_is_routed_nowhere_goes_to_the_alternate_exchange(bench: &Bench) {
        let spare = bench.exchange(Exchange::fanout);
        let graveyard = bench.exchange(|name| Exchange::direct(name).alternate(&spare));
        let queue = bench.declare(bench.queue().dead_letter_to(&graveyard, "key"));
        let found = bench.declare(bench.queue().bind(&spare, ""));
        bench.send(&queue, &["body"]);
        let consumed = bench.connection.consume(&queue, 1, |inbox| {
            let letter = next(inbox);
            inbox.reject(letter.tag).unwrap();
        });
        consumed.unwrap();

        let message = bench.take_one(&found);
        assert_eq!((message.exchange(), message.routing_key()), (graveyard.as_str(), "key"));
    }
}

fn what_is_routed_nowhere_goes_on_to_the_alternate_exchange(bench: &Bench) {
    let last = bench.exchange(Exchange::fanout);
    let second = bench.exchange(|name| Exchange::topic(name).alternate(&last));
    let first = bench.exchange(|name| Exchange::direct(name).alternate(&second));
    let here = bench.declare(bench.queue().bind(&first, "here"));
    let there = bench.declare(bench.queue().bind(&second, "there.#"));
    let left = bench.declare(bench.queue().bind(&last, ""));
    for key in ["here", "there.too", "nowhere"] {
        // Whoever takes it in the end, it is taken: nothing is returned.
        bench.publish(Publication::new(&first, key, key).mandatory());
    }

    bench.assert_holds(&here, &["here"]);
    bench.assert_holds(&there, &["there.too"]);
    let message = bench.take_one(&left);
    assert_eq!((message.exchange(), message.routing_key()), (first.as_str(), "nowhere"));
    bench.assert_holds(&left, &[]);
}

fn what_is_routed_by_any_of_its_keys_does_not_go_to_the_alternate_exchange(bench: &Bench) {
    let spare = bench.exchange(Exchange::fanout);
    let exchange = bench.exchange(|name| Exchange::direct(name).alternate(&spare));
    let bound = bench.declare(bench.queue().bind(&exchange, "bound"));
    let left = bench.declare(bench.queue().bind(&spare, ""));
    let properties = Properties::persistent("text/plain").header("CC", Value::Array(vec!["bound".into()]));
    bench.publish(Publication::new(&exchange, "unbound", "body").with(properties));

    bench.assert_holds(&bound, &["body"]);
    bench.assert_holds(&left, &[]);
}

fn what_an_exchange_passes_on_does_not_go_to_the_alternate_exchange(bench: &Bench) {
    let spare = bench.exchange(Exchange::fanout);
    let exchange = bench.exchange(|name| Exchange::fanout(name).alternate(&spare));
    bench.exchange(|name| Exchange::fanout(name).bind(&exchange, ""));
    let left = bench.declare(bench.queue().bind(&spare, ""));
    // The exchange that it is passed on to has no queue: it is lost all the same.
    let publication = Publication::new(&exchange, "", "lost").mandatory();
    assert_fault(bench.connection.publish(&[publication], SOON), Fault::NotTaken);

    bench.assert_holds(&left, &[]);
}

fn alternate_exchanges_in_a_circle_end(bench: &Bench) {
    let itself = bench.exchange(|name| Exchange::direct(&name).alternate(name));
    let first = bench.exchange(|name| Exchange::direct(&name).alternate(format!("{name}-second")));
    bench.exchange(|_| Exchange::direct(format!("{first}-second")).alternate(&first));
    for exchange in [itself, first] {
        bench.publish(Publication::new(&exchange, "key", "lost"));
        let returned = Publication::new(&exchange, "key", "lost").mandatory();
        assert_fault(bench.connection.publish(&[returned], SOON), Fault::NotTaken);
    }
}

fn a_missing_alternate_exchange_takes_nothing(bench: &Bench) {
    let exchange = bench.exchange(|name| Exchange::direct(&name).alternate(format!("{name}-later")));
    bench.publish(Publication::new(&exchange, "key", "lost"));
    let returned = Publication::new(&exchange, "key", "lost").mandatory();
    assert_fault(bench.connection.publish(&[returned], SOON), Fault::NotTaken);

    // It is looked for by name whenever it is needed.
    let later = bench.exchange(|_| Exchange::fanout(format!("{exchange}-later")));
    let queue = bench.declare(bench.queue().bind(&later, ""));
    bench.publish(Publication::new(&exchange, "key", "here").mandatory());
    bench.connection.delete_exchange(&later).unwrap();
    bench.publish(Publication::new(&exchange, "key", "lost"));
    bench.assert_holds(&queue, &["here"]);
}

fn the_default_exchange_is_alternate_to_none(bench: &Bench) {
    let exchange = bench.exchange(|name| Exchange::direct(name).alternate(""));
    let queue = bench.declare(bench.queue());
    let publication = Publication::new(&exchange, &queue, "lost").mandatory();
    assert_fault(bench.connection.publish(&[publication], SOON), Fault::NotTaken);

    bench.assert_holds(&queue, &[]);
}

fn an_internal_exchange_may_be_the_alternate(bench: &Bench) {
    let spare = bench.exchange(|name| Exchange::fanout(name).internal());
    let exchange = bench.exchange(|name| Exchange::direct(name).alternate(&spare));
    let queue = bench.declare(bench.queue().bind(&spare, ""));
    bench.publish(Publication::new(&exchange, "key", "body").mandatory());

    bench.assert_holds(&queue, &["body"]);
}

fn an_exchange_with_another_alternate_says_so(bench: &Bench) {
    let plain = bench.exchange(Exchange::direct);
    let name = bench.exchange(|name| Exchange::direct(name).alternate("one"));
    bench.connection.declare_exchange(&Exchange::direct(&name).alternate("one")).unwrap();
    for (here, expected) in [
        (Exchange::direct(&name).alternate("two"), "one there, two here"),
        (Exchange::direct(&name).argument("alternate-exchange", 1), "one there, 1 here"),
        (Exchange::direct(&name), "one there, not set here"),
        (Exchange::direct(&plain).alternate("two"), "not set there, two here"),
    ] {
        let err = bench.connection.declare_exchange(&here).unwrap_err();
        let expected = format!("exchange `{}` exists with other arguments: `alternate-exchange` is {expected}", here.name);
        assert_eq!((err.fault(), err.to_string()), (Fault::Mismatch, expected));
    }
}

fn an_alternate_that_is_no_text_is_refused(bench: &Bench) {
    let queue = bench.queue();
    for (value, kind) in [(Value::I32(1), "signedint"), (Value::Bool(true), "bool"), (Value::Null, "void")] {
        let exchange = Exchange::direct(&queue.name).argument("alternate-exchange", value);
        let words = format!("invalid type '{kind}' for arg 'alternate-exchange' in exchange '{}'", exchange.name);
        assert_refused(bench.connection.declare_exchange(&exchange), Fault::Mismatch, &words);
    }
}
