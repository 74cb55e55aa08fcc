//! Coming to rest.

use super::*;

#[test]
fn drain_turns_the_clock_only_for_what_leads_to_a_consumer() {
    let (broker, connection) = broker_with([
        Queue::new("q"),
        expiring("soon", 1000).dead_letter_to("", "later"),
        expiring("later", 60_000).dead_letter_to("", "q"),
        expiring("archive", 5000),
    ]);
    publish(&broker, "soon", &["x"]);
    publish(&broker, "archive", &["kept"]);
    let begun = broker.now();
    broker.drain(SOON).unwrap();
    assert_eq!(broker.now(), begun, "nobody consumes");

    std::thread::scope(|scope| {
        let mut source = consume(&connection, "q", 1);
        scope.spawn(move || {
            let Ok(Incoming::Delivery(delivery)) = source.receiver().recv() else { panic!("no delivery") };
            source.settle(Settle::Ack { tag: delivery.tag }).unwrap();
        });
        broker.drain(SOON).unwrap();
    });
    assert_eq!(broker.now() - begun, Duration::from_secs(61));
    assert!(ready(&broker, "soon").is_empty() && ready(&broker, "later").is_empty());
}

#[test]
fn drain_says_what_it_was_stuck_on() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2", "3"]);
    let source = consume(&connection, "q", 1);
    let error = broker.drain(Duration::ZERO).unwrap_err();
    assert_eq!(error.fault(), Fault::Timeout);
    assert!(error.to_string().ends_with("queue `q` has 2 ready and 1 unacked"), "{error}");
    drop(source);

    let mut outlet = outlet::open(&connection).unwrap();
    outlet.publish(&Publication::new("", "q", "x")).unwrap();
    let error = broker.drain(Duration::ZERO).unwrap_err();
    assert!(error.to_string().ends_with("1 confirms unread"), "{error}");
    let raw = outlet.receiver().recv().unwrap();
    let mut taken = Vec::new();
    outlet.read(raw, &mut taken);
    broker.drain(Duration::ZERO).unwrap();
}

#[test]
fn drain_waits_for_no_queue_to_go_and_for_nothing_that_goes_with_it() {
    let (broker, connection) = broker_with([
        Queue::new("q"),
        Queue::new("unused").expires(Duration::from_secs(10)),
        expiring("first gone", 20_000).expires(Duration::from_secs(10)).dead_letter_to("", "q"),
        expiring("later gone", 1000).expires(Duration::from_secs(10)).dead_letter_to("", "q"),
    ]);
    let source = consume(&connection, "q", 1);
    publish(&broker, "first gone", &["x"]);
    let begun = broker.now();
    broker.drain(SOON).unwrap();
    assert_eq!(broker.now(), begun);

    publish(&broker, "later gone", &["y"]);
    // Stuck, because nobody acks what has come.
    broker.drain(Duration::from_millis(20)).unwrap_err();
    assert_eq!(broker.now() - begun, Duration::from_secs(1));
    assert_eq!(texts(&delivered(&source)), ["y"]);
    assert_eq!(broker.queue_names().len(), 4);
}
