//! A service of celery-amqp-events in Rust: it publishes events, handles some, and has one fail for good.
//!
//! `cargo run --example celery_amqp_events` needs no broker: it uses the memory broker and ends by itself. With
//! `AMQP_URL=amqp://guest:guest@localhost` set it joins the deployment on that RabbitMQ, as the service `example`, and runs until
//! Ctrl-C; a Python service there may publish `example.order_paid` and handle `example.receipt_sent`.

use bootstep::steps::celery_amqp_events::{Event, EventPublisher, Service, Settings};
use bootstep::{headers, BoxError, Broker, MemoryBroker, Message, Outcome, Worker};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::time::Duration;

/// `def order_paid(order_id, amount, note='')` in Python.
#[derive(Serialize, Deserialize)]
struct OrderPaid {
    order_id: u64,
    amount: f64,
    #[serde(default)]
    note: String,
}

/// `def receipt_sent(order_id)` in Python.
#[derive(Serialize, Deserialize)]
struct ReceiptSent {
    order_id: u64,
}

fn service() -> Result<(Service, Event<OrderPaid>), BoxError> {
    let mut service = Service::new("example", Settings::from_env()?)?.tuned(|consumer| consumer.prefetch(10));
    let order_paid = service.event::<OrderPaid>("example.order_paid")?.validate(|order| match order.amount > 0.0 {
        true => Ok(()),
        false => Err("an order is paid with more than nothing".into()),
    });
    let receipt_sent = service.event::<ReceiptSent>("example.receipt_sent")?;
    let receipt = receipt_sent.clone();
    service.on(&order_paid, move |order: OrderPaid, message: &Message| {
        if order.note == "disputed" {
            println!("order {}: attempt {} failed", order.order_id, message.attempt());
            return Err("the order is disputed".into());
        }
        println!("order {} is paid with {}", order.order_id, order.amount);
        receipt.send(message, &ReceiptSent { order_id: order.order_id })?;
        Ok(Outcome::Ack)
    })?;
    service.on(&receipt_sent, |receipt: ReceiptSent, _: &Message| {
        println!("the receipt of order {} is sent", receipt.order_id);
        Ok(Outcome::Ack)
    })?;
    Ok((service, order_paid))
}

fn main() -> Result<ExitCode, BoxError> {
    let (service, order_paid) = service()?;
    if std::env::var_os("AMQP_URL").is_some() {
        println!("AMQP_URL is set: this runs until Ctrl-C");
        let mut worker = Worker::new(Broker::from_env());
        worker.steps.add(service);
        return Ok(worker.run());
    }
    println!("AMQP_URL is not set: this runs on the memory broker, in this process");
    in_memory(service, &order_paid)?;
    Ok(ExitCode::SUCCESS)
}

fn in_memory(service: Service, order_paid: &Event<OrderPaid>) -> Result<(), BoxError> {
    let memory = MemoryBroker::new();
    let events = EventPublisher::of(&service);
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(service).add(events.clone());
    let running = worker.start()?;

    let order = |order_id, amount, note: &str| OrderPaid { order_id, amount, note: note.into() };
    order_paid.publish(&events, &order(1, 12.5, ""))?;
    order_paid.publish(&events, &order(2, 99.0, "disputed"))?;
    if let Err(error) = order_paid.publish(&events, &order(3, 0.0, "")) {
        println!("order 3 is not published: {error}");
    }
    // As a Python service sends it, with the arguments by position.
    let task = bootstep::celery::Task::new(order_paid.name()).arg(4).arg(7.0);
    memory.publish(task.to_publication("events", order_paid.name()))?;
    // The clock of the memory broker is turned by hand: this waits for all retries without waiting.
    memory.drain(Duration::from_secs(10))?;

    for event in memory.messages("example:archived") {
        let header = |name: &str| event.header(name).map(ToString::to_string).unwrap_or_default();
        println!(
            "archived: {} after {} attempts, because {}",
            header("kwargsrepr"),
            header("retries"),
            header(headers::REASON)
        );
    }
    println!("ended with exit code {}", running.stop());
    Ok(())
}
