//! celery-message-consumer: one worker of it and one of ours on the same queues.

use super::Case;
use crate::broker::difference;
use crate::program::Program;
use crate::stage::Stage;
use bootstep::steps::celery_message_consumer::{move_back, CeleryMessageConsumer, MessageHandler, Settings};
use bootstep::{headers, Exchange, Message, Outcome, Properties, Publication, Running, Table, Value};
use serde_json::{json, Value as Json};
use std::collections::BTreeSet;
use std::time::Duration;

const PACKAGE: &str = "celery-message-consumer";

pub fn cases() -> Vec<Case> {
    let case = |id, what, play| Case { id, what, package: PACKAGE, play };
    vec![
        case("A1-A", "declared in both orders: AMQP default exchange", default_exchange as fn(&Stage) -> String),
        case("A1-B", "declared in both orders: named exchanges, own queue names, queue arguments", named_exchange),
        case("A1-C", "declared in both orders: an exchange named `default`", exchange_named_default),
        case("A6", "20 failing messages, a Python and a bootstep worker", twenty_failing),
        case("A6-1000", "1,000 failing messages, a Python and a bootstep worker", thousand_failing),
        case("A7", "headers, integer types and unusual bodies over hops through both", hops_through_both),
        case("A13", "archived by Python, moved back by bootstep, handled again", archived_and_moved_back),
    ]
}

/// What is registered on both sides.
#[derive(Clone)]
struct Deployment {
    /// Reference name, name and type.
    exchanges: Vec<(&'static str, &'static str, &'static str)>,
    handlers: Vec<Registration>,
}

#[derive(Clone, Default)]
struct Registration {
    keys: Vec<&'static str>,
    queue: Option<&'static str>,
    exchange: Option<&'static str>,
    max_length: Option<i32>,
}

impl Deployment {
    fn of(handlers: Vec<Registration>) -> Deployment {
        Deployment { exchanges: Vec::new(), handlers }
    }

    fn of_one(key: &'static str) -> Deployment {
        Deployment::of(vec![on(&[key])])
    }

    fn queues(&self) -> Vec<&'static str> {
        self.handlers.iter().flat_map(|handler| handler.queue.map_or(handler.keys.clone(), |queue| vec![queue])).collect()
    }

    fn plan(&self) -> Json {
        let exchanges =
            self.exchanges.iter().map(|(reference, name, kind)| (reference.to_string(), json!({"name": name, "type": kind})));
        let handlers = self.handlers.iter().map(|handler| {
            let mut options = serde_json::Map::new();
            let mut set = |name: &str, value: Option<Json>| value.map(|value| options.insert(name.into(), value));
            set("queue", handler.queue.map(Json::from));
            set("exchange", handler.exchange.map(Json::from));
            set("queue_arguments", handler.max_length.map(|length| json!({"x-max-length": length})));
            let keys = if let [key] = handler.keys[..] { json!(key) } else { json!(handler.keys) };
            json!({"routing_keys": keys, "options": options})
        });
        let handlers: Vec<Json> = handlers.collect();
        json!({"exchanges": exchanges.collect::<serde_json::Map<_, _>>(), "handlers": handlers})
    }

    #[track_caller]
    fn python(&self, stage: &Stage, consumers_before: u32) -> Program {
        let settings = [("EVENT_CONSUMER_APP_CONFIG", "consumer_settings")];
        let mut program = stage.celery("consumer_worker", &settings, &self.plan());
        stage.consumes(&mut program, &self.queues(), consumers_before);
        program
    }

    #[track_caller]
    fn bootstep(&self, stage: &Stage) -> Running {
        // The same delays as in `consumer_settings.py`.
        let delay = |retries: u32| Duration::from_millis(5) * (retries + 1);
        let settings = self.exchanges.iter().fold(Settings::default().backoff(delay), |settings, (reference, name, kind)| {
            let exchange = if *kind == "topic" { Exchange::topic(*name) } else { Exchange::direct(*name) };
            settings.exchange(*reference, exchange)
        });
        let mut step = CeleryMessageConsumer::new(settings);
        for handler in &self.handlers {
            let evidence = stage.evidence.clone();
            let mut registered = MessageHandler::for_each(handler.keys.clone(), move |body: Json, _: &Message| {
                evidence.note(&json!({"by": "bootstep", "body": body}));
                match body["wish"].as_str() {
                    Some("fail") => Err("as it was told to".into()),
                    Some("archive") => Ok(Outcome::archive("as it was told to")),
                    _ => Ok(Outcome::Ack),
                }
            });
            if let Some(queue) = handler.queue {
                registered = registered.queue(queue);
            }
            if let Some(exchange) = handler.exchange {
                registered = registered.exchange(exchange);
            }
            if let Some(length) = handler.max_length {
                registered = registered.queue_argument("x-max-length", length);
            }
            step.add(registered).unwrap_or_else(|err| panic!("{err}"));
        }
        stage.worker(step)
    }
}

