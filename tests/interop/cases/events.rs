//! celery-amqp-events: services in both languages that publish and handle each other's events, and share a service's queues.

use super::Case;
use crate::broker::difference;
use crate::program::Program;
use crate::stage::Stage;
use bootstep::steps::celery_amqp_events::{Event, EventPublisher, Service, Settings};
use bootstep::{Message, Outcome, Running, Value, Worker};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value as Json};
use std::collections::BTreeSet;

const PACKAGE: &str = "celery-amqp-events";
const EVENT: &str = "shop.order.paid";
const OTHER_EVENT: &str = "shop.order.sent";

pub fn cases() -> Vec<Case> {
    let case = |id, what, play| Case { id, what, package: PACKAGE, play };
    vec![
        case("B1-10", "declared in both orders: 10 retries", ten_retries as fn(&Stage) -> String),
        case("B1-2", "declared in both orders: 2 retries", two_retries),
        case("B1-0", "declared in both orders: no retries", no_retries),
        case("B2-to-python", "bootstep publishes, Python handles", bootstep_publishes),
        case("B2-to-bootstep", "Python publishes, bootstep handles", python_publishes),
        case("B4", "20 failing events, a Python and a bootstep worker of one service, 2 retries", all_fail),
    ]
}

/// The arguments of the events, by name.
#[derive(Clone, Serialize, Deserialize)]
struct Paid {
    order_id: u64,
    note: String,
}

fn paid(note: &str) -> Paid {
    Paid { order_id: 9_007_199_254_740_993, note: note.into() }
}

#[track_caller]
fn service(name: &str, retries: u32) -> Service {
    Service::new(name, Settings::default().max_retries(retries)).unwrap_or_else(|err| panic!("{err}"))
}

#[track_caller]
fn event<T>(service: &Service, name: &str) -> Event<T> {
    service.event(name).unwrap_or_else(|err| panic!("{err}"))
}

