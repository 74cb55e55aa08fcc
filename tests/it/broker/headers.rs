//! Headers exchanges (<https://www.rabbitmq.com/docs/exchanges#headers>): which bindings a message's headers meet.

use super::bench::{assert_refused, is_rabbitmq_4, next, texts, Bench, SOON};
use bootstep::{Binding, Exchange, Fault, Properties, Publication, Queue, Table, Value};

cases![
    all_headers_must_match_unless_any_may,
    headers_that_begin_with_x_count_only_where_asked_for,
    a_message_without_headers_meets_a_binding_that_asks_for_none,
    a_void_argument_asks_only_that_the_header_is_there,
    values_are_compared_and_not_their_types,
    an_x_match_that_says_nothing_known_is_refused,
    a_binding_with_other_arguments_is_another,
    the_brokers_own_headers_exchanges_are_there,
];

mod dying {
    use super::*;

    cases_by_queue_type![a_dead_letter_is_routed_by_the_headers_of_its_death];

    fn a_dead_letter_is_routed_by_the_headers_of_its_death(bench: &Bench) {
        let graveyard = bench.exchange(Exchange::headers);
        let by_reason = |reason: &str| {
            let binding = Binding::new(&graveyard, "").argument("x-match", "any-with-x");
            binding.argument("x-first-death-reason", reason)
        };
        let rejected = bench.declare(bench.queue().bound(by_reason("rejected")));
        let expired = bench.declare(bench.queue().bound(by_reason("expired")));
        let queue = bench.declare(bench.queue().argument("x-dead-letter-exchange", graveyard.as_str()));
        bench.send(&queue, &["body"]);
        let consumed = bench.connection.consume(&queue, 1, |inbox| {
            let letter = next(inbox);
            inbox.reject(letter.tag).unwrap();
        });
        consumed.unwrap();

        bench.assert_holds(&rejected, &["body"]);
        bench.assert_holds(&expired, &[]);
    }
}

