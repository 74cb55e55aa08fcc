//! What the memory broker promises, each promise a test.

use super::connection::MemoryConnection;
use super::source::MemorySource;
use super::{outlet, source, MemoryBroker};
use crate::clock::Clock;
use crate::error::Fault;
use crate::message::{Delivery, Properties, Publication, Table, Value};
use crate::topology::{Binding, Exchange, Queue, Topology};
use crate::transport::{Incoming, Outlet, Settle, Source, Subscription, Taken, Transport};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

fn broker_with(queues: impl IntoIterator<Item = Queue>) -> (MemoryBroker, MemoryConnection) {
    let broker = MemoryBroker::new();
    for queue in queues {
        broker.declare_queue(&queue).unwrap();
    }
    let connection = broker.connect("test").unwrap();
    (broker, connection)
}

fn subscription(queue: &str, prefetch: u16) -> Subscription {
    Subscription { queue: queue.into(), prefetch, exclusive: false, arguments: Table::new() }
}

fn consume<'a>(connection: &'a MemoryConnection, queue: &str, prefetch: u16) -> MemorySource<'a> {
    source::open(connection, &subscription(queue, prefetch)).unwrap()
}

fn publish(broker: &MemoryBroker, queue: &str, bodies: &[&str]) {
    for body in bodies {
        broker.publish(Publication::new("", queue, *body)).unwrap();
    }
}

fn delivered(source: &MemorySource<'_>) -> Vec<Delivery> {
    let read = |incoming| match incoming {
        Incoming::Delivery(delivery) => Some(delivery),
        _ => None,
    };
    source.receiver().try_iter().filter_map(read).collect()
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.parts.body.to_vec()).unwrap()).collect()
}

fn ready(broker: &MemoryBroker, queue: &str) -> Vec<String> {
    broker.bodies(queue).into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

fn deaths(publication: &Publication) -> Vec<Table> {
    let Some(Value::Array(deaths)) = publication.properties.headers.as_ref().unwrap().get("x-death") else {
        panic!("no x-death in {publication:?}")
    };
    let table = |death: &Value| match death {
        Value::Table(table) => table.clone(),
        other => panic!("{other:?}"),
    };
    deaths.iter().map(table).collect()
}

fn expiring(queue: &str, ms: u64) -> Queue {
    Queue::new(queue).message_ttl(Duration::from_millis(ms))
}

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
fn a_dead_letter_tells_its_history_as_rabbitmq_does() {
    let (broker, connection) =
        broker_with([Queue::new("q").dead_letter_to("", "wait"), expiring("wait", 1000).dead_letter_to("", "q")]);
    let mut publication = Publication::new("amq.topic", "order.paid", "x");
    publication.properties.expiration = Some("60000".into());
    connection.bind_queue("q", &Binding::new("amq.topic", "order.*")).unwrap();
    broker.publish(publication).unwrap();
    let mut source = consume(&connection, "q", 1);
    for tag in [1, 2] {
        source.settle(Settle::Reject { tag }).unwrap();
        broker.advance(Duration::from_secs(1));
    }
    source.settle(Settle::Reject { tag: 3 }).unwrap();

    let message = broker.messages("wait").pop().unwrap();
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("", "wait"));
    assert_eq!(message.properties.expiration, None);
    let deaths = deaths(&message);
    let told = |death: &Table, name: &str| death[name].as_str().unwrap().to_owned();
    let summary = |death: &Table| (told(death, "queue"), told(death, "reason"), death["count"].clone());
    assert_eq!(summary(&deaths[0]), ("q".into(), "rejected".into(), Value::I64(3)));
    assert_eq!(summary(&deaths[1]), ("wait".into(), "expired".into(), Value::I64(2)));
    assert_eq!(deaths.len(), 2);
    assert_eq!(told(&deaths[0], "exchange"), "amq.topic");
    assert_eq!(deaths[0]["routing-keys"], Value::Array(vec!["order.paid".into()]));
    assert_eq!(told(&deaths[0], "original-expiration"), "60000");
    assert!(matches!(deaths[0]["time"], Value::Timestamp(_)));
    assert!(!deaths[1].contains_key("original-expiration"));
    let headers = message.properties.headers.unwrap();
    let first = ["queue", "reason", "exchange"].map(|name| headers[&format!("x-first-death-{name}")].to_string());
    assert_eq!(first, ["q", "rejected", "amq.topic"]);
}

