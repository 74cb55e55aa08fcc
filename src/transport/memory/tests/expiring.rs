//! Time to live: only the head of a queue dies of age.

use super::*;

#[test]
fn messages_expire_only_at_the_head() {
    let (broker, _connection) = broker_with([Queue::new("q").dead_letter_to("", "dead"), Queue::new("dead")]);
    let lasting = |body: &str, ms: &str| {
        let mut publication = Publication::new("", "q", body);
        publication.properties.expiration = Some(ms.into());
        broker.publish(publication).unwrap();
    };
    lasting("long", "5000");
    lasting("short", "1000");
    broker.advance(Duration::from_millis(1000));
    assert_eq!(ready(&broker, "q"), ["long", "short"]);
    broker.advance(Duration::from_millis(4000));
    assert!(ready(&broker, "q").is_empty());
    assert_eq!(ready(&broker, "dead"), ["long", "short"]);
}

#[test]
fn an_expired_head_is_never_delivered() {
    let (broker, connection) = broker_with([expiring("q", 100)]);
    publish(&broker, "q", &["old"]);
    broker.clock().advance(Duration::from_millis(100));
    publish(&broker, "q", &["new"]);
    assert_eq!(texts(&delivered(&consume(&connection, "q", 9))), ["new"]);
}

#[test]
fn a_message_without_time_to_live_still_reaches_a_waiting_consumer() {
    let (broker, connection) = broker_with([expiring("q", 0)]);
    publish(&broker, "q", &["nobody there"]);
    let source = consume(&connection, "q", 1);
    publish(&broker, "q", &["taken", "too late"]);
    assert_eq!(texts(&delivered(&source)), ["taken"]);
    assert!(ready(&broker, "q").is_empty());
}

#[test]
fn by_the_system_clock_messages_expire_by_themselves() {
    let broker = MemoryBroker::with_clock(Clock::system());
    broker.declare_queue(&Queue::new("q")).unwrap();
    broker.declare_queue(&expiring("later", 20).dead_letter_to("", "q")).unwrap();
    let connection = broker.connect("test").unwrap();
    let source = consume(&connection, "q", 1);
    publish(&broker, "later", &["1"]);
    let came = source.receiver().recv_timeout(SOON).unwrap();
    assert!(matches!(came, Incoming::Delivery(_)), "{came:?}");
}

#[test]
fn by_the_system_clock_a_queue_that_nobody_uses_goes_by_itself() {
    let broker = MemoryBroker::with_clock(Clock::system());
    broker.declare_queue(&Queue::new("q").expires(Duration::from_millis(5)).bind("amq.topic", "#")).unwrap();
    let connection = broker.connect("test").unwrap();
    let keeper = consume(&connection, "q", 1);
    broker.declare_queue(&Queue::new("other").expires(Duration::from_millis(10))).unwrap();
    until(|| broker.queue_names() == ["q"]);
    drop(keeper);
    until(|| broker.queue_names().is_empty());
}

#[test]
fn by_the_system_clock_who_holds_a_message_too_long_loses_its_channel() {
    let broker = MemoryBroker::with_clock(Clock::system());
    broker.declare_queue(&Queue::new("q")).unwrap();
    broker.consumer_timeout(Some(Duration::from_millis(5)));
    publish(&broker, "q", &["1"]);
    let connection = broker.connect("test").unwrap();
    let mut source = consume(&connection, "q", 1);
    assert!(matches!(source.receiver().recv_timeout(SOON), Ok(Incoming::Delivery(_))));
    let Ok(Incoming::Closed(error)) = source.receiver().recv_timeout(SOON) else { panic!("it should be closed") };
    assert!(error.to_string().contains("406 PRECONDITION_FAILED - delivery acknowledgement on channel"), "{error}");
    assert_eq!(source.settle(Settle::Ack { tag: 1 }).unwrap_err().fault(), Fault::ChannelClosed);
    assert_eq!(ready(&broker, "q"), ["1"]);
}

#[test]
fn time_that_is_turned_by_hand_is_held_against_what_was_out_before() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2"]);
    let mut source = consume(&connection, "q", 1);
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    broker.advance(minutes(29));
    source.settle(Settle::Ack { tag: 1 }).unwrap();
    broker.advance(minutes(29));
    assert_eq!(texts(&delivered(&source)), ["1", "2"]);
    broker.advance(minutes(1));
    assert!(matches!(source.receiver().try_recv(), Ok(Incoming::Closed(_))));

    broker.consumer_timeout(None);
    let source = consume(&connection, "q", 1);
    broker.advance(minutes(600));
    assert_eq!(texts(&delivered(&source)), ["2"]);
    assert!(source.receiver().is_empty());
}

#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let end = std::time::Instant::now() + SOON;
    while !condition() {
        assert!(std::time::Instant::now() < end, "it did not come to that");
        std::thread::yield_now();
    }
}
