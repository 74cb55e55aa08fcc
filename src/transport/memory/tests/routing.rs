//! Where published messages go, and what their publisher is told.

use super::*;

#[test]
fn a_topic_exchange_routes_a_message_once_to_each_queue_it_meets() {
    let broker = MemoryBroker::new();
    let mut topology = Topology::default();
    topology.exchanges.push(Exchange::topic("shop"));
    topology.queues.push(Queue::new("all").bind("shop", "#").bind("shop", "order.*"));
    topology.queues.push(Queue::new("paid").bind("shop", "*.paid"));
    broker.declare(&topology).unwrap();

    broker.publish(Publication::new("shop", "order.paid", "a")).unwrap();
    broker.publish(Publication::new("shop", "order.sent", "b")).unwrap();

    assert_eq!(ready(&broker, "all"), ["a", "b"]);
    assert_eq!(ready(&broker, "paid"), ["a"]);
    assert_eq!(broker.queue_names(), ["all", "paid"]);
}

#[test]
fn direct_routes_by_key_and_fanout_to_all() {
    let (broker, connection) = broker_with([Queue::new("a"), Queue::new("b")]);
    connection.bind_queue("a", &Binding::new("amq.direct", "x")).unwrap();
    connection.bind_queue("a", &Binding::new("amq.fanout", "")).unwrap();
    connection.bind_queue("b", &Binding::new("amq.fanout", "")).unwrap();

    broker.publish(Publication::new("amq.direct", "x", "1")).unwrap();
    broker.publish(Publication::new("amq.fanout", "any", "2")).unwrap();
    let nowhere = broker.publish(Publication::new("amq.direct", "y", "3")).unwrap_err();
    connection.unbind_queue("a", &Binding::new("amq.fanout", "")).unwrap();
    broker.publish(Publication::new("amq.fanout", "any", "4")).unwrap();

    assert_eq!(nowhere.fault(), Fault::NotTaken);
    assert_eq!((ready(&broker, "a"), ready(&broker, "b")), (vec!["1".into(), "2".into()], vec!["2".into(), "4".into()]));
}

#[test]
fn copies_go_where_the_header_cc_says() {
    let (broker, _connection) = broker_with([Queue::new("a"), Queue::new("b")]);
    let copies = Value::Array(vec!["b".into(), "a".into()]);
    let properties = Properties::default().header("CC", copies);
    broker.publish(Publication::new("", "a", "x").with(properties)).unwrap();
    assert_eq!((ready(&broker, "a"), ready(&broker, "b")), (vec!["x".to_owned()], vec!["x".to_owned()]));
}

#[test]
fn every_publish_is_confirmed_in_order_and_a_mandatory_one_returned() {
    let (_broker, connection) = broker_with([Queue::new("q")]);
    let mut outlet = outlet::open(&connection).unwrap();
    outlet.publish(&Publication::new("", "q", "x")).unwrap();
    outlet.publish(&Publication::new("", "nowhere", "x")).unwrap();
    outlet.publish(&Publication::new("", "nowhere", "x").mandatory()).unwrap();
    let confirms: Vec<_> = outlet.receiver().try_iter().collect();
    let returned = Taken::Returned { reason: "NO_ROUTE (312)".into() };
    assert_eq!(confirms, [(1, Taken::Yes), (2, Taken::Yes), (3, returned)]);
}

#[test]
fn a_publish_that_breaks_a_rule_closes_the_channel_after_earlier_confirms() {
    let (broker, connection) = broker_with([Queue::new("q")]);
    broker.declare_exchange(&Exchange::topic("inside").internal()).unwrap();
    let with = |change: fn(&mut Properties)| {
        let mut publication = Publication::new("", "q", "x");
        change(&mut publication.properties);
        publication
    };
    for (publication, fault, text) in [
        (Publication::new("gone", "q", "x"), Fault::NotFound, "NOT_FOUND - no exchange 'gone' in vhost '/'"),
        (Publication::new("inside", "q", "x"), Fault::AccessRefused, "ACCESS_REFUSED - cannot publish to internal exchange"),
        (with(|it| it.user_id = Some("me".into())), Fault::Mismatch, "user_id property set to 'me'"),
        (with(|it| it.expiration = Some("1s".into())), Fault::Mismatch, "invalid expiration '1s': {leftover_string,\"s\"}"),
        (with(|it| it.expiration = Some("-1".into())), Fault::Mismatch, "{value_negative,-1}"),
    ] {
        let mut outlet = outlet::open(&connection).unwrap();
        outlet.publish(&Publication::new("", "q", "x")).unwrap();
        outlet.publish(&publication).unwrap();
        assert_eq!(outlet.receiver().iter().collect::<Vec<_>>(), [(1, Taken::Yes)]);
        assert_eq!(outlet.failure().fault(), fault);
        assert!(outlet.failure().to_string().contains(text), "{}", outlet.failure());
        assert!(outlet.publish(&Publication::new("", "q", "x")).is_err());
    }
}
