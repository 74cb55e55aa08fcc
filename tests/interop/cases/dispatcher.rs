//! amqp-dispatcher: both sides run on the same configuration file, and so share its queues.

use super::Case;
use crate::program::Program;
use crate::stage::Stage;
use bootstep::steps::amqp_dispatcher::{AmqpDispatcher, DispatchedConsumer, Proxy};
use bootstep::{BoxError, Exchange, Message, Publication, Queue, RetryPolicy, Running, Topology};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const CONFIG: &str = "
startup_handler: dispatcher_consumer:start_up
queues:
  - queue: notify
    x_max_length: 100000
    x_dead_letter_exchange: shop
    x_dead_letter_routing_key: notify.given-up
    bindings:
      - exchange: amq.topic
        routing_key: click.*
      - exchange: shop
        routing_key: order.paid
  - queue: given-up
    x_message_ttl: 3600000
    bindings:
      - exchange: shop
        routing_key: notify.given-up
  - queue: passing
    durable: false
    bindings:
      - exchange: shop
        routing_key: passing
consumers:
  - consumer: dispatcher_consumer:Consumer
    queue: notify
    consumer_count: 3
    prefetch_count: 3
";

pub fn cases() -> Vec<Case> {
    let case = |id, what, play| Case { id, what, package: "amqp-dispatcher", play };
    vec![
        case("C1", "one YAML file, declared in both orders, valid to both", declared_in_both_orders as fn(&Stage) -> String),
        case("C-shared", "300 messages on one queue, both consume it", shared),
        case("C-failing", "10 messages that fail on both sides", failing),
    ]
}

/// The consumer as `dispatcher_consumer.py` has it.
struct Consumer(crate::evidence::Evidence);

impl DispatchedConsumer for Consumer {
    fn consume(&mut self, proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError> {
        let body = String::from_utf8_lossy(message.body()).into_owned();
        self.0.note(&json!({"by": "bootstep", "body": body, "key": message.routing_key()}));
        match body.split(' ').next() {
            Some("fail") => Err("as it was told to".into()),
            Some("drop") => Ok(proxy.reject(false)?),
            _ => Ok(()),
        }
    }
}

fn dispatcher(stage: &Stage) -> AmqpDispatcher {
    let (consumers, starts) = (stage.evidence.clone(), stage.evidence.clone());
    AmqpDispatcher::new()
        .consumer("dispatcher_consumer:Consumer", move || Ok(Consumer(consumers.clone())))
        .startup_handler("dispatcher_consumer:start_up", move || {
            starts.note(&json!({"by": "bootstep", "started": true}));
            Ok(())
        })
        .retry(RetryPolicy::fixed(Duration::from_millis(100), 3))
}

#[track_caller]
fn bootstep(stage: &Stage) -> Running {
    let worker = dispatcher(stage).worker(CONFIG, stage.broker.clone()).unwrap_or_else(|err| panic!("{err}"));
    stage.boot(worker)
}

#[track_caller]
fn python(stage: &Stage, consumers_before: u32) -> Program {
    let mut program = command(stage, &[]);
    stage.consumes(&mut program, &["notify"], consumers_before);
    program
}

fn command(stage: &Stage, arguments: &[&str]) -> Program {
    fs::write(stage.folder.join("config.yml"), CONFIG).expect("the case's folder can be written");
    // Without a heartbeat it writes the word `None` into the URL.
    let url = format!("{}?heartbeat=60", stage.url);
    stage.python("amqp-dispatcher", &[&["--config", "config.yml"], arguments].concat(), &[("RABBITMQ_URL", &url)], &json!({}))
}

/// Neither side declares exchanges.
#[track_caller]
fn with_exchange(stage: &Stage) {
    let topology = Topology::default().exchange(Exchange::direct("shop"));
    stage.connection.declare(&topology).unwrap_or_else(|err| panic!("{err}"));
}

fn declared_in_both_orders(stage: &Stage) -> String {
    assert_eq!(dispatcher(stage).validate(CONFIG), [""; 0]);
    command(stage, &["--validate"]).succeeds();
    with_exchange(stage);
    let program = python(stage, 0);
    let by_python = stage.declared();
    let running = bootstep(stage);
    let by_both = stage.declared();
    program.stop();
    assert_eq!(running.stop(), 0);

    let other = stage.afresh("reversed");
    with_exchange(&other);
    let running = bootstep(&other);
    let by_bootstep = other.declared();
    let program = python(&other, 1);
    assert!(other.declared() == by_bootstep, "Python declares something that bootstep does not");
    program.stop();
    assert_eq!(running.stop(), 0);

    assert!(by_both == by_bootstep, "the order makes a difference");
    let missing: Vec<&String> = by_python.difference(&by_bootstep).collect();
    assert!(missing.is_empty(), "bootstep does not declare {missing:?}");
    let own: Vec<&String> = by_bootstep.difference(&by_python).collect();
    assert!(
        own.iter().all(|line| line.contains("notify.")),
        "bootstep declares more than what stands around its queue: {own:?}"
    );
    let own_queues = own.iter().filter(|line| line.starts_with("queue ")).count();
    format!(
        "{} exchanges, queues and bindings, identical; no 406; {own_queues} queues of bootstep's own around `notify`",
        by_python.len()
    )
}

fn bodies(kind: &str, count: usize) -> impl Iterator<Item = String> + '_ {
    (0..count).map(move |number| format!("{kind} {number}"))
}