fn on(keys: &[&'static str]) -> Registration {
    Registration { keys: keys.to_vec(), ..Registration::default() }
}

fn default_exchange(stage: &Stage) -> String {
    declared_in_both_orders(stage, &Deployment::of(vec![on(&["plain"]), on(&["one", "two"])]))
}

fn named_exchange(stage: &Stage) -> String {
    let handlers = vec![
        Registration { exchange: Some("shop"), ..on(&["order.paid"]) },
        Registration { exchange: Some("shop"), queue: Some("all-orders"), ..on(&["order.*"]) },
        Registration { exchange: Some("direct"), queue: Some("bounded"), max_length: Some(1000), ..on(&["thing"]) },
        on(&["plain"]),
    ];
    let exchanges = vec![("shop", "shop-events", "topic"), ("direct", "things", "direct")];
    declared_in_both_orders(stage, &Deployment { exchanges, handlers })
}

fn exchange_named_default(stage: &Stage) -> String {
    let handlers = vec![on(&["order.paid"]), Registration { queue: Some("all-orders"), ..on(&["order.#"]) }];
    let exchanges = vec![("default", "data", "topic")];
    declared_in_both_orders(stage, &Deployment { exchanges, handlers })
}

fn declared_in_both_orders(stage: &Stage, deployment: &Deployment) -> String {
    let python = deployment.python(stage, 0);
    let by_python = stage.declared();
    let bootstep = deployment.bootstep(stage);
    let by_both = stage.declared();
    assert!(by_both == by_python, "bootstep added to what Python declared: {}", difference(&by_python, &by_both));
    python.stop();
    assert_eq!(bootstep.stop(), 0);

    let other = stage.afresh("reversed");
    let bootstep = deployment.bootstep(&other);
    let by_bootstep = other.declared();
    assert!(by_bootstep == by_python, "each declares other things: {}", difference(&by_python, &by_bootstep));
    let python = deployment.python(&other, 1);
    let by_both = other.declared();
    assert!(by_both == by_bootstep, "Python added to what bootstep declared: {}", difference(&by_bootstep, &by_both));
    python.stop();
    assert_eq!(bootstep.stop(), 0);
    format!("{} exchanges, queues and bindings, identical; no 406", by_python.len())
}

fn twenty_failing(stage: &Stage) -> String {
    all_fail(stage, 20)
}

fn thousand_failing(stage: &Stage) -> String {
    all_fail(stage, 1000)
}

fn all_fail(stage: &Stage, messages: usize) -> String {
    let deployment = Deployment::of_one("failing");
    let bootstep = deployment.bootstep(stage);
    let mut python = deployment.python(stage, 1);
    stage.send_json("", "failing", (0..messages).map(|number| json!({"wish": "fail", "number": number})));
    stage.until("all are archived", || {
        assert!(python.is_running(), "the Python worker has ended: {}", python.said());
        stage.ready("failing.archived") as usize >= messages
    });
    python.stop();
    assert_eq!(bootstep.stop(), 0);

    let (by_python, by_bootstep) = (stage.evidence.count("python"), stage.evidence.count("bootstep"));
    assert_eq!(by_python + by_bootstep, 5 * messages, "attempts: {by_python} in Python, {by_bootstep} in bootstep");
    assert!(by_python > 0 && by_bootstep > 0, "one side had nothing: {by_python} in Python, {by_bootstep} in bootstep");
    let archived = stage.take("failing.archived", messages);
    let numbers: BTreeSet<u64> = archived.iter().map(|message| body(message)["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers.len(), messages, "not each is archived once");
    assert!(archived.iter().all(|message| count(message) == Some(4)), "not each has the count 4");
    assert_eq!((stage.ready("failing"), stage.ready("failing.retry")), (0, 0), "something is left behind");
    let in_all = by_python + by_bootstep;
    format!("{in_all} attempts in all ({by_python} Python, {by_bootstep} bootstep), {messages} archived once each, each with count 4")
}

/// Bodies that another program might write; what is compared is the value, as Python writes each anew on each hop.
fn unusual_body(number: usize) -> String {
    let start = format!("{{\"wish\": \"fail\", \"number\": {number}");
    match number % 4 {
        0 => format!("{start}, \"umlaut\": \"Grüße, \u{1F600}\", \"escaped\": \"\\u00e9\\n\\u0000\"}}"),
        1 => format!("{start}, \"integer\": 9007199254740993, \"negative\": -42, \"half\": 0.50, \"small\": 1e-7}}"),
        2 => format!("{start}, \"nested\": [[], {{}}, [null, true, [1, [2, [3]]]]], \"\": \"\"}}"),
        _ => format!("  {start}\n\t,\"long\" : \"{}\"}}  ", "long ".repeat(20_000)),
    }
}

/// Headers of all the types that both sides can carry (no int16: it ends the connection of an older Python worker).
fn unusual_headers() -> Vec<(&'static str, Value)> {
    let table = Table::from_iter([("inner".to_owned(), Value::I32(7))]);
    vec![
        ("int32", Value::I32(-7)),
        ("int64", Value::I64(1 << 40)),
        ("zero", Value::I32(0)),
        ("truth", Value::Bool(true)),
        ("text", Value::from("Grüße")),
        ("nothing", Value::Null),
        ("table", table.into()),
        ("list", Value::Array(vec![Value::I32(1), Value::from("two")])),
        ("double", Value::F64(0.5)),
    ]
}

fn hops_through_both(stage: &Stage) -> String {
    const MESSAGES: usize = 40;
    let deployment = Deployment::of_one("hops");
    let bootstep = deployment.bootstep(stage);
    let python = deployment.python(stage, 1);
    let publications = (0..MESSAGES).map(|number| {
        let mut properties = Properties::persistent("application/json");
        properties.content_encoding = Some("utf-8".into());
        let properties = unusual_headers().into_iter().fold(properties, |all, (name, value)| all.header(name, value));
        Publication::new("", "hops", unusual_body(number)).with(properties).mandatory()
    });
    stage.send(&publications.collect::<Vec<_>>());
    let archived = stage.take("hops.archived", MESSAGES);
    python.stop();
    assert_eq!(bootstep.stop(), 0);

    let sent: Vec<Json> =
        (0..MESSAGES).map(|number| serde_json::from_str(&unusual_body(number)).expect("it is JSON")).collect();
    for message in &archived {
        assert!(sent.contains(&body(message)), "another body: {}", body(message));
        assert_eq!(count(message), Some(4));
        for (name, value) in unusual_headers() {
            let kept = message.header(name);
            assert!(kept.is_some_and(|kept| is_same(kept, &value)), "the header `{name}` was {value:?} and is {kept:?}");
        }
    }
    let lines = stage.evidence.lines();
    assert!(lines.iter().all(|line| sent.contains(&line["body"])), "a handler got another body");
    let through = |side: &str| -> BTreeSet<u64> {
        lines.iter().filter(|line| line["by"] == side).filter_map(|line| line["body"]["number"].as_u64()).collect()
    };
    let both = through("python").intersection(&through("bootstep")).count();
    assert!(both > 0, "no message had attempts on both sides");
    let headers = unusual_headers().len();
    format!("{both} of {MESSAGES} messages had attempts on both sides; bodies equal as JSON, {headers} headers equal in value")
}

/// Whether one is the other, in whichever width: py-amqp writes each number as it sees fit.
fn is_same(kept: &Value, sent: &Value) -> bool {
    match (kept, sent) {
        (Value::Array(kept), Value::Array(sent)) => {
            kept.len() == sent.len() && kept.iter().zip(sent).all(|(kept, sent)| is_same(kept, sent))
        }
        (Value::Table(kept), Value::Table(sent)) => {
            kept.len() == sent.len() && sent.iter().all(|(name, sent)| kept.get(name).is_some_and(|kept| is_same(kept, sent)))
        }
        _ => kept == sent || (sent.as_i64().is_some() && kept.as_i64() == sent.as_i64()),
    }
}

fn archived_and_moved_back(stage: &Stage) -> String {
    let deployment = Deployment::of_one("replayed");
    let python = deployment.python(stage, 0);
    stage.send_json("", "replayed", [json!({"wish": "archive", "number": 1}), json!({"wish": "fail", "number": 2})]);
    stage.until("Python has archived both", || stage.ready("replayed.archived") == 2);
    python.stop();
    assert_eq!(stage.evidence.count("python"), 6);

    let bootstep = deployment.bootstep(stage);
    let moved = move_back(&stage.connection, &Settings::default(), "replayed", 10).unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(moved, 2);
    let archived = stage.take("replayed.archived", 2);
    assert_eq!(bootstep.stop(), 0);
    // Archived at once, or after five attempts once more: the count began anew.
    assert_eq!(stage.evidence.count("bootstep"), 6);
    let counts: BTreeSet<Option<i64>> = archived.iter().map(count).collect();
    assert_eq!(counts, BTreeSet::from([None, Some(4)]));

    let as_it_was = |message: &Message| {
        Publication::new("", "replayed.archived", message.body()).with(message.properties().clone()).mandatory()
    };
    stage.send(&archived.iter().map(as_it_was).collect::<Vec<_>>());
    assert_eq!(move_back(&stage.connection, &Settings::default(), "replayed", 10).unwrap_or_else(|err| panic!("{err}")), 2);
    let python = deployment.python(stage, 0);
    let again = stage.take("replayed.archived", 2);
    python.stop();
    assert_eq!(stage.evidence.count("python"), 12);
    assert!(again.iter().all(|message| message.header(headers::REASON).is_none()), "the reason of the last time is kept");
    "2 messages archived by Python, moved back, 6 attempts in bootstep; archived by bootstep, moved back, 6 attempts in Python"
        .into()
}

fn body(message: &Message) -> Json {
    serde_json::from_slice(message.body()).unwrap_or(Json::Null)
}

fn count(message: &Message) -> Option<i64> {
    message.header("x-retry-count").and_then(Value::as_i64)
}
