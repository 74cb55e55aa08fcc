//! Sender-selected distribution (<https://www.rabbitmq.com/docs/sender-selected>): further keys in the headers `CC` and `BCC`.

use super::bench::{assert_refused, death, deaths, next, Bench, SOON};
use bootstep::{Exchange, Fault, Properties, Publication, Table, Value};

cases![
    the_header_cc_routes_to_further_queues,
    the_header_bcc_routes_to_further_queues_and_is_gone,
    a_message_that_only_a_copy_is_routed_of_is_taken,
    copies_that_are_no_list_are_refused,
    what_is_no_text_among_the_copies_is_passed_over,
];

mod dying {
    use super::*;

    cases_by_queue_type![
        a_dead_letter_goes_by_its_blind_copies_too_and_does_not_tell,
        a_dead_letter_drops_its_blind_copies_for_a_key_of_the_queues,
    ];

    #[track_caller]
    fn reject_one(bench: &Bench, queue: &str) {
        let consumed = bench.connection.consume(queue, 1, |inbox| {
            let letter = next(inbox);
            inbox.reject(letter.tag).unwrap();
        });
        consumed.unwrap();
    }

    fn a_dead_letter_goes_by_its_blind_copies_too_and_does_not_tell(bench: &Bench) {
        let graveyard = bench.exchange(Exchange::direct);
        let keys = ["own", "open", "blind"];
        let dead = keys.map(|key| bench.declare(bench.queue().bind(&graveyard, key)));
        let exchange = bench.exchange(Exchange::direct);
        let queue = bench.queue().bind(&exchange, "own").argument("x-dead-letter-exchange", graveyard.as_str());
        let queue = bench.declare(queue);
        let properties = Properties::persistent("text/plain").header("CC", list(&["open"])).header("BCC", list(&["blind"]));
        bench.publish(Publication::new(&exchange, "own", "body").with(properties));
        reject_one(bench, &queue);

        for dead in dead {
            let message = bench.take_one(&dead);
            assert_eq!(deaths(&message), [death(1, "rejected", &queue, &exchange, &["own", "open"])]);
            assert_eq!((message.header("CC"), message.header("BCC")), (Some(&list(&["open"])), None));
        }
    }

    fn a_dead_letter_drops_its_blind_copies_for_a_key_of_the_queues(bench: &Bench) {
        let graveyard = bench.exchange(Exchange::direct);
        let [named, blind] = ["named", "blind"].map(|key| bench.declare(bench.queue().bind(&graveyard, key)));
        let queue = bench.declare(bench.queue().dead_letter_to(&graveyard, "named"));
        let properties = Properties::persistent("text/plain").header("BCC", list(&["blind"]));
        bench.publish(Publication::new("", &queue, "body").with(properties));
        reject_one(bench, &queue);

        bench.assert_holds(&named, &["body"]);
        bench.assert_holds(&blind, &[]);
    }
}

fn list(keys: &[&str]) -> Value {
    Value::Array(keys.iter().map(|key| Value::from(*key)).collect())
}

fn the_header_cc_routes_to_further_queues(bench: &Bench) {
    let (first, second) = (bench.declare(bench.queue()), bench.declare(bench.queue()));
    // The first queue is named twice, and still gets one copy.
    let copies = list(&[&second, &first]);
    let properties = Properties::persistent("text/plain").header("CC", copies.clone());
    bench.publish(Publication::new("", &first, "both").with(properties));

    bench.assert_holds(&first, &["both"]);
    let copy = bench.take_one(&second);
    assert_eq!((copy.routing_key(), copy.header("CC")), (first.as_str(), Some(&copies)));
}

fn the_header_bcc_routes_to_further_queues_and_is_gone(bench: &Bench) {
    let queues = [(); 3].map(|()| bench.declare(bench.queue()));
    let [first, second, third] = &queues;
    let properties = Properties::persistent("text/plain").header("CC", list(&[second]));
    let open = properties.clone();
    bench.publish(Publication::new("", first, "all").with(properties.header("BCC", list(&[third, first]))));
    for queue in &queues {
        let message = bench.take_one(queue);
        assert_eq!((message.routing_key(), message.properties()), (first.as_str(), &open));
        bench.assert_holds(queue, &[]);
    }

    let alone = Properties::persistent("text/plain").header("BCC", list(&[second]));
    bench.publish(Publication::new("", first, "two").with(alone));
    assert_eq!(bench.take_one(second).headers(), Some(&Table::new()));
}

fn a_message_that_only_a_copy_is_routed_of_is_taken(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    for name in ["CC", "BCC"] {
        let properties = Properties::persistent("text/plain").header(name, list(&[&queue]));
        bench.publish(Publication::new("", "nobody-declared-this", name).with(properties).mandatory());
    }

    bench.assert_holds(&queue, &["CC", "BCC"]);
}

fn copies_that_are_no_list_are_refused(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    for name in ["CC", "BCC"] {
        for (value, kind) in [(Value::from("text"), "longstr"), (Value::Null, "void")] {
            let properties = Properties::persistent("text/plain").header(name, value);
            let published = bench.connection.publish(&[Publication::new("", &queue, "body").with(properties)], SOON);
            let words = format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}");
            assert_refused(published, Fault::Mismatch, &words);
        }
    }
    bench.assert_holds(&queue, &[]);
}

fn what_is_no_text_among_the_copies_is_passed_over(bench: &Bench) {
    let (first, second) = (bench.declare(bench.queue()), bench.declare(bench.queue()));
    for name in ["CC", "BCC"] {
        let copies = Value::Array(vec![Value::I32(1), second.as_str().into(), Value::Null]);
        let properties = Properties::persistent("text/plain").header(name, copies);
        bench.publish(Publication::new("", &first, name).with(properties));
    }

    bench.assert_holds(&first, &["CC", "BCC"]);
    bench.assert_holds(&second, &["CC", "BCC"]);
}