#[test]
fn without_a_key_of_its_own_a_dead_letter_keeps_the_messages_key() {
    let dying = Queue::new("q").argument("x-dead-letter-exchange", "amq.topic");
    let (broker, connection) = broker_with([dying, Queue::new("dead").bind("amq.topic", "q")]);
    publish(&broker, "q", &["x"]);
    consume(&connection, "q", 1).settle(Settle::Reject { tag: 1 }).unwrap();
    assert_eq!(broker.messages("dead")[0].routing_key, "q");
}

#[test]
fn a_message_that_would_go_round_by_itself_is_dropped() {
    let (broker, connection) =
        broker_with([expiring("a", 10).dead_letter_to("", "b"), expiring("b", 10).dead_letter_to("", "a")]);
    publish(&broker, "a", &["x"]);
    broker.advance(Duration::from_millis(10));
    assert_eq!(ready(&broker, "b"), ["x"]);
    broker.advance(Duration::from_millis(10));
    assert!(ready(&broker, "a").is_empty() && ready(&broker, "b").is_empty());

    publish(&broker, "a", &["y"]);
    consume(&connection, "a", 1).settle(Settle::Reject { tag: 1 }).unwrap();
    broker.advance(Duration::from_millis(10));
    assert_eq!(ready(&broker, "a"), ["y"], "a rejection on the way makes it no cycle");
}

#[test]
fn a_full_queue_drops_its_head_or_refuses() {
    let (broker, connection) = broker_with([
        Queue::new("drops").max_length(2).dead_letter_to("", "dead"),
        Queue::new("refuses").max_length(1).overflow("reject-publish"),
        Queue::new("dead"),
    ]);
    publish(&broker, "drops", &["1", "2", "3"]);
    assert_eq!((ready(&broker, "drops"), ready(&broker, "dead")), (vec!["2".into(), "3".into()], vec!["1".to_owned()]));
    assert_eq!(deaths(&broker.messages("dead")[0])[0]["reason"].as_str(), Some("maxlen"));
    let mut outlet = outlet::open(&connection).unwrap();
    for _ in 0..2 {
        outlet.publish(&Publication::new("", "refuses", "x")).unwrap();
    }
    let confirms: Vec<_> = outlet.receiver().try_iter().collect();
    assert_eq!(confirms, [(1, Taken::Yes), (2, Taken::Nacked)]);
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
    check_refused(other(), q().max_priority(3), Fault::Unsupported, "does not model the queue argument `x-max-priority`");
    check_refused(other(), q().argument("x-message-ttl", -1), Fault::Mismatch, "{value_negative,-1}");
    check_refused(other(), q().argument("x-message-ttl", "1"), Fault::Mismatch, "{unacceptable_type,longstr}");
    check_refused(other(), q().argument("x-dead-letter-routing-key", "k"), Fault::Mismatch, "no_dlx_defined");
    check_refused(other(), q().quorum().transient(), Fault::Mismatch, "invalid property 'non-durable'");
    check_refused(other(), Queue::existing("q"), Fault::NotFound, "NOT_FOUND - no queue 'q' in vhost '/'");
    check_refused(other(), Queue::new("amq.q"), Fault::AccessRefused, "reserved prefix 'amq.*'");
    check_refused(other(), q().bind("gone", "k"), Fault::NotFound, "NOT_FOUND - no exchange 'gone' in vhost '/'");
    let error = MemoryBroker::new().declare_exchange(&Exchange::headers("x")).unwrap_err();
    assert_eq!(error.fault(), Fault::Unsupported);
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
    assert_eq!(connection.failure().unwrap().fault(), Fault::Lost);
    assert_eq!(source.settle(Settle::Ack { tag: 1 }).unwrap_err().fault(), Fault::Lost);
    assert_eq!(outlet.publish(&Publication::new("", "q", "3")).unwrap_err().fault(), Fault::Lost);
    assert_eq!(texts(&delivered(&elsewhere)), ["2"], "what is given back goes to none of the severed");
    let again = broker.connect("again").unwrap();
    let came = delivered(&consume(&again, "q", 9));
    assert_eq!(texts(&came), ["1", "2"]);
    assert!(came.iter().all(|delivery| delivery.redelivered));
}

#[test]
fn a_broker_that_does_not_listen_refuses_connections() {
    let broker = MemoryBroker::new();
    broker.stop_listening();
    assert_eq!(broker.connect("test").err().unwrap().fault(), Fault::Unreachable);
    broker.listen();
    assert!(broker.connect("test").is_ok());
}

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
