//! What is declared, and what becomes of messages, on the queues of celery-message-consumer.

use super::{failing, json, mode_c, noting, quick, step, Given, SHORT};
use crate::support::listed::{stage_to_list, Listing};
use crate::support::stage::{Stage, SOON};
use bootstep::steps::celery_message_consumer::{move_back, MessageHandler, Settings};
use bootstep::{headers, Exchange, Message, Outcome, Publication, Queue, Table, Value};
use serde_json::Value as Json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

crate::on_both!(
    each_handler_gets_the_messages_of_its_key,
    names_wildcards_and_several_keys_have_the_queues_they_have_there,
    a_failing_message_is_tried_five_times_and_archived_with_count_four,
    a_permanent_failure_is_archived_at_once_without_a_count,
    workers_that_share_queues_count_together,
    headers_and_properties_survive_every_hop,
    what_a_failing_wildcard_handler_publishes_does_not_come_back_to_it,
    what_was_archived_by_others_comes_back_and_counts_anew,
    a_body_is_what_its_content_type_says,
);

const TTL: &str = "x-max-length=1000000 x-message-ttl=2073600000 x-queue-mode=lazy";

/// The three queues of a handler as its workers declare them.
fn triple(queue: &str) -> Vec<String> {
    vec![
        format!("{queue} durable"),
        format!("{queue}.archived durable {TTL}"),
        format!("{queue}.retry durable x-dead-letter-exchange= x-dead-letter-routing-key={queue}"),
    ]
}

#[track_caller]
fn assert_listed(listing: &Listing, queues: &[String], exchanges: &[&str], bindings: &[&str]) {
    assert_eq!(listing.queues(), queues);
    assert_eq!(listing.exchanges(), exchanges);
    assert_eq!(listing.bindings(), bindings);
}

/// Word for word what a Python worker declares; a difference from what is there is a 406.
#[track_caller]
fn declare_as_python(stage: &Stage, queue: &str, bindings: &[(&str, &str)]) {
    let mut main = Queue::new(queue);
    main.bindings = bindings.iter().map(|(exchange, key)| bootstep::Binding::new(*exchange, *key)).collect();
    let archive: [(&str, Value); 3] =
        [("x-message-ttl", 2_073_600_000_i64.into()), ("x-max-length", 1_000_000.into()), ("x-queue-mode", "lazy".into())];
    let mut archived = Queue::new(format!("{queue}.archived"));
    archived.arguments = archive.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Table>();
    let retry = Queue::new(format!("{queue}.retry")).dead_letter_to("", queue);
    for queue in [main, retry, archived] {
        stage.connection.declare_queue(&queue).unwrap();
    }
}

/// A1, mode A: a handler on the AMQP default exchange.
#[test]
fn on_the_default_exchange_there_are_three_queues_and_no_binding() {
    let (stage, listing) = stage_to_list();
    declare_as_python(&stage, "first", &[]);
    let handlers = ["first", "my.wild.*"].map(|key| noting(key, &Given::default()));
    let running = stage.start(step(quick(), handlers));
    assert_listed(&listing, &[triple("first"), triple("my.wild.*")].concat(), &[], &[]);
    assert_eq!(running.stop(), 0);
    declare_as_python(&stage, "my.wild.*", &[]);
}

/// A1, mode B: a handler on an exchange that the settings name.
#[test]
fn on_an_exchange_of_its_own_only_the_main_queue_is_bound() {
    let (stage, listing) = stage_to_list();
    let settings = quick().exchange("other", Exchange::topic("shop")).queue_name_prefix("p.");
    let given = Given::default();
    let handlers = [noting("order.*", &given).exchange("other"), noting("bill", &given).exchange("other").queue("bills")];
    let running = stage.start(step(settings, handlers));
    let bindings = ["shop bill > bills", "shop order.* > p.order.*"];
    assert_listed(&listing, &[triple("bills"), triple("p.order.*")].concat(), &["shop topic durable"], &bindings);
    assert_eq!(running.stop(), 0);
    stage.connection.declare_exchange(&Exchange::topic("shop")).unwrap();
    declare_as_python(&stage, "p.order.*", &[("shop", "order.*")]);
    assert_listed(&listing, &[triple("bills"), triple("p.order.*")].concat(), &["shop topic durable"], &bindings);
}

/// A1, mode C: the settings have an exchange called `default`, on which all three queues are bound.
#[test]
fn with_a_configured_default_exchange_all_three_queues_are_bound_to_it() {
    let (stage, listing) = stage_to_list();
    let settings = mode_c().exchange("other", Exchange::direct("side"));
    let given = Given::default();
    let handlers = [noting("order.#", &given), noting("bill", &given).exchange("other").queue_argument("x-max-priority", 5)];
    let _running = stage.start(step(settings, handlers));
    let bindings = [
        "data bill.archived > bill.archived",
        "data bill.retry > bill.retry",
        "data order.# > order.#",
        "data order.#.archived > order.#.archived",
        "data order.#.retry > order.#.retry",
        "side bill > bill",
    ];
    let mut queues = [triple("bill"), triple("order.#")].concat();
    queues[0] += " x-max-priority=5";
    assert_listed(&listing, &queues, &["data topic durable", "side direct durable"], &bindings);
}

