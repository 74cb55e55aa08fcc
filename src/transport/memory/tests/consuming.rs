//! Deliveries, settlements, and what happens when a channel or connection ends.

use super::*;

#[test]
fn a_requeued_message_goes_back_to_where_it_was() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2", "3", "4"]);
    let mut first = consume(&connection, "q", 3);
    assert_eq!(texts(&delivered(&first)), ["1", "2", "3"]);
    first.cancel().unwrap();

    first.settle(Settle::Requeue { tag: 3 }).unwrap();
    first.settle(Settle::Requeue { tag: 1 }).unwrap();
    assert_eq!(ready(&broker, "q"), ["1", "3", "4"]);
    drop(first);

    assert_eq!(ready(&broker, "q"), ["1", "2", "3", "4"]);
    let again = delivered(&consume(&connection, "q", 9));
    assert_eq!(again.iter().map(|delivery| delivery.redelivered).collect::<Vec<_>>(), [true, true, true, false]);
}

#[test]
fn a_quorum_queue_counts_returns() {
    let (broker, connection) = broker_with([Queue::new("q").quorum()]);
    publish(&broker, "q", &["1"]);
    let mut source = consume(&connection, "q", 1);
    assert_eq!(delivered(&source)[0].parts.properties.headers, None);
    source.settle(Settle::Requeue { tag: 1 }).unwrap();
    source.settle(Settle::Requeue { tag: 2 }).unwrap();
    let last = delivered(&source).pop().unwrap();
    assert_eq!((last.tag, last.redelivered), (3, true));
    assert_eq!(last.parts.properties.headers.as_ref().unwrap()["x-delivery-count"], Value::I64(2));
}

#[test]
fn acks_free_the_prefetch_in_bulk() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2", "3", "4", "5"]);
    let mut source = consume(&connection, "q", 2);
    assert_eq!(texts(&delivered(&source)), ["1", "2"]);
    source.settle(Settle::AckUpTo { tag: 2 }).unwrap();
    assert_eq!(texts(&delivered(&source)), ["3", "4"]);
    source.settle(Settle::Ack { tag: 4 }).unwrap();
    assert_eq!(texts(&delivered(&source)), ["5"]);
    drop(source);
    assert_eq!(ready(&broker, "q"), ["3", "5"]);
}

#[test]
fn an_unknown_tag_closes_the_channel_and_hands_everything_back() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2"]);
    let mut source = consume(&connection, "q", 9);
    source.settle(Settle::Ack { tag: 2 }).unwrap();
    source.settle(Settle::AckUpTo { tag: 2 }).unwrap();
    let last = source.receiver().iter().last().unwrap();
    let Incoming::Closed(error) = last else { panic!("{last:?}") };
    assert_eq!(error.fault(), Fault::ChannelClosed);
    assert!(error.to_string().contains("406 PRECONDITION_FAILED - unknown delivery tag 2"), "{error}");
    assert!(source.settle(Settle::Ack { tag: 1 }).is_err());
    assert_eq!(ready(&broker, "q"), ["1"]);
}

#[test]
fn consumers_take_turns_and_a_higher_priority_goes_first() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    let (one, two) = (consume(&connection, "q", 2), consume(&connection, "q", 2));
    let mut preferred = subscription("q", 1);
    preferred.arguments.insert("x-priority".into(), Value::I32(5));
    let first = source::open(&connection, &preferred).unwrap();
    publish(&broker, "q", &["1", "2", "3", "4", "5", "6"]);
    assert_eq!(texts(&delivered(&first)), ["1"]);
    assert_eq!(
        (texts(&delivered(&one)), texts(&delivered(&two))),
        (vec!["2".into(), "4".into()], vec!["3".into(), "5".into()])
    );
    assert_eq!(ready(&broker, "q"), ["6"]);
}

