//! What a broker refuses, word for word: what a test on the memory broker reads is what production will log.

use super::bench::{Bench, SOON};
use bootstep::{Binding, Error, Fault, Publication, Queue, Subscribe, Value};
use std::fmt::Debug;
use std::time::Duration;

cases_by_queue_type![
    arguments_of_the_wrong_type_are_told,
    arguments_out_of_range_are_told,
    arguments_that_go_with_others_are_told,
    arguments_of_another_type_of_queue_are_told,
    each_argument_that_differs_is_told,
    what_is_missing_is_told,
    expirations_that_make_no_sense_are_told,
    reserved_names_are_told,
    consumer_arguments_that_make_no_sense_are_told,
];

mod on_classic_queues {
    use super::*;

    cases![exclusive_use_is_told, locked_queues_are_told, a_queue_of_another_life_is_told];
}

mod on_quorum_queues {
    use super::*;

    quorum_cases![properties_that_do_not_fit_a_quorum_queue_are_told];
}

/// Names of virtual hosts are the tests' own on RabbitMQ.
fn told(err: &Error) -> String {
    let text = err.to_string();
    let mut parts = text.split(" in vhost '");
    let mut told = parts.next().unwrap().to_owned();
    for part in parts {
        let (_, rest) = part.split_once('\'').unwrap();
        told.push_str(" in vhost '/'");
        told.push_str(rest);
    }
    told
}

#[track_caller]
fn check<T: Debug>(result: Result<T, Error>, fault: Fault, expected: &str) {
    let err = result.expect_err(expected);
    assert_eq!((err.fault(), told(&err).as_str()), (fault, expected));
}

/// A declaration that is refused with this reason, in which `{}` is the queue in full.
#[track_caller]
fn check_declaring(bench: &Bench, make: impl FnOnce(Queue) -> Queue, reason: &str) {
    let queue = make(bench.queue());
    let reason = reason.replace("{}", &format!("queue '{}' in vhost '/'", queue.name));
    let expected = format!("could not declare the queue `{}`: PRECONDITION_FAILED - {reason}", queue.name);
    let declared = bench.connection.declare_queue(&queue);
    check(declared, Fault::Mismatch, &expected);
}

const NUMBERS: [&str; 5] = ["x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority"];

fn arguments_of_the_wrong_type_are_told(bench: &Bench) {
    for name in NUMBERS.into_iter().filter(|name| !bench.is_quorum() || *name != "x-max-priority") {
        let refused = |kind: &str| format!("invalid arg '{name}' for {{}}: \"expected integer, got {kind}\"");
        check_declaring(bench, |queue| queue.argument(name, "much"), &refused("longstr"));
        check_declaring(bench, |queue| queue.argument(name, true), &refused("bool"));
        check_declaring(bench, |queue| queue.argument(name, Value::F64(1.5)), &refused("double"));
    }
    for name in ["x-dead-letter-routing-key", "x-overflow"] {
        let refused = format!("invalid arg '{name}' for {{}}: {{unacceptable_type,signedint}}");
        check_declaring(bench, |queue| queue.argument(name, 1), &refused);
    }
    let refused = "invalid arg 'x-queue-type' for {}: {unacceptable_type,signedint}";
    check_declaring(bench, |queue| queue.argument("x-queue-type", 1), refused);
    let refused = "invalid arg 'x-single-active-consumer' for {}: {unacceptable_type,longstr}";
    check_declaring(bench, |queue| queue.argument("x-single-active-consumer", "yes"), refused);
    let refused = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in {}";
    check_declaring(bench, |queue| queue.argument("x-dead-letter-exchange", 1), refused);
}