/// A binding's `x-match` (empty for none), its arguments, and the messages that meet it.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Messages are named for their headers, each of which has its own name as its value.
#[track_caller]
fn check(bench: &Bench, messages: &[&[&str]], table: &[Row<'_>]) {
    let exchange = bench.exchange(Exchange::headers);
    let bind = |rule: &str, arguments: &[&str]| {
        let ruled = match rule {
            "" => Binding::new(&exchange, "ignored"),
            rule => Binding::new(&exchange, "ignored").argument("x-match", rule),
        };
        let binding = arguments.iter().fold(ruled, |binding, name| binding.argument(*name, *name));
        bench.declare(bench.queue().bound(binding))
    };
    let queues: Vec<String> = table.iter().map(|(rule, arguments, _)| bind(rule, arguments)).collect();
    let publish = |names: &&[&str]| {
        let mut properties = Properties::persistent("text/plain");
        properties.headers = Some(names.iter().map(|name| ((*name).to_owned(), Value::from(*name))).collect());
        Publication::new(&exchange, "key", names.join(" ")).with(properties)
    };
    bench.connection.publish(&messages.iter().map(publish).collect::<Vec<_>>(), SOON).unwrap();

    for ((rule, arguments, expected), queue) in table.iter().zip(&queues) {
        let count = bench.connection.declare_queue(&Queue::existing(queue)).unwrap().messages;
        let got = texts(&bench.take(queue, count.try_into().unwrap()));
        assert_eq!(got, *expected, "`{rule}` of {arguments:?}");
    }
}

fn all_headers_must_match_unless_any_may(bench: &Bench) {
    let messages: &[&[&str]] = &[&[], &["a"], &["a", "b"], &["a", "b", "c"], &["c"]];
    check(
        bench,
        messages,
        &[
            ("", &[], &["", "a", "a b", "a b c", "c"]),
            ("", &["a", "b"], &["a b", "a b c"]),
            ("all", &[], &["", "a", "a b", "a b c", "c"]),
            ("all", &["a", "b"], &["a b", "a b c"]),
            ("any", &[], &[]),
            ("any", &["a", "b"], &["a", "a b", "a b c"]),
        ],
    );
}

fn headers_that_begin_with_x_count_only_where_asked_for(bench: &Bench) {
    let messages: &[&[&str]] = &[&[], &["a"], &["x-a"], &["a", "x-a"]];
    check(
        bench,
        messages,
        &[
            ("all", &["x-a"], &["", "a", "x-a", "a x-a"]),
            ("all", &["a", "x-a"], &["a", "a x-a"]),
            ("any", &["x-a"], &[]),
            ("any", &["a", "x-a"], &["a", "a x-a"]),
            ("all-with-x", &[], &["", "a", "x-a", "a x-a"]),
            ("all-with-x", &["a", "x-a"], &["a x-a"]),
            ("any-with-x", &[], &[]),
            ("any-with-x", &["a", "x-a"], &["a", "x-a", "a x-a"]),
        ],
    );
}

fn a_message_without_headers_meets_a_binding_that_asks_for_none(bench: &Bench) {
    let exchange = bench.exchange(Exchange::headers);
    let asking = bench.declare(bench.queue().bound(Binding::new(&exchange, "").argument("a", "a")));
    let open = bench.declare(bench.queue().bind(&exchange, ""));
    bench.publish(Publication::new(&exchange, "", "bare"));

    bench.assert_holds(&asking, &[]);
    bench.assert_holds(&open, &["bare"]);
}

fn a_void_argument_asks_only_that_the_header_is_there(bench: &Bench) {
    let exchange = bench.exchange(Exchange::headers);
    let queue = bench.declare(bench.queue().bound(Binding::new(&exchange, "").argument("a", Value::Null)));
    let with = |name: &str, value: Value, body: &str| {
        Publication::new(&exchange, "", body).with(Properties::persistent("text/plain").header(name, value))
    };
    bench.publish(with("a", "text".into(), "text"));
    bench.publish(with("a", Value::Null, "void"));
    bench.publish(with("b", "text".into(), "another"));
    bench.publish(with("A", "text".into(), "upper case"));

    bench.assert_holds(&queue, &["text", "void"]);
}

fn values_are_compared_and_not_their_types(bench: &Bench) {
    let table = |value: i32| Value::Table(Table::from([("one".to_owned(), Value::I32(value))]));
    let values = [
        ("bool", Value::Bool(true)),
        ("i8", Value::I8(1)),
        ("u16", Value::U16(1)),
        ("i64", Value::I64(1)),
        ("f64", Value::F64(1.0)),
        ("timestamp", Value::Timestamp(1)),
        ("decimal", Value::Decimal { scale: 0, value: 1 }),
        ("text", "1".into()),
        ("bytes", Value::Bytes(b"1".to_vec())),
        ("array", Value::Array(vec![Value::I32(1)])),
        ("wider array", Value::Array(vec![Value::I64(1)])),
        ("table", table(1)),
        ("other table", table(2)),
        ("empty array", Value::Array(Vec::new())),
        ("empty table", Value::Table(Table::new())),
    ];
    let exchange = bench.exchange(Exchange::headers);
    let bound = |(_, value): &(&str, Value)| Binding::new(&exchange, "").argument("a", value.clone());
    let queues: Vec<String> = values.iter().map(|value| bench.declare(bench.queue().bound(bound(value)))).collect();
    let publish = |(name, value): &(&str, Value)| {
        Publication::new(&exchange, "", *name).with(Properties::persistent("text/plain").header("a", value.clone()))
    };
    bench.connection.publish(&values.iter().map(publish).collect::<Vec<_>>(), SOON).unwrap();

    for ((name, _), queue) in values.iter().zip(&queues) {
        let expected: &[&str] = match *name {
            // From 4.0 on a whole number and a broken one differ, and a message's timestamp counts in milliseconds.
            "i8" | "u16" | "i64" | "timestamp" if is_rabbitmq_4(bench) => &["i8", "u16", "i64"],
            "f64" if is_rabbitmq_4(bench) => &["f64"],
            "i8" | "u16" | "i64" | "f64" | "timestamp" => &["i8", "u16", "i64", "f64", "timestamp"],
            "text" | "bytes" => &["text", "bytes"],
            "empty array" | "empty table" => &["empty array", "empty table"],
            alone => &[alone],
        };
        let count = bench.connection.declare_queue(&Queue::existing(queue)).unwrap().messages;
        assert_eq!(texts(&bench.take(queue, count.try_into().unwrap())), *expected, "bound to {name}");
    }
}

fn an_x_match_that_says_nothing_known_is_refused(bench: &Bench) {
    let (queue, exchange) = (bench.declare(bench.queue()), bench.exchange(Exchange::headers));
    let check = |value: Value, words: &str| {
        let binding = Binding::new(&exchange, "").argument("x-match", value.clone());
        assert_refused(bench.connection.bind(&queue, &binding), Fault::Mismatch, words);
        assert_refused(bench.connection.bind_exchange(&exchange, &binding), Fault::Mismatch, words);
        // Other kinds of exchange do not read it.
        let fanout = bench.exchange(Exchange::fanout);
        bench.connection.bind(&queue, &Binding::new(fanout, "").argument("x-match", value)).unwrap();
    };
    check("most".into(), "Invalid x-match field value <<\"most\">>; expected all, any, all-with-x, or any-with-x");
    check(Value::I32(1), "Invalid x-match field type signedint (value 1); expected longstr");
    check(Value::Null, "Invalid x-match field type void (value undefined); expected longstr");
}

fn a_binding_with_other_arguments_is_another(bench: &Bench) {
    let exchange = bench.exchange(Exchange::headers);
    let asking = |name: &str| Binding::new(&exchange, "").argument(name, name);
    let queue = bench.declare(bench.queue().bound(asking("a")).bound(asking("b")));
    bench.connection.unbind(&queue, &asking("c")).unwrap();
    bench.connection.unbind(&queue, &asking("a")).unwrap();
    for name in ["a", "b"] {
        bench.publish(Publication::new(&exchange, "", name).with(Properties::persistent("text/plain").header(name, name)));
    }

    bench.assert_holds(&queue, &["b"]);
}

fn the_brokers_own_headers_exchanges_are_there(bench: &Bench) {
    let queue = bench.queue();
    // The two are for all who use the broker: the header is this queue's alone.
    let asking = |exchange: &str| Binding::new(exchange, "").argument(&queue.name, "here");
    let queue = bench.declare(queue.clone().bound(asking("amq.headers")).bound(asking("amq.match")));
    for exchange in ["amq.headers", "amq.match"] {
        bench.connection.declare_exchange(&Exchange::headers(exchange)).unwrap();
        let properties = Properties::persistent("text/plain").header(&queue, "here");
        bench.publish(Publication::new(exchange, "", exchange).with(properties));
    }

    bench.assert_holds(&queue, &["amq.headers", "amq.match"]);
    bench.connection.delete_queue(&queue).unwrap();
}
