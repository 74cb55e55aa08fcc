//! Queues consumed by one call each, with dead letters, and one whose messages become Celery tasks.
//!
//! `cargo run --example consume_from` needs no broker: it uses the memory broker and ends by itself. With
//! `AMQP_URL=amqp://guest:guest@localhost` set it works against that RabbitMQ and runs until Ctrl-C; publish to its queues
//! `example.orders` and `example.letters`, and let a Celery worker take the tasks `shop.tasks.answer` from the queue `celery`.

use bootstep::celery::Task;
use bootstep::steps::consume_from::{consume_from, republish_as_task, DeclareDefaultQueue};
use bootstep::{BoxError, Broker, Decode, Exchange, Json, MemoryBroker, Message, Outcome, Publication, Worker};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

fn worker(broker: Broker) -> Worker {
    let orders = consume_from("example.orders", |order: Json<Value>, message: &Message| {
        println!("order {} by `{}`", order["id"], message.routing_key());
        Ok(Outcome::Ack)
    });
    let letters = republish_as_task("example.letters", "shop.tasks.answer");
    let mut worker = Worker::new(broker);
    worker
        .steps
        .add(DeclareDefaultQueue)
        .add(orders.exchange(Exchange::topic("example.shop")).routing_key("order.*").dead_letters())
        .add(letters.dead_letters());
    worker
}

fn main() -> Result<ExitCode, BoxError> {
    if std::env::var_os("AMQP_URL").is_some() {
        println!("AMQP_URL is set: this runs until Ctrl-C");
        return Ok(worker(Broker::from_env()).run());
    }
    println!("AMQP_URL is not set: this runs on the memory broker, in this process");
    let memory = MemoryBroker::new();
    let running = worker(Broker::from(&memory)).start()?;
    memory.publish(Publication::new("example.shop", "order.web", r#"{"id": 7}"#))?;
    memory.publish(Publication::new("example.shop", "order.web", "{bad"))?;
    memory.publish(Publication::new("", "example.letters", r#"{"from": "Ada"}"#))?;
    memory.drain(Duration::from_secs(10))?;
    println!("in `example.orders.dead`: {:?}", memory.texts("example.orders.dead"));
    for task in memory.messages("celery") {
        let task = Task::decode(&Message::from_publication(task))?;
        println!("for Celery: {}({})", task.name, task.args[0]);
    }
    println!("ended with exit code {}", running.stop());
    Ok(ExitCode::SUCCESS)
}