/// A2
fn each_handler_gets_the_messages_of_its_key(stage: &Stage) {
    let given = Given::default();
    let _running = stage.start(step(quick(), ["ham", "eggs"].map(|key| noting(key, &given))));
    stage.send(&[json("", "ham", "1"), json("", "eggs", "2")]).unwrap();
    stage.until("both are handled", || given.lock().unwrap().len() == 2);
    let mut seen = given.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["eggs 2", "ham 1"]);
    stage.until("the queues are empty", || ["ham", "eggs", "ham.retry", "eggs.archived"].iter().all(|it| stage.ready(it) == 0));
}

/// A3
fn names_wildcards_and_several_keys_have_the_queues_they_have_there(stage: &Stage) {
    let given = Given::default();
    let each = {
        let given = given.clone();
        MessageHandler::for_each(["one", "two"], move |body: Json, message: &Message| {
            given.lock().unwrap().push(format!("{}: {body}", message.queue()));
            Ok(Outcome::Ack)
        })
    };
    let handlers = [noting("my.#", &given), noting("other", &given).queue("own.name"), each];
    let _running = stage.start(step(mode_c(), handlers));
    for key in ["my.wild.key", "other", "one", "two"] {
        stage.send(&[json("data", key, "0")]).unwrap();
    }
    stage.until("all are handled", || given.lock().unwrap().len() == 4);
    let mut seen = given.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["my.wild.key 0", "one: 0", "other 0", "two: 0"]);
    assert_eq!(["my.#", "own.name", "one", "two"].map(|queue| stage.ready(queue)), [0; 4]);
}

/// A4
fn a_failing_message_is_tried_five_times_and_archived_with_count_four(stage: &Stage) {
    let given = Given::default();
    let _running = stage.start(step(quick(), [failing("jobs", &given)]));
    let body = r#"{"amount":1.10,"who":"Zoë"}"#;
    stage.send(&[json("", "jobs", body)]).unwrap();
    let archived = &stage.take("jobs.archived", 1)[0];
    assert_eq!(given.lock().unwrap().len(), 5);
    assert_eq!(archived.header("x-retry-count"), Some(&Value::I32(4)));
    assert_eq!(archived.body(), body.as_bytes(), "to the byte, not as read and written again");
    assert_eq!(archived.header(headers::REASON).and_then(Value::as_str), Some("the press is jammed"));
}

/// A5
fn a_permanent_failure_is_archived_at_once_without_a_count(stage: &Stage) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let handler = MessageHandler::new("jobs", move |_: Json, _: &Message| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Outcome::archive("no such press"))
    });
    let _running = stage.start(step(quick(), [handler]));
    stage.send(&[json("", "jobs", "{}")]).unwrap();
    let archived = &stage.take("jobs.archived", 1)[0];
    assert_eq!((count.load(Ordering::Relaxed), archived.header("x-retry-count")), (1, None));
}

/// A6, without Python: two workers on the same queues; the mixed run is in the interop suite.
fn workers_that_share_queues_count_together(stage: &Stage) {
    let given = Given::default();
    let workers = [0, 1].map(|_| stage.start(step(quick(), [failing("jobs", &given)])));
    let messages: Vec<Publication> = (0..20).map(|number| json("", "jobs", &number.to_string())).collect();
    stage.send(&messages).unwrap();
    let archived = stage.take("jobs.archived", 20);
    assert_eq!(given.lock().unwrap().len(), 100);
    assert!(archived.iter().all(|message| message.header("x-retry-count") == Some(&Value::I32(4))));
    let bodies: std::collections::BTreeSet<&[u8]> = archived.iter().map(|message| message.body()).collect();
    assert_eq!(bodies.len(), 20);
    drop(workers);
}

