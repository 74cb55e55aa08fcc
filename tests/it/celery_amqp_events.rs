//! The step that speaks the protocol of celery-amqp-events: what is on the wire, how often a failed event is tried, where it ends.

mod declared;
mod dying;
mod misuse;
mod unhandled;

use crate::support::stage::{Stage, SOON};
use bootstep::celery::Task;
use bootstep::steps::celery_amqp_events::{Event, EventPublisher, Service, Settings};
use bootstep::{headers, Decode, MemoryBroker, Message, Outcome, Publication, Queue, Running, Step, Table, Value, Worker};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

crate::on_both!(
    an_event_published_here_reaches_whoever_handles_it,
    arguments_arrive_in_either_spelling,
    a_service_handles_what_it_publishes_itself,
    a_failing_event_is_tried_and_archived_once,
    what_python_workers_have_tried_is_tried_as_often_as_is_left,
    only_the_service_that_fails_sees_retries,
    without_retries_the_first_failure_is_archived,
    without_an_archive_what_is_given_up_is_gone,
    a_permanent_failure_is_archived_at_once,
);

const EVENT: &str = "order.paid";

/// What the event tells: `def order_paid(order_id, amount)` in Python.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Paid {
    order_id: u64,
    amount: f64,
}

const PAID: Paid = Paid { order_id: 7, amount: 12.5 };

fn service(name: &str, settings: Settings) -> (Service, Event<Paid>) {
    let service = Service::new(name, settings).unwrap();
    let event = service.event::<Paid>(EVENT).unwrap();
    (service, event)
}

type Seen<T> = Arc<Mutex<Vec<T>>>;

/// A service whose handler fails every time, and the attempts it has seen.
fn failing(name: &str, settings: Settings) -> (Service, Seen<u32>) {
    let (mut service, event) = service(name, settings);
    let attempts = Seen::default();
    let seen = attempts.clone();
    let handler = move |_: Paid, message: &Message| {
        seen.lock().unwrap().push(message.attempt());
        Err("the till is locked".into())
    };
    service.on(&event, handler).unwrap();
    (service, attempts)
}

/// A service whose handler notes what it gets.
fn noting(name: &str, settings: Settings) -> (Service, Seen<Paid>) {
    let (mut service, event) = service(name, settings);
    let noted = Seen::default();
    let note = noted.clone();
    let handler = move |paid: Paid, _: &Message| {
        note.lock().unwrap().push(paid);
        Ok(Outcome::Ack)
    };
    service.on(&event, handler).unwrap();
    (service, noted)
}

fn start_all(stage: &Stage, steps: impl IntoIterator<Item = impl Step>) -> Running {
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    for step in steps {
        worker.steps.add(step);
    }
    worker.start().unwrap()
}

fn paid() -> Task {
    Task::new(EVENT).with_arguments(&PAID).unwrap()
}

fn sent(task: &Task) -> Publication {
    task.to_publication("events", EVENT)
}

fn retries_of(message: &Message) -> Option<&Value> {
    message.header("retries")
}

/// B2: what is published here is a task of Celery, with every header that a Python worker may read.
fn an_event_published_here_reaches_whoever_handles_it(stage: &Stage) {
    let (shop, event) = service("shop", Settings::default());
    let events = EventPublisher::of(&shop);
    // Nobody handles it, and nothing is bound: it is confirmed all the same.
    let running = stage.start(events.clone());
    event.publish(&events, &PAID).unwrap();
    stage.connection.declare_queue(&Queue::new("python").bind("events", "order.*")).unwrap();
    let id = event.publish(&events, &PAID).unwrap();
    let came = stage.take("python", 1).remove(0);
    assert_eq!((came.exchange(), came.routing_key()), ("events", EVENT));
    assert_eq!(
        came.body(),
        br#"[[],{"amount":12.5,"order_id":7},{"callbacks":null,"chain":null,"chord":null,"errbacks":null}]"#
    );
    let task = Task::decode(&came).unwrap();
    assert_eq!((task.id.as_str(), task.root_id.as_deref(), task.parent_id), (id.as_str(), Some(id.as_str()), None));
    let header = |name: &str| came.header(name).cloned();
    assert_eq!((header("lang"), header("task")), (Some("py".into()), Some(EVENT.into())));
    assert_eq!((header("retries"), header("eta")), (Some(Value::I32(0)), Some(Value::Null)));
    assert_eq!(header("kwargsrepr"), Some("{'amount': 12.5, 'order_id': 7}".into()));
    assert_eq!(header("stamps"), Some(Value::Table(Table::new())));
    let properties = came.properties();
    assert_eq!((properties.delivery_mode, properties.priority), (Some(2), Some(0)));
    assert_eq!(properties.correlation_id.as_deref(), Some(id.as_str()));
    assert_eq!(running.stop(), 0);
}

