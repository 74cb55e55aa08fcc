//! The article's `consume_from`: dead letters under its names, routing keys that count, and tasks that no message is lost for.

use crate::support::listed::stage_to_list;
use crate::support::stage::{Stage, SOON};
use bootstep::celery::Task;
use bootstep::steps::consume_from::{consume_from, republish_as_task, ConsumeFrom, DeclareDefaultQueue};
use bootstep::{Decode, Exchange, Fault, Json, Outcome, Publication, Queue, RetryPolicy, Value, Worker};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

crate::on_both!(
    e4_what_cannot_be_decoded_is_dead_lettered_by_the_broker,
    without_dead_letters_it_is_kept_all_the_same,
    the_routing_key_counts,
    a_message_becomes_a_task_and_is_acked_then,
    a_task_that_nobody_takes_costs_no_message,
);

fn ack(queue: impl Into<Queue>) -> ConsumeFrom {
    consume_from(queue, |_: Json<serde_json::Value>, _| Ok(Outcome::Ack))
}

/// The declarations of the article, as RabbitMQ lists them.
#[test]
fn the_names_are_those_of_the_article() {
    let (stage, listing) = stage_to_list();
    let mut worker = Worker::new(stage.broker.clone());
    let full = Queue::new("full").bind("amq.topic", "order.*").max_length(7);
    let bound = ack("bound").exchange(Exchange::topic("shop")).routing_key("order.paid");
    worker.steps.add(ack("plain").dead_letters()).add(ack(full).dead_letters()).add(bound.dead_letters_ending_in("lost"));
    worker.steps.add(DeclareDefaultQueue);
    let _running = worker.start().unwrap();
    let queues = listing.queues();
    let of_the_article = |line: &&String| !line.contains(".retry.") && !line.contains(".archive ");
    let queues: Vec<&str> = queues.iter().filter(of_the_article).map(String::as_str).collect();
    let expected = [
        "bound durable x-dead-letter-exchange=bound.lost x-dead-letter-routing-key=order.paid.lost",
        "bound.lost durable",
        "celery durable x-dead-letter-exchange=celery.dead x-dead-letter-routing-key=celery.dead",
        "celery.dead durable",
        "full durable x-dead-letter-exchange=full.dead x-dead-letter-routing-key=order.*.dead x-max-length=7",
        "full.dead durable",
        "plain durable x-dead-letter-exchange=plain.dead x-dead-letter-routing-key=plain.dead",
        "plain.dead durable",
    ];
    assert_eq!(queues, expected);
    let direct =
        ["bound.lost", "celery", "celery.dead", "full.dead", "plain.dead"].map(|name| format!("{name} direct durable"));
    assert_eq!(listing.exchanges(), [&direct[..], &["shop topic durable".to_owned()]].concat());
    let bindings = [
        "amq.topic order.* > full",
        "bound.lost order.paid.lost > bound.lost",
        "celery celery > celery",
        "celery.dead celery.dead > celery.dead",
        "full.dead order.*.dead > full.dead",
        "plain.dead plain.dead > plain.dead",
        "shop order.paid > bound",
    ];
    assert_eq!(listing.bindings(), bindings);
}

/// E4: a decode error lands in `<queue>.dead` with the reason `rejected`, and so does what the function rejects.
fn e4_what_cannot_be_decoded_is_dead_lettered_by_the_broker(stage: &Stage) {
    let step =
        consume_from("orders", |order: Json<u64>, _| Ok(if *order == 0 { Outcome::reject("none") } else { Outcome::Ack }));
    let _running = stage.start(step.dead_letters());
    stage.publish("orders", &["{bad", "7", "0"]);
    let dead = stage.take("orders.dead", 2);
    let mut bodies: Vec<_> = dead.iter().map(|message| message.body().to_vec()).collect();
    bodies.sort();
    assert_eq!(bodies, [b"0".to_vec(), b"{bad".to_vec()]);
    for message in &dead {
        let Some(Value::Array(deaths)) = message.header("x-death") else { panic!("{:?}", message.headers()) };
        let Value::Table(death) = &deaths[0] else { panic!("{deaths:?}") };
        assert_eq!((&death["reason"], &death["queue"]), (&"rejected".into(), &"orders".into()));
    }
    stage.until("nothing is left", || stage.ready("orders") == 0);
}

fn without_dead_letters_it_is_kept_all_the_same(stage: &Stage) {
    let _running = stage.start(ack("orders"));
    stage.publish("orders", &["{bad"]);
    assert_eq!(stage.take("orders.dead", 1)[0].body(), b"{bad");
}

fn the_routing_key_counts(stage: &Stage) {
    let (tell, told) = sync_channel(8);
    let step = consume_from("orders", move |order: String, message| {
        tell.send(format!("{order} by {}", message.routing_key()))?;
        Ok(Outcome::Ack)
    });
    let _running = stage.start(step.exchange(Exchange::direct("shop")).routing_key("paid"));
    stage.send(&[Publication::new("shop", "lost", "1"), Publication::new("shop", "paid", "2").mandatory()]).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), "2 by paid");
    assert!(told.try_recv().is_err());
}

#[test]
fn a_routing_key_that_leads_nowhere_is_an_error() {
    let mut worker = Worker::new(Stage::memory().broker);
    worker.steps.add(ack("orders").routing_key("paid"));
    let err = worker.start().unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    assert!(err.to_string().contains("the queue `orders` has the routing key `paid` and no exchange"), "{err}");
}

#[test]
fn a_queue_that_is_consumed_twice_is_an_error() {
    let mut worker = Worker::new(Stage::memory().broker);
    worker.steps.add(ack("orders")).add(republish_as_task("orders", "pack"));
    let err = worker.start().unwrap_err();
    assert_eq!(err.fault(), Fault::Blueprint);
    assert!(err.to_string().contains("consume_from(orders)"), "{err}");
}

fn a_message_becomes_a_task_and_is_acked_then(stage: &Stage) {
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(DeclareDefaultQueue).add(republish_as_task("orders", "shop.tasks.pack").dead_letters());
    let _running = worker.start().unwrap();
    stage.publish("orders", &[r#"{"id": 7, "note": "für"}"#, "[1, 2]", "{bad"]);
    let tasks: Vec<Task> = stage.take("celery", 2).iter().map(|message| Task::decode(message).unwrap()).collect();
    assert!(tasks.iter().all(|task| task.name == "shop.tasks.pack" && task.args.len() == 1 && task.kwargs.is_empty()));
    let mut args: Vec<String> = tasks.iter().map(|task| task.args[0].to_string()).collect();
    args.sort();
    assert_eq!(args, ["[1,2]", r#"{"id":7,"note":"für"}"#]);
    assert_eq!(stage.take("orders.dead", 1)[0].body(), b"{bad");
    stage.until("nothing is left", || stage.ready("orders") == 0);
}

fn a_task_that_nobody_takes_costs_no_message(stage: &Stage) {
    let soon = RetryPolicy::fixed(Duration::from_millis(50), 1);
    let _running = stage.start(republish_as_task("orders", "pack").with(move |consumer| consumer.retry(soon.clone())));
    stage.publish("orders", &["7"]);
    let archived = &stage.take("orders.archive", 1)[0];
    assert_eq!((archived.body(), archived.retries()), (&b"7"[..], 1));
}