fn arguments_out_of_range_are_told(bench: &Bench) {
    for name in NUMBERS.into_iter().filter(|name| !bench.is_quorum() || *name != "x-max-priority") {
        let refused = format!("invalid arg '{name}' for {{}}: {{value_negative,-1}}");
        check_declaring(bench, |queue| queue.argument(name, -1), &refused);
    }
    check_declaring(bench, |queue| queue.expires(Duration::ZERO), "invalid arg 'x-expires' for {}: {value_zero,0}");
    for name in ["x-expires", "x-message-ttl"] {
        let refused = format!("invalid arg '{name}' for {{}}: {{value_too_large,315360000001}}");
        check_declaring(bench, |queue| queue.argument(name, 315_360_000_001_i64), &refused);
    }
    if bench.is_quorum() {
        let refused = "invalid arg 'x-quorum-initial-group-size' for {}: {value_zero,0}";
        check_declaring(bench, |queue| queue.argument("x-quorum-initial-group-size", 0), refused);
        let refused = "invalid arg 'x-queue-leader-locator' for {}: invalid_queue_locator_arg";
        check_declaring(bench, |queue| queue.argument("x-queue-leader-locator", "here"), refused);
        let refused = "invalid arg 'x-dead-letter-strategy' for {}: invalid_dlx_strategy";
        check_declaring(bench, |queue| queue.argument("x-dead-letter-strategy", "sometimes"), refused);
    } else {
        let refused = "invalid arg 'x-max-priority' for {}: {max_value_exceeded,256}";
        check_declaring(bench, |queue| queue.argument("x-max-priority", 256), refused);
        // 4.3 does not look at it any more.
        if !bench.is_rabbitmq_from(4, 3) {
            let refused = "invalid arg 'x-queue-mode' for {}: \"unsupported queue mode 'eager'\"";
            check_declaring(bench, |queue| queue.argument("x-queue-mode", "eager"), refused);
        }
        let refused = "invalid arg 'x-queue-version' for {}: \"unsupported queue version '3'\"";
        check_declaring(bench, |queue| queue.argument("x-queue-version", 3), refused);
    }
    check_declaring(bench, |queue| queue.overflow("explode"), "invalid arg 'x-overflow' for {}: invalid_overflow");
    let refused = "invalid arg 'x-queue-type' for {}: \"unsupported queue type 'odd'\"";
    check_declaring(bench, |queue| queue.argument("x-queue-type", "odd"), refused);
}

fn arguments_that_go_with_others_are_told(bench: &Bench) {
    let refused = "invalid arg 'x-dead-letter-routing-key' for {}: routing_key_but_no_dlx_defined";
    check_declaring(bench, |queue| queue.argument("x-dead-letter-routing-key", "key"), refused);
    if bench.is_quorum() {
        let nameless = Queue::new("").quorum();
        let reason = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue";
        let expected = format!("could not declare the queue ``: {reason}");
        check(bench.connection.declare_queue(&nameless), Fault::Mismatch, &expected);
    }
}

fn arguments_of_another_type_of_queue_are_told(bench: &Bench) {
    let foreign: &[(&str, Value)] = match bench.is_quorum() {
        true => &[("x-max-priority", Value::I32(5)), ("x-queue-mode", "lazy".into()), ("x-queue-version", Value::I32(2))],
        false => &[
            ("x-delivery-limit", Value::I32(5)),
            ("x-dead-letter-strategy", "at-least-once".into()),
            ("x-quorum-initial-group-size", Value::I32(1)),
            ("x-max-in-memory-length", Value::I32(5)),
            ("x-queue-leader-locator", "balanced".into()),
        ],
    };
    // From 4.0 on a classic queue takes the last of these.
    let foreign = if bench.is_quorum() || !bench.is_rabbitmq_from(4, 0) { foreign } else { &foreign[..4] };
    let queue_type = if bench.is_quorum() { "quorum" } else { "classic" };
    for (name, value) in foreign {
        let refused = format!("invalid arg '{name}' for {{}} of queue type rabbit_{queue_type}_queue");
        check_declaring(bench, |queue| queue.argument(*name, value.clone()), &refused);
    }
}