fn send(stage: &Stage, bodies: impl Iterator<Item = String>) {
    let publications = bodies.map(|body| Publication::new("shop", "order.paid", body).mandatory());
    stage.send(&publications.collect::<Vec<_>>());
}

fn handled(stage: &Stage, side: &str, kind: &str) -> Vec<String> {
    let lines = stage.evidence.by(side);
    let bodies = lines.iter().filter_map(|line| line["body"].as_str()).filter(|body| body.split(' ').next() == Some(kind));
    bodies.map(str::to_owned).collect()
}

fn shared(stage: &Stage) -> String {
    const MESSAGES: usize = 300;
    const DROPPED: usize = 20;
    with_exchange(stage);
    let running = bootstep(stage);
    let program = python(stage, 1);
    send(stage, bodies("hello", MESSAGES).chain(bodies("drop", DROPPED)));
    let dropped = stage.take("given-up", DROPPED);
    let count = |kind| handled(stage, "python", kind).len() + handled(stage, "bootstep", kind).len();
    stage.until("all are handled", || count("hello") >= MESSAGES && stage.ready("notify") == 0);
    program.stop();
    assert_eq!(running.stop(), 0);

    let (by_python, by_bootstep) = (handled(stage, "python", "hello"), handled(stage, "bootstep", "hello"));
    let all: BTreeSet<&String> = by_python.iter().chain(&by_bootstep).collect();
    assert_eq!((all.len(), count("hello")), (MESSAGES, MESSAGES), "not each is handled once");
    assert!(!by_python.is_empty() && !by_bootstep.is_empty(), "one side had nothing");
    assert!(dropped.iter().all(|message| message.routing_key() == "notify.given-up"));
    assert_eq!(stage.ready("notify") + stage.ready("given-up"), 0, "something is left behind");
    format!(
        "{MESSAGES} handled once each ({} Python, {} bootstep); {DROPPED} rejected ones in the dead letters once each",
        by_python.len(),
        by_bootstep.len()
    )
}

fn failing(stage: &Stage) -> String {
    const MESSAGES: usize = 10;
    with_exchange(stage);
    let running = bootstep(stage);
    let program = python(stage, 1);
    send(stage, bodies("fail", MESSAGES));
    // There it is for ever; here the last retry ends it, whoever had the others.
    let archived = stage.take("notify.archive", MESSAGES);
    let still = stage.connection.declare_queue(&Queue::existing("notify")).map_or(0, |status| status.messages);
    program.stop();
    assert_eq!(running.stop(), 0);
    let ids: BTreeSet<&[u8]> = archived.iter().map(|message| message.body()).collect();
    assert_eq!((ids.len(), still), (MESSAGES, 0), "not each is archived once");
    let (by_python, by_bootstep) = (handled(stage, "python", "fail").len(), handled(stage, "bootstep", "fail").len());
    assert_eq!(by_bootstep, 4 * MESSAGES, "attempts in bootstep");
    assert!(by_python > 0, "Python had none");
    format!("{by_python} attempts in Python, which requeues at once and for ever; 4 each in bootstep, which then archived {MESSAGES}")
}