/// B2: what Python publishes is handled, however its caller has spelt the arguments.
fn arguments_arrive_in_either_spelling(stage: &Stage) {
    let (shop, noted) = noting("shop", Settings::default());
    let _running = stage.start(shop);
    let spellings = [
        Task::new(EVENT).arg(7).arg(12.5),
        Task::new(EVENT).arg(7).kwarg("amount", 12.5),
        Task::new(EVENT).kwarg("amount", 12.5).kwarg("order_id", 7),
    ];
    stage.send(&spellings.map(|task| sent(&task))).unwrap();
    // As a Python worker takes it at the least, and as Celery sent it before protocol 2.
    let mut least = Publication::new("events", EVENT, "[[7, 12.5], {}, {}]").content_type("application/json");
    least.properties = least.properties.header("task", EVENT).header("id", "4");
    let old =
        format!(r#"{{"task": "{EVENT}", "id": "5", "args": [7], "kwargs": {{"amount": 12.5}}, "retries": 0, "eta": null}}"#);
    stage.send(&[least, Publication::new("events", EVENT, old).content_type("application/json")]).unwrap();
    stage.until("all are handled", || noted.lock().unwrap().len() == 5);
    assert!(noted.lock().unwrap().iter().all(|paid| *paid == PAID));
    assert_eq!(stage.ready("shop:archived"), 0);
}

fn a_service_handles_what_it_publishes_itself(stage: &Stage) {
    let (mut shop, paid) = service("shop", Settings::default());
    let sent = shop.event::<(u64,)>("receipt.sent").unwrap();
    let events = EventPublisher::of(&shop);
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let receipt = sent.clone();
    let handler = move |paid: Paid, message: &Message| {
        receipt.send(message, &(paid.order_id,))?;
        Ok(Outcome::Ack)
    };
    shop.on(&paid, handler).unwrap();
    let handler = move |(order_id,): (u64,), message: &Message| {
        tell.send((order_id, Task::decode(message)?))?;
        Ok(Outcome::Ack)
    };
    shop.on(&sent, handler).unwrap();
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.add(shop).add(events.clone());
    let running = worker.start().unwrap();
    let id = paid.publish(&events, &PAID).unwrap();
    let (order_id, task) = told.recv_timeout(SOON).unwrap();
    assert_eq!((order_id, task.args), (7, vec![7.into()]));
    assert_eq!((task.root_id, task.parent_id), (Some(id.clone()), Some(id.clone())));
    assert_ne!(task.id, id);
    assert_eq!(running.stop(), 0);
}

/// B3: with two retries there are three attempts, and one archived copy that is counted and otherwise itself.
fn a_failing_event_is_tried_and_archived_once(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(2));
    let _running = stage.start(shop);
    let mut task = paid();
    task.headers.insert("traceparent".into(), "00-1".into());
    // Widths that py-amqp misreads are not passed on.
    task.headers.insert("tenant".into(), Value::I16(3));
    task.headers.insert("shelf".into(), Value::Array(vec![Value::I8(-3), Value::I64(-4)]));
    task.eta = Some("2026-01-01T00:00:00+00:00".into());
    let publication = sent(&task);
    stage.send(std::slice::from_ref(&publication)).unwrap();
    let archived = stage.take("shop:archived", 1).remove(0);
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3]);
    assert_eq!(retries_of(&archived), Some(&Value::I32(3)));
    assert_eq!(archived.body(), publication.body());
    assert_eq!(archived.routing_key(), EVENT);
    let text = |name: &str| archived.header(name).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!([text("id"), text("root_id"), text("parent_id")], [task.id.clone(), task.id.clone(), task.id.clone()]);
    assert_eq!((archived.header("eta"), archived.header("tenant")), (Some(&Value::Null), Some(&Value::I32(3))));
    assert_eq!(archived.header("shelf"), Some(&Value::Array(vec![Value::I32(-3), Value::I32(-4)])));
    assert_eq!((text("traceparent"), text(headers::REASON)), ("00-1".into(), "the till is locked".into()));
    assert_eq!(archived.header("x-death"), None);
    assert_eq!(archived.properties().correlation_id.as_ref(), Some(&task.id));
    assert_eq!(archived.properties().reply_to, task.reply_to);
    assert_eq!((stage.ready("shop.order.paid"), stage.ready("shop:retry"), stage.ready("shop:retry.1")), (0, 0, 0));
}

/// B4: whatever count a Python worker leaves, and its own may go beyond the limit, no event is tried past it or archived twice.
fn what_python_workers_have_tried_is_tried_as_often_as_is_left(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(2));
    let _running = stage.start(shop);
    for retries in [0, 1, 2, 3, 7] {
        let mut task = paid();
        task.retries = retries;
        // As a Python worker sends it again: with the rest of its countdown, for which nobody waits here.
        task.eta = Some("2099-01-01T00:00:00+00:00".into());
        stage.send(&[sent(&task).to("shop:retry", EVENT)]).unwrap();
    }
    let mut counts: Vec<_> = stage.take("shop:archived", 5).iter().map(|it| retries_of(it).unwrap().as_i64()).collect();
    counts.sort();
    assert_eq!(counts, [3, 3, 3, 4, 8].map(Some));
    attempts.lock().unwrap().sort();
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 2, 3, 3, 3, 4, 8]);
}