fn each_argument_that_differs_is_told(bench: &Bench) {
    let mut arguments: Vec<(&str, [Value; 2])> = vec![
        ("x-expires", [60_000.into(), 70_000.into()]),
        ("x-message-ttl", [1000.into(), 2000.into()]),
        ("x-dead-letter-exchange", ["one".into(), "two".into()]),
        ("x-max-length", [1000.into(), 500.into()]),
        ("x-max-length-bytes", [1000.into(), 500.into()]),
        ("x-overflow", ["drop-head".into(), "reject-publish".into()]),
        ("x-single-active-consumer", [true.into(), false.into()]),
    ];
    if bench.is_quorum() {
        arguments.push(("x-delivery-limit", [5.into(), 6.into()]));
        arguments.push(("x-dead-letter-strategy", ["at-most-once".into(), "at-least-once".into()]));
        arguments.push(("x-quorum-initial-group-size", [1.into(), 2.into()]));
        arguments.push(("x-queue-leader-locator", ["client-local".into(), "balanced".into()]));
    } else {
        arguments.push(("x-max-priority", [5.into(), 6.into()]));
        arguments.push(("x-queue-mode", ["default".into(), "lazy".into()]));
        // 4.3 has but the second.
        if !bench.is_rabbitmq_from(4, 3) {
            arguments.push(("x-queue-version", [1.into(), 2.into()]));
        }
    }
    for (name, [there, here]) in arguments {
        let queue = bench.queue();
        bench.declare(queue.clone().argument(name, there.clone()));
        for (other, said) in [(queue.clone().argument(name, here.clone()), here.to_string()), (queue.clone(), "not set".into())]
        {
            let declared = bench.connection.declare_queue(&other);
            let expected =
                format!("queue `{}` exists with other arguments: `{name}` is {there} there, {said} here", queue.name);
            check(declared, Fault::Mismatch, &expected);
        }
        // What it was declared with is fine again.
        bench.declare(queue.argument(name, there));
    }
}

fn what_is_missing_is_told(bench: &Bench) {
    let connection = &bench.connection;
    let gone = "NOT_FOUND - no queue 'nobody-declared-this' in vhost '/'";
    let name = "nobody-declared-this";
    let deed = format!("could not declare the queue `{name}`: {gone}");
    check(connection.declare_queue(&Queue::existing(name)), Fault::NotFound, &deed);
    let deed = format!("could not consume from the queue `{name}`: {gone}");
    check(connection.consume(name, 1, |_| ()), Fault::NotFound, &deed);
    let deed = format!("could not purge the queue `{name}`: {gone}");
    check(connection.purge_queue(name), Fault::NotFound, &deed);
    let deed = format!("could not bind the queue `{name}` to the exchange `amq.topic`: {gone}");
    check(connection.bind(name, &Binding::new("amq.topic", "key")), Fault::NotFound, &deed);
    let queue = bench.declare(bench.queue());
    let gone = "NOT_FOUND - no exchange 'nobody-declared-this' in vhost '/'";
    let deed = format!("could not bind the queue `{queue}` to the exchange `{name}`: {gone}");
    check(connection.bind(&queue, &Binding::new(name, "key")), Fault::NotFound, &deed);
    check(
        connection.publish(&[Publication::new(name, "key", "body")], SOON),
        Fault::NotFound,
        &format!("could not publish: {gone}"),
    );
}