/// A7: what a Python client reads wrongly is written so that it cannot.
fn headers_and_properties_survive_every_hop(stage: &Stage) {
    let _running = stage.start(step(quick().max_retries(2), [failing("jobs", &Given::default())]));
    let nested = Table::from([("deep".to_owned(), Value::I16(-3)), ("flag".to_owned(), true.into())]);
    let mut letter = json("", "jobs", "[]");
    (letter.properties.message_id, letter.properties.correlation_id) = (Some("m1".into()), Some("c1".into()));
    (letter.properties.reply_to, letter.properties.kind) = (Some("answers".into()), Some("press.job".into()));
    (letter.properties.timestamp, letter.properties.app_id) = (Some(1_700_000_000), Some("shop".into()));
    letter.properties = letter
        .properties
        .header("text", "Zoë")
        .header("long", i64::MAX)
        .header("minus", Value::I64(-4))
        .header("short", Value::I16(-2))
        .header("byte", Value::I8(-1))
        .header("table", nested)
        .header("list", Value::Array(vec![Value::I16(7), Value::Null, 0.5.into()]))
        .header("bytes", Value::Bytes(b"\xff\x00".to_vec()));
    stage.send(&[letter.clone()]).unwrap();
    let archived = &stage.take("jobs.archived", 1)[0];
    let header = |name: &str| archived.header(name).cloned().unwrap_or(Value::Null);
    assert_eq!((header("text"), header("long")), ("Zoë".into(), i64::MAX.into()));
    assert_eq!([header("minus"), header("short"), header("byte")], [-4, -2, -1].map(Value::I32));
    assert_eq!(header("table"), Table::from([("deep".to_owned(), Value::I32(-3)), ("flag".to_owned(), true.into())]).into());
    assert_eq!(header("list"), Value::Array(vec![Value::I32(7), Value::Null, 0.5.into()]));
    assert_eq!(header("bytes"), Value::Bytes(b"\xff\x00".to_vec()));
    let without_headers = |properties: &bootstep::Properties| {
        let mut properties = properties.clone();
        properties.headers = None;
        properties
    };
    assert_eq!(without_headers(archived.properties()), without_headers(&letter.properties));
}

/// A9
fn what_a_failing_wildcard_handler_publishes_does_not_come_back_to_it(stage: &Stage) {
    let given = Given::default();
    let _running = stage.start(step(mode_c(), [failing("#", &given)]));
    stage.send(&[json("data", "order.paid", "7")]).unwrap();
    let archived = stage.take("#.archived", 1);
    assert_eq!(archived[0].routing_key(), "order.paid");
    assert_eq!(given.lock().unwrap().len(), 5);
    assert_eq!([stage.ready("#"), stage.ready("#.retry"), stage.ready("#.archived")], [0; 3]);
}

/// A13: archived as a Python worker archives, with nothing but the count and what RabbitMQ wrote.
fn what_was_archived_by_others_comes_back_and_counts_anew(stage: &Stage) {
    let given = Given::default();
    let settings = quick().max_retries(1);
    let _running = stage.start(step(settings.clone(), [failing("jobs", &given)]));
    for number in ["1", "2", "3"] {
        let mut theirs = json("", "jobs.archived", number);
        theirs.properties = theirs.properties.header("x-retry-count", 4);
        stage.send(&[theirs]).unwrap();
    }
    assert_eq!(move_back(&stage.connection, &settings, "jobs", 2).unwrap(), 2);
    stage.until("both were tried twice, and are archived behind the third", || stage.ready("jobs.archived") == 3);
    let mut tried = given.lock().unwrap().clone();
    tried.sort();
    assert_eq!(tried, ["1", "1", "2", "2"]);
    let archived = stage.take("jobs.archived", 3);
    let counts: Vec<_> = archived.iter().map(|message| message.header("x-retry-count").cloned()).collect();
    assert_eq!(counts, [4, 1, 1].map(|count| Some(Value::I32(count))));
    assert!(move_back(&stage.connection, &settings, "nobody", 2).is_err());
}

fn a_body_is_what_its_content_type_says(stage: &Stage) {
    let given = Given::default();
    let _running = stage.start(step(quick(), [noting("jobs", &given)]));
    let mut untyped = Publication::new("", "jobs", "[1]");
    let mut of_data = untyped.clone().content_type("application/data");
    of_data.properties.content_encoding = Some("UTF-8".into());
    let mut latin = json("", "jobs", "[1]");
    latin.properties.content_encoding = Some("latin-1".into());
    untyped.properties.content_encoding = None;
    let mut unsaid = untyped.clone();
    unsaid.properties.content_encoding = Some(String::new());
    stage.send(&[untyped, unsaid, of_data, json("", "jobs", "[1]"), json("", "jobs", ""), latin]).unwrap();
    stage.until("all are handled", || given.lock().unwrap().len() == 6);
    let mut seen = given.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, [r#"jobs """#, r#"jobs "[1]""#, r#"jobs "[1]""#, r#"jobs "[1]""#, "jobs [1]", "jobs [1]"]);
}

#[test]
fn the_delays_are_those_of_the_python_workers() {
    let stage = Stage::memory();
    let memory = stage.memory.clone().unwrap();
    let given = Given::default();
    let _running = stage.start(step(Settings::default(), [failing("jobs", &given)]));
    stage.send(&[json("", "jobs", "1")]).unwrap();
    for (attempts, expiration) in [(1, "200"), (2, "1000"), (3, "60000"), (4, "1800000")] {
        memory.rest(SOON).unwrap();
        assert_eq!(given.lock().unwrap().len(), attempts);
        let waiting = memory.messages("jobs.retry");
        assert_eq!(waiting[0].properties.expiration.as_deref(), Some(expiration));
        memory.advance(std::time::Duration::from_millis(expiration.parse().unwrap()) + SHORT);
    }
    memory.rest(SOON).unwrap();
    assert_eq!((given.lock().unwrap().len(), memory.texts("jobs.archived").len()), (5, 1));
}
