//! Refusals, in RabbitMQ's words.

use super::*;

#[track_caller]
fn check_refused(first: Queue, second: Queue, fault: Fault, text: &str) {
    let broker = MemoryBroker::new();
    broker.declare_queue(&first).unwrap();
    let error = broker.declare_queue(&second).unwrap_err();
    assert_eq!(error.fault(), fault, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn a_queue_declared_otherwise_is_refused_in_rabbitmqs_words() {
    let q = || Queue::new("q");
    let i32_length = |length: i32| q().argument("x-max-length", length);
    check_refused(
        q().max_length(1000),
        q().max_length(500),
        Fault::Mismatch,
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '500' but current is '1000'",
    );
    check_refused(q(), i32_length(500), Fault::Mismatch, "received the value '500' of type 'signedint' but current is none");
    check_refused(i32_length(500), q(), Fault::Mismatch, "received none but current is the value '500' of type 'signedint'");
    check_refused(
        q(),
        q().transient(),
        Fault::Mismatch,
        "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false'",
    );
    check_refused(q(), q().quorum(), Fault::Mismatch, "received the value 'quorum' of type 'longstr' but current is none");
    let broker = MemoryBroker::new();
    broker.declare_queue(&q().max_length(5)).unwrap();
    broker.declare_queue(&i32_length(5).classic()).unwrap();
}

#[test]
fn what_is_not_modelled_or_makes_no_sense_is_refused() {
    let q = || Queue::new("q");
    let other = || Queue::new("other");
    check_refused(
        other(),
        q().argument("x-max-age", "1h"),
        Fault::Unsupported,
        "does not model the queue argument `x-max-age`",
    );
    check_refused(
        other(),
        q().quorum().delivery_limit(3).argument("x-delivery-limit", -1),
        Fault::Unsupported,
        "`x-delivery-limit` -1",
    );
    check_refused(other(), q().argument("x-message-ttl", -1), Fault::Mismatch, "{value_negative,-1}");
    check_refused(other(), q().argument("x-message-ttl", "1"), Fault::Mismatch, "expected integer, got longstr");
    check_refused(other(), q().argument("x-dead-letter-routing-key", "k"), Fault::Mismatch, "no_dlx_defined");
    check_refused(other(), q().quorum().transient(), Fault::Mismatch, "invalid property 'non-durable'");
    check_refused(other(), Queue::existing("q"), Fault::NotFound, "NOT_FOUND - no queue 'q' in vhost '/'");
    check_refused(other(), Queue::new("amq.q"), Fault::AccessRefused, "reserved prefix 'amq.*'");
    check_refused(other(), q().bind("gone", "k"), Fault::NotFound, "NOT_FOUND - no exchange 'gone' in vhost '/'");
    for (exchange, text) in [
        (Exchange::new("x", ExchangeKind::Other("x-random".into())), "does not model exchanges of the type `x-random`"),
        (Exchange::direct("x").argument("x-spread", 2), "does not model the exchange argument `x-spread`"),
        // Even where RabbitMQ would name something else first.
        (Exchange::topic("amq.direct").argument("x-spread", 2), "does not model the exchange argument `x-spread`"),
    ] {
        let error = MemoryBroker::new().declare_exchange(&exchange).unwrap_err();
        assert_eq!((error.fault(), error.to_string().contains(text)), (Fault::Unsupported, true), "{error}");
    }
}

#[test]
fn an_exchange_declared_otherwise_is_refused_in_rabbitmqs_words() {
    let broker = MemoryBroker::new();
    broker.declare_exchange(&Exchange::direct("x")).unwrap();
    broker.declare_exchange(&Exchange::existing("x")).unwrap();
    let error = broker.declare_exchange(&Exchange::fanout("x")).unwrap_err();
    let text = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'";
    assert!(error.fault() == Fault::Mismatch && error.to_string().contains(text), "{error}");
    assert_eq!(broker.declare_exchange(&Exchange::direct("")).unwrap_err().fault(), Fault::AccessRefused);
    assert_eq!(broker.declare_exchange(&Exchange::existing("y")).unwrap_err().fault(), Fault::NotFound);
}

#[test]
fn a_broker_that_does_not_listen_refuses_connections() {
    let broker = MemoryBroker::new();
    broker.stop_listening();
    assert_eq!(broker.connect("test").err().unwrap().fault(), Fault::Unreachable);
    broker.listen();
    assert!(broker.connect("test").is_ok());
}