fn expirations_that_make_no_sense_are_told(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    for (expiration, why) in [
        ("soon", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
        ("5s", "{leftover_string,\"s\"}"),
    ] {
        let mut publication = Publication::new("", &queue, "body");
        publication.properties.expiration = Some(expiration.into());
        let expected = format!("could not publish: PRECONDITION_FAILED - invalid expiration '{expiration}': {why}");
        check(bench.connection.publish(&[publication], SOON), Fault::Mismatch, &expected);
    }
}

fn reserved_names_are_told(bench: &Bench) {
    let mut queue = bench.queue();
    queue.name = "amq.mine".into();
    let reason = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'";
    let expected = format!("could not declare the queue `amq.mine`: {reason}");
    check(bench.connection.declare_queue(&queue), Fault::AccessRefused, &expected);
    // Even one that exists: its name is the broker's to give.
    let given = bench.declare(Queue::new("").exclusive());
    let reason = format!("ACCESS_REFUSED - queue name '{given}' contains reserved prefix 'amq.*'");
    let expected = format!("could not declare the queue `{given}`: {reason}");
    check(bench.connection.declare_queue(&Queue::new(&given).exclusive()), Fault::AccessRefused, &expected);
    bench.connection.declare_queue(&Queue::existing(given)).unwrap();
}

fn consumer_arguments_that_make_no_sense_are_told(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let consumed = bench.connection.consume_with(&queue, &Subscribe::new().argument("x-priority", "high"), |_| ());
    let reason = format!("invalid arg 'x-priority' for queue '{queue}' in vhost '/': \"expected integer, got longstr\"");
    let expected = format!("could not consume from the queue `{queue}`: PRECONDITION_FAILED - {reason}");
    check(consumed, Fault::Mismatch, &expected);
}

fn exclusive_use_is_told(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let expected =
        format!("could not consume from the queue `{queue}`: ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
    let exclusive = Subscribe::new().exclusive();
    let consume = |options: &Subscribe| bench.connection.consume_with(&queue, options, |_| ());
    let consumed = bench.connection.consume_with(&queue, &exclusive, |_| {
        check(consume(&Subscribe::new()), Fault::AccessRefused, &expected);
        check(consume(&exclusive), Fault::AccessRefused, &expected);
    });
    consumed.unwrap();
    let consumed = bench.connection.consume(&queue, 1, |_| check(consume(&exclusive), Fault::AccessRefused, &expected));
    consumed.unwrap();
}

fn locked_queues_are_told(bench: &Bench) {
    let owner = bench.broker.connect("owner").unwrap();
    let queue = bench.queue().exclusive();
    let name = queue.name.clone();
    owner.declare_queue(&queue).unwrap();
    let reason = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be originally \
         declared on another connection or the exclusive property value does not match that of the original declaration."
    );
    let locked = |deed: &str| format!("could not {deed} the queue `{name}`: {reason}");
    let connection = &bench.connection;
    check(connection.declare_queue(&queue), Fault::Locked, &locked("declare"));
    check(connection.declare_queue(&Queue::existing(&name)), Fault::Locked, &locked("declare"));
    check(connection.consume(&name, 1, |_| ()), Fault::Locked, &locked("consume from"));
    check(connection.purge_queue(&name), Fault::Locked, &locked("purge"));
    check(connection.delete_queue(&name), Fault::Locked, &locked("delete"));
    let deed = format!("could not bind the queue `{name}` to the exchange `amq.topic`: {reason}");
    check(connection.bind(&name, &Binding::new("amq.topic", "key")), Fault::Locked, &deed);
    // Its owner may do all that, but not call it what it is not.
    let mut shared = queue.clone();
    shared.exclusive = false;
    check(owner.declare_queue(&shared), Fault::Locked, &locked("declare"));
    owner.declare_queue(&queue).unwrap();
    owner.delete_queue(&name).unwrap();
    bench.declare(shared);
    check(bench.connection.declare_queue(&queue), Fault::Locked, &locked("declare"));
}

fn a_queue_of_another_life_is_told(bench: &Bench) {
    let queue = bench.queue();
    bench.declare(queue.clone());
    for (other, difference) in [
        (queue.clone().transient(), "`durable` is true there, false here"),
        (queue.clone().auto_delete(), "`auto_delete` is false there, true here"),
        // The first that differs is told.
        (queue.clone().transient().auto_delete().max_length(1), "`durable` is true there, false here"),
        (queue.clone().auto_delete().max_length(1), "`auto_delete` is false there, true here"),
    ] {
        let expected = format!("queue `{}` exists with other arguments: {difference}", queue.name);
        check(bench.connection.declare_queue(&other), Fault::Mismatch, &expected);
    }
}

fn properties_that_do_not_fit_a_quorum_queue_are_told(bench: &Bench) {
    let refused = |property: &str| format!("invalid property '{property}' for {{}}");
    check_declaring(bench, Queue::auto_delete, &refused("auto-delete"));
    check_declaring(bench, Queue::exclusive, &refused("exclusive-owner"));
    check_declaring(bench, Queue::transient, &refused("non-durable"));
    check_declaring(bench, |queue| queue.transient().exclusive().auto_delete(), &refused("auto-delete"));
    check_declaring(bench, |queue| queue.transient().exclusive(), &refused("exclusive-owner"));
}