#[test]
fn an_exclusive_consumer_stays_alone() {
    let (_broker, connection) = broker_with([Queue::new("q")]);
    let alone = Subscription { exclusive: true, ..subscription("q", 1) };
    let first = source::open(&connection, &alone).unwrap();
    let refused = source::open(&connection, &subscription("q", 1)).err().unwrap();
    assert_eq!(refused.fault(), Fault::AccessRefused);
    assert!(refused.to_string().contains("ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"), "{refused}");
    drop(first);
    assert!(source::open(&connection, &alone).is_ok());
}

#[test]
fn a_cancel_is_answered_after_what_was_under_way() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    let mut source = consume(&connection, "q", 9);
    publish(&broker, "q", &["1"]);
    source.cancel().unwrap();
    source.cancel().unwrap();
    publish(&broker, "q", &["2"]);
    let came: Vec<Incoming> = source.receiver().try_iter().collect();
    assert!(matches!(came[..], [Incoming::Delivery(_), Incoming::CancelDone]), "{came:?}");
    source.settle(Settle::Ack { tag: 1 }).unwrap();
    assert_eq!(ready(&broker, "q"), ["2"]);
}

#[test]
fn deleting_a_queue_cancels_its_consumers() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2"]);
    let mut source = consume(&connection, "q", 1);
    assert_eq!(connection.delete_queue("q").unwrap(), 1);
    assert_eq!(connection.delete_queue("q").unwrap(), 0);
    let last = source.receiver().try_iter().last();
    assert!(matches!(last, Some(Incoming::Cancelled)), "{last:?}");
    broker.declare_queue(&Queue::new("q")).unwrap();
    source.settle(Settle::Requeue { tag: 1 }).unwrap();
    drop(source);
    assert!(ready(&broker, "q").is_empty());
}

#[test]
fn a_panicking_visitor_hands_its_messages_back() {
    struct Panicking;
    impl crate::transport::ConsumeVisit for Panicking {
        type Output = ();
        fn visit<S: Source>(self, _source: &mut S) {
            std::panic::resume_unwind(Box::new("as asked"));
        }
    }
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1"]);
    let visit = || connection.consume(&subscription("q", 1), Panicking);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(visit)).is_err());
    assert_eq!(ready(&broker, "q"), ["1"]);
}

#[test]
fn an_exclusive_queue_belongs_to_its_connection() {
    let (broker, connection) = broker_with([]);
    let name = connection.declare_queue(&Queue::new("").exclusive()).unwrap().name;
    let other = broker.connect("other").unwrap();
    assert_eq!(other.purge_queue(&name).unwrap_err().fault(), Fault::Locked);
    connection.close(SOON);
    assert!(broker.queue_names().is_empty());
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let (broker, connection) = broker_with([Queue::new("q").auto_delete()]);
    let (one, two) = (consume(&connection, "q", 1), consume(&connection, "q", 1));
    drop(one);
    assert_eq!(broker.queue_names(), ["q"]);
    drop(two);
    assert!(broker.queue_names().is_empty());
}

#[test]
fn a_severed_connection_is_lost_and_its_messages_go_back() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    publish(&broker, "q", &["1", "2"]);
    let other = broker.connect("other").unwrap();
    let (mut source, elsewhere) = (consume(&connection, "q", 1), consume(&other, "q", 1));
    let mut outlet = outlet::open(&connection).unwrap();
    broker.sever();
    assert_eq!(source.receiver().iter().count(), 1);
    assert_eq!(outlet.receiver().iter().count(), 0);
    assert_eq!((source.failure().fault(), outlet.failure().fault()), (Fault::Lost, Fault::Lost));
    assert_eq!(source.settle(Settle::Ack { tag: 1 }).unwrap_err().fault(), Fault::Lost);
    assert_eq!(outlet.publish(&Publication::new("", "q", "3")).unwrap_err().fault(), Fault::Lost);
    assert_eq!(texts(&delivered(&elsewhere)), ["2"], "what is given back goes to none of the severed");
    let again = broker.connect("again").unwrap();
    let came = delivered(&consume(&again, "q", 9));
    assert_eq!(texts(&came), ["1", "2"]);
    assert!(came.iter().all(|delivery| delivery.redelivered));
}