/// A service that handles the events, noting what it is called with and failing if it is told to.
#[track_caller]
fn handling(stage: &Stage, name: &str, retries: u32, events: &[&'static str]) -> Service {
    let mut service = service(name, retries);
    for name in events.iter().copied() {
        let (evidence, event) = (stage.evidence.clone(), event::<Paid>(&service, name));
        let handler = move |order: Paid, message: &Message| {
            let (id, retries) = (text(message, "id"), message.header("retries").and_then(Value::as_i64));
            evidence.note(&json!({"by": "bootstep", "event": name, "order": order, "id": id, "retries": retries}));
            if order.note == "fail" {
                Err("as it was told to".into())
            } else {
                Ok(Outcome::Ack)
            }
        };
        service.on(&event, handler).unwrap_or_else(|err| panic!("{err}"));
    }
    service
}

fn text(message: &Message, header: &str) -> String {
    message.header(header).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A Python worker of a service.
#[track_caller]
fn python(stage: &Stage, name: &str, retries: u32, events: &[&str], consumers_before: u32) -> Program {
    let retries = retries.to_string();
    let plan = json!({"service": name, "handles": events});
    let mut program = stage.celery("events_service", &[("AMQP_EVENTS_MAX_RETRIES", &retries)], &plan);
    let queues: Vec<String> = events.iter().map(|event| format!("{name}.{event}")).collect();
    stage.consumes(&mut program, &queues.iter().map(String::as_str).collect::<Vec<_>>(), consumers_before);
    program
}

fn ten_retries(stage: &Stage) -> String {
    declared_in_both_orders(stage, 10)
}

fn two_retries(stage: &Stage) -> String {
    declared_in_both_orders(stage, 2)
}

fn no_retries(stage: &Stage) -> String {
    declared_in_both_orders(stage, 0)
}

fn declared_in_both_orders(stage: &Stage, retries: u32) -> String {
    const EVENTS: [&str; 2] = [EVENT, OTHER_EVENT];
    let program = python(stage, "shop", retries, &EVENTS, 0);
    let by_python = stage.declared();
    let running = stage.worker(handling(stage, "shop", retries, &EVENTS));
    let by_both = stage.declared();
    assert!(by_both == by_python, "bootstep added to what Python declared: {}", difference(&by_python, &by_both));
    program.stop();
    assert_eq!(running.stop(), 0);

    let other = stage.afresh("reversed");
    let running = other.worker(handling(&other, "shop", retries, &EVENTS));
    let by_bootstep = other.declared();
    assert!(by_bootstep == by_python, "each declares other things: {}", difference(&by_python, &by_bootstep));
    let program = python(&other, "shop", retries, &EVENTS, 1);
    let by_both = other.declared();
    assert!(by_both == by_bootstep, "Python added to what bootstep declared: {}", difference(&by_bootstep, &by_both));
    program.stop();
    assert_eq!(running.stop(), 0);
    format!("{} exchanges, queues and bindings, identical; no 406", by_python.len())
}

/// A worker that handles the event itself and publishes it.
fn publishing(stage: &Stage) -> (Running, EventPublisher) {
    let service = handling(stage, "ledger", 2, &[EVENT]);
    let publisher = EventPublisher::of(&service);
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(service).add(publisher.clone());
    (stage.boot(worker), publisher)
}

fn bootstep_publishes(stage: &Stage) -> String {
    let program = python(stage, "warehouse", 2, &[EVENT], 0);
    let (running, publisher) = publishing(stage);
    let shop = service("shop", 2);
    let (named, placed) = (event::<Paid>(&shop, EVENT), event::<(u64, String)>(&shop, EVENT));
    let order = paid("Grüße \u{1F600}");
    let first = named.publish(&publisher, &order).unwrap_or_else(|err| panic!("{err}"));
    let second = placed.publish(&publisher, &(order.order_id, order.note.clone())).unwrap_or_else(|err| panic!("{err}"));
    stage.until("both sides have handled both", || stage.evidence.count("python") + stage.evidence.count("bootstep") >= 4);
    program.stop();
    assert_eq!(running.stop(), 0);

    let handled = stage.evidence.by("python");
    let wanted = |id: &str, args: Json, kwargs: Json| {
        let found =
            handled.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("Python did not handle {id}: {handled:?}"));
        assert_eq!((&found["args"], &found["kwargs"]), (&args, &kwargs));
    };
    wanted(&first, json!([]), json!(order));
    wanted(&second, json!([order.order_id, order.note]), json!({}));
    let own = stage.evidence.by("bootstep");
    assert!(own.len() == 2 && own.iter().all(|line| line["order"] == json!(order)), "the own service had {own:?}");
    "arguments by keyword and by position, ids kept; the publishing service handled both as well".into()
}

fn python_publishes(stage: &Stage) -> String {
    let (running, _) = publishing(stage);
    let order = paid("Grüße \u{1F600}");
    let (id, note) = (order.order_id, &order.note);
    let publish = json!([
        [EVENT, [id, note], {}],
        [EVENT, [], {"note": note, "order_id": id}],
        [EVENT, [id], {"note": note}],
    ]);
    let script = crate::environment::programs().join("events_service.py");
    let plan = json!({"service": "shop", "publish": publish});
    stage.python("python", &[&script.to_string_lossy()], &[("AMQP_EVENTS_MAX_RETRIES", "2")], &plan).succeeds();
    stage.until("bootstep has handled all", || stage.evidence.count("bootstep") >= 3);
    assert_eq!(running.stop(), 0);

    let ids = |side: &str| -> BTreeSet<String> { stage.evidence.by(side).iter().map(|line| line["id"].to_string()).collect() };
    assert_eq!(ids("bootstep"), ids("publisher"));
    let handled = stage.evidence.by("bootstep");
    assert!(handled.iter().all(|line| line["order"] == json!(order)), "{handled:?}");
    "arguments by position, by keyword, and both, each read alike; ids kept".into()
}

fn all_fail(stage: &Stage) -> String {
    const EVENTS: usize = 20;
    const RETRIES: u32 = 2;
    let service = handling(stage, "shop", RETRIES, &[EVENT]);
    let failing = event::<Paid>(&service, EVENT);
    let publisher = EventPublisher::of(&service);
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(service).add(publisher.clone());
    let running = stage.boot(worker);
    let program = python(stage, "shop", RETRIES, &[EVENT], 1);
    let publish = |_| failing.publish(&publisher, &paid("fail")).unwrap_or_else(|err| panic!("{err}"));
    let published: BTreeSet<String> = (0..EVENTS).map(publish).collect();
    let archived = stage.take("shop:archived", EVENTS);
    program.stop();
    assert_eq!(running.stop(), 0);

    let ids: BTreeSet<String> = archived.iter().map(|message| text(message, "id")).collect();
    assert_eq!(ids, published, "not each is archived once");
    assert_eq!(stage.ready("shop:archived"), 0, "something is archived twice");
    let lines = stage.evidence.lines();
    let retries = |line: &Json| line["retries"].as_i64().expect("a number");
    let last_of_bootstep = lines.iter().filter(|line| line["by"] == "bootstep" && retries(line) >= i64::from(RETRIES));
    for line in last_of_bootstep {
        let later = lines.iter().find(|other| other["id"] == line["id"] && retries(other) > retries(line));
        assert!(later.is_none(), "bootstep retried past {RETRIES}: {line}, then {later:?}");
        let end = archived.iter().find(|message| line["id"] == text(message, "id")).expect("all are archived");
        assert_eq!(end.header("retries").and_then(Value::as_i64), Some(retries(line) + 1));
    }
    let (by_python, by_bootstep) = (stage.evidence.count("python"), stage.evidence.count("bootstep"));
    assert!(by_python > 0 && by_bootstep > 0, "one side had nothing: {by_python} in Python, {by_bootstep} in bootstep");
    let beyond = (by_python + by_bootstep).checked_sub(3 * EVENTS).expect("each has three attempts at least");
    format!(
        "{EVENTS} archived once each, {by_python} attempts in Python and {by_bootstep} in bootstep; {beyond} beyond the limit, all \
         retried by Python (its limit grows with each event that it archives)"
    )
}
