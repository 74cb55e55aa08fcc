//! Dead letters: their headers, their way, and the circle that is broken.

use super::*;

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
fn at_least_once_keeps_a_dead_letter_until_a_queue_takes_it() {
    let safe = expiring("wait", 10).quorum().overflow("reject-publish").dead_letter_to("", "q");
    let (broker, _connection) = broker_with([
        safe.argument("x-dead-letter-strategy", "at-least-once"),
        expiring("careless", 10).dead_letter_to("", "q"),
    ]);
    publish(&broker, "wait", &["kept"]);
    publish(&broker, "careless", &["lost"]);
    broker.advance(Duration::from_millis(10));
    broker.declare_queue(&Queue::new("q").max_length(1).overflow("reject-publish")).unwrap();
    assert_eq!(ready(&broker, "q"), ["kept"]);

    publish(&broker, "wait", &["next"]);
    broker.advance(Duration::from_millis(10));
    assert_eq!(ready(&broker, "q"), ["kept"], "it is full");
    broker.connect("test").unwrap().purge_queue("q").unwrap();
    assert_eq!(ready(&broker, "q"), ["next"]);
}

#[test]
fn what_comes_back_to_a_full_queue_pushes_its_head_out() {
    let (broker, connection) = broker_with([Queue::new("q").max_length(1)]);
    publish(&broker, "q", &["1", "2"]);
    let source = consume(&connection, "q", 1);
    publish(&broker, "q", &["3"]);
    assert_eq!(texts(&delivered(&source)), ["2"]);
    drop(source);
    assert_eq!(ready(&broker, "q"), ["3"]);
}