/// B6: each service has a queue of its own, and its own way back to it.
fn only_the_service_that_fails_sees_retries(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(1));
    let (ledger, noted) = noting("ledger", Settings::default().max_retries(1));
    let _running = start_all(stage, [shop, ledger]);
    stage.send(&[sent(&paid())]).unwrap();
    assert_eq!(retries_of(&stage.take("shop:archived", 1)[0]), Some(&Value::I32(2)));
    assert_eq!((attempts.lock().unwrap().len(), noted.lock().unwrap().len()), (2, 1));
    let others = ["ledger.order.paid", "ledger:retry", "ledger:archived", "shop.order.paid", "shop:retry"];
    assert_eq!(others.map(|queue| stage.ready(queue)), [0; 5]);
}

fn without_retries_the_first_failure_is_archived(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(0));
    let _running = stage.start(shop);
    stage.send(&[sent(&paid())]).unwrap();
    assert_eq!(retries_of(&stage.take("shop:archived", 1)[0]), Some(&Value::I32(1)));
    assert_eq!(*attempts.lock().unwrap(), [1]);
    assert!(stage.connection.declare_queue(&Queue::existing("shop:retry")).is_err());
}

fn without_an_archive_what_is_given_up_is_gone(stage: &Stage) {
    let settings = Settings::default().max_retries(1).archived_message_ttl_ms(0).archived_queue_length(0);
    let (shop, attempts) = failing("shop", settings);
    let running = stage.start(shop);
    stage.send(&[sent(&paid()), Publication::new("events", EVENT, "{bad").content_type("application/json")]).unwrap();
    stage.until("both are given up", || running.consumers()[0].archived == 1 && running.consumers()[0].rejected == 1);
    assert_eq!(*attempts.lock().unwrap(), [1, 2]);
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("shop.order.paid"), stage.ready("shop:retry")), (0, 0), "it does not come again");
    assert!(stage.connection.declare_queue(&Queue::existing("shop:archived")).is_err());
}

fn a_permanent_failure_is_archived_at_once(stage: &Stage) {
    let (mut shop, event) = service("shop", Settings::default());
    let handler = |paid: Paid, _: &Message| match paid.order_id {
        7 => Ok(Outcome::archive("no such order")),
        _ => Ok(Outcome::reject("no such order")),
    };
    shop.on(&event, handler).unwrap();
    let _running = stage.start(shop);
    stage.send(&[sent(&paid()), sent(&Task::new(EVENT).arg(8).arg(1.0))]).unwrap();
    let archived = stage.take("shop:archived", 2);
    assert!(archived.iter().all(|message| message.header(headers::REASON) == Some(&"no such order".into())));
}

#[test]
fn retries_are_spread_at_random_over_the_queues_up_to_their_own() {
    let memory = MemoryBroker::new();
    let (shop, _) = failing("shop", Settings::default().max_retries(3));
    let mut worker = Worker::new((&memory).into());
    worker.steps.add(shop);
    let running = worker.start().unwrap();
    for _ in 0..300 {
        let mut task = paid();
        task.retries = 1;
        memory.publish(sent(&task)).unwrap();
    }
    memory.rest(SOON).unwrap();
    let waiting = ["shop:retry", "shop:retry.1", "shop:retry.2"].map(|queue| memory.messages(queue).len());
    // Of 0, 1 and 2 seconds, the first two wait for one.
    assert!(waiting[0].abs_diff(200) < 60 && waiting[1].abs_diff(100) < 60 && waiting[2] == 0, "{waiting:?}");
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_delay_that_a_handler_asks_for_is_rounded_up_to_a_queue() {
    let memory = MemoryBroker::new();
    let (mut shop, event) = service("shop", Settings::default().max_retries(4));
    let seconds = |paid: Paid, _: &Message| Ok(Outcome::retry("later").after(std::time::Duration::from_secs(paid.order_id)));
    shop.on(&event, seconds).unwrap();
    let mut worker = Worker::new((&memory).into());
    worker.steps.add(shop);
    let running = worker.start().unwrap();
    for asked in [2, 3, 3600] {
        memory.publish(sent(&Task::new(EVENT).arg(asked).arg(1.0))).unwrap();
    }
    // As many as the longest that could be drawn: none is drawn.
    for _ in 0..10 {
        let mut task = Task::new(EVENT).arg(4).arg(1.0);
        task.retries = 2;
        memory.publish(sent(&task)).unwrap();
    }
    memory.rest(SOON).unwrap();
    let waiting = ["shop:retry", "shop:retry.1", "shop:retry.2", "shop:retry.3"].map(|queue| memory.messages(queue).len());
    assert_eq!(waiting, [0, 1, 11, 1]);
    assert_eq!(running.stop(), 0);
}
