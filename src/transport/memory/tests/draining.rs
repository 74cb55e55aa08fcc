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
