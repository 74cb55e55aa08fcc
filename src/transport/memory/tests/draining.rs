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

#[test]
fn rest_leaves_the_clock_alone() {
    let (broker, connection) = broker_with([Queue::new("q"), expiring("soon", 1000).dead_letter_to("", "q")]);
    publish(&broker, "soon", &["x"]);
    let source = consume(&connection, "q", 1);
    let begun = broker.now();
    broker.rest(SOON).unwrap();
    assert_eq!((broker.now(), ready(&broker, "soon").len()), (begun, 1));
    assert_eq!((broker.consumers("q"), broker.consumers("soon"), broker.consumers("none")), (1, 0, 0));

    broker.advance(Duration::from_secs(1));
    let error = broker.rest(Duration::ZERO).unwrap_err();
    assert!(error.to_string().ends_with("queue `q` has 0 ready and 1 unacked"), "{error}");
    drop(source);
}

/// Somebody who does a thing when the clock has come to a moment.
fn later(broker: &MemoryBroker, seconds: u64, deed: impl FnOnce(&MemoryBroker) + Send + 'static) {
    let (broker, alarm) = (broker.clone(), broker.clock().after(Duration::from_secs(seconds)));
    std::thread::spawn(move || {
        alarm.recv().unwrap();
        deed(&broker);
    });
}

#[test]
fn until_turns_the_clock_to_what_somebody_waits_for() {
    let (broker, _connection) = broker_with([Queue::new("q")]);
    let begun = broker.now();
    later(&broker, 7, |broker| publish(broker, "q", &["x"]));
    later(&broker, 500, |broker| publish(broker, "q", &["not yet"]));
    // On a busy machine the clock may be turned on before whoever waited has come to act.
    broker.until("it is there", SOON, |broker| broker.texts("q").first().is_some_and(|first| first == "x")).unwrap();
    assert!(broker.now() - begun >= Duration::from_secs(7));

    let error = broker.until("it is gone", Duration::from_millis(5), |broker| broker.texts("q").is_empty()).unwrap_err();
    assert_eq!((error.fault(), error.to_string().as_str()), (Fault::Timeout, "not within 5ms: it is gone"));
}

#[test]
fn drain_turns_the_clock_to_what_a_holder_of_a_message_waits_for() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["x"]);
    let begun = broker.now();
    std::thread::scope(|scope| {
        let mut source = consume(&connection, "q", 1);
        let alarm = broker.clock().after(Duration::from_secs(30));
        scope.spawn(move || {
            let Ok(Incoming::Delivery(delivery)) = source.receiver().recv() else { panic!("no delivery") };
            alarm.recv().unwrap();
            source.settle(Settle::Ack { tag: delivery.tag }).unwrap();
        });
        broker.drain(SOON).unwrap();
    });
    assert_eq!(broker.now() - begun, Duration::from_secs(30));
}

#[test]
fn a_clock_is_turned_so_far_for_those_who_wait_in_vain_and_no_further() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["x"]);
    let _source = consume(&connection, "q", 1);
    let begun = broker.now();
    let alarms: Vec<_> = (1..50).map(|minutes| broker.clock().after(Duration::from_secs(60 * minutes))).collect();
    broker.drain(Duration::from_millis(100)).unwrap_err();
    assert!(broker.now() - begun <= Duration::from_secs(600));
    drop(alarms);
}
