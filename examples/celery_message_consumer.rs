//! A worker in a deployment of celery-message-consumer: one key, several, a wildcard; retries, the archive, and back out of it.
//!
//! `cargo run --example celery_message_consumer` needs no broker: it uses the memory broker and ends by itself. With
//! `AMQP_URL=amqp://guest:guest@localhost` set it joins that RabbitMQ and runs until Ctrl-C, beside Python workers of the same
//! queues if there are any; settings come from the variables `EVENT_CONSUMER_…`.

use bootstep::steps::celery_message_consumer::{move_back, CeleryMessageConsumer, MessageHandler, Settings};
use bootstep::{headers, BoxError, Broker, Error, Exchange, MemoryBroker, Message, Outcome, Publication, Value, Worker};
use serde::Deserialize;
use std::process::ExitCode;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Order {
    id: u64,
}

fn handlers(settings: Settings) -> Result<CeleryMessageConsumer, Error> {
    let mut handlers = CeleryMessageConsumer::new(settings);
    handlers
        .add(MessageHandler::new("order.paid", pack))?
        .add(MessageHandler::for_each(["order.lost", "order.late"], |order: Order, message: &Message| {
            println!("order {}: sorry for `{}`", order.id, message.routing_key());
            Ok(Outcome::Ack)
        }))?
        .add(MessageHandler::new("order.#", |_: serde_json::Value, message: &Message| {
            println!("noted `{}`", message.routing_key());
            Ok(Outcome::Ack)
        }))?;
    Ok(handlers)
}

fn pack(order: Order, message: &Message) -> Result<Outcome, BoxError> {
    match (order.id, message.attempt()) {
        (2, 1..=2) => Err("the press is jammed".into()),
        // What raises `PermanentFailure` there.
        (3, _) => Ok(Outcome::archive("there is no such order")),
        (id, attempt) => {
            println!("order {id} packed in attempt {attempt}");
            Ok(Outcome::Ack)
        }
    }
}

fn main() -> Result<ExitCode, Error> {
    // As the README there has it: the exchange that handlers are on by default is a topic exchange called `data`.
    let settings = Settings::load()?.exchange("default", Exchange::topic("data"));
    if std::env::var_os("AMQP_URL").is_some() {
        println!("AMQP_URL is set: this runs until Ctrl-C; publish JSON to the exchange `data` with the key `order.paid`");
        let mut worker = Worker::new(Broker::from_env());
        worker.steps.add(handlers(settings)?);
        return Ok(worker.run());
    }
    println!("AMQP_URL is not set: this runs on the memory broker, in this process");
    in_memory(settings)?;
    Ok(ExitCode::SUCCESS)
}

fn in_memory(settings: Settings) -> Result<(), Error> {
    let memory = MemoryBroker::new();
    let broker = Broker::from(&memory);
    let mut worker = Worker::new(broker.clone());
    worker.steps.add(handlers(settings.clone())?);
    let running = worker.start()?;
    let publish = |key: &str, body: &str| memory.publish(Publication::new("data", key, body).content_type("application/json"));
    for (key, body) in [
        ("order.paid", r#"{"id": 1}"#),
        ("order.paid", r#"{"id": 2}"#),
        ("order.paid", r#"{"id": 3}"#),
        ("order.paid", "three cups"),
        ("order.late", r#"{"id": 4}"#),
    ] {
        publish(key, body)?;
    }
    memory.drain(SOON)?;
    for archived in memory.messages("order.paid.archived") {
        let reason = archived.header(headers::REASON).and_then(Value::as_str).unwrap_or_default();
        println!("in `order.paid.archived`: {} because {reason}", String::from_utf8_lossy(archived.body()));
    }
    let moved = move_back(&broker.connect("operator")?, &settings, "order.paid", 1)?;
    memory.drain(SOON)?;
    println!("{moved} moved back and tried again; {} in the archive", memory.texts("order.paid.archived").len());
    println!("ended with exit code {}", running.stop());
    Ok(())
}
