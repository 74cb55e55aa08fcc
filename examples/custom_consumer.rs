//! A consumer step of one's own: orders come in as JSON, and what is not an order goes to the dead letters.
//!
//! `cargo run --example custom_consumer` needs no broker: it uses the memory broker and ends by itself. With
//! `AMQP_URL=amqp://guest:guest@localhost` set it works against that RabbitMQ and runs until Ctrl-C; publish to its queue
//! `example.orders` and watch.

use bootstep::{
    headers, BoxError, Broker, Consumer, ConsumerStep, Error, Exchange, Handler, Json, MemoryBroker, Message, Outcome,
    Publication, Queue, RetryPolicy, Worker,
};
use serde::Deserialize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const QUEUE: &str = "example.orders";
const EXCHANGE: &str = "example.shop";

#[derive(Deserialize)]
struct Order {
    id: u64,
    pieces: u64,
}

/// The step: which queues it consumes, and how.
struct ConsumeOrders {
    retry: RetryPolicy,
}

impl ConsumerStep for ConsumeOrders {
    fn consumers(&self) -> Vec<Consumer> {
        let queue = Queue::new(QUEUE).bind(EXCHANGE, "order.*");
        let consumer = Consumer::handled_by(queue, PackOrders::default())
            .exchange(Exchange::topic(EXCHANGE))
            .retry(self.retry.clone())
            .prefetch(50)
            .on_decode_error(|error, message| {
                println!("not an order, to the dead letters: {:?}", String::from_utf8_lossy(message.body()));
                Outcome::reject(error)
            });
        vec![consumer]
    }
}

/// The handler, with state of its own.
#[derive(Default)]
struct PackOrders {
    packed: AtomicU64,
}

impl Handler for PackOrders {
    type Body = Json<Order>;

    fn handle(&self, order: Json<Order>, message: &Message) -> Result<Outcome, BoxError> {
        if order.pieces == 0 && message.attempt() < 3 {
            println!("order {}: attempt {} failed, tried again later", order.id, message.attempt());
            return Ok(Outcome::retry("nothing on the shelf"));
        }
        let packed = self.packed.fetch_add(order.pieces, Ordering::Relaxed) + order.pieces;
        println!("order {} by `{}`: {} pieces, {packed} in all", order.id, message.routing_key(), order.pieces);
        Ok(Outcome::Ack)
    }
}

fn main() -> Result<ExitCode, Error> {
    let step = ConsumeOrders { retry: RetryPolicy::fixed(Duration::from_secs(2), 5) };
    if std::env::var_os("AMQP_URL").is_some() {
        return Ok(on_rabbitmq(step));
    }
    println!("AMQP_URL is not set: this runs on the memory broker, in this process");
    in_memory(step)?;
    Ok(ExitCode::SUCCESS)
}

fn on_rabbitmq(step: ConsumeOrders) -> ExitCode {
    println!("AMQP_URL is set: this runs until Ctrl-C");
    let mut worker = Worker::new(Broker::from_env());
    worker.steps.add(step);
    worker.run()
}

fn in_memory(step: ConsumeOrders) -> Result<(), Error> {
    let memory = MemoryBroker::new();
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(step);
    let running = worker.start()?;
    println!("the boot order:\n{}", running.blueprint());

    let order = |key: &str, body: &str| memory.publish(Publication::new(EXCHANGE, key, body).content_type("application/json"));
    order("order.web", r#"{"id": 1, "pieces": 3}"#)?;
    order("order.phone", r#"{"id": 2, "pieces": 0}"#)?;
    order("order.web", "an order of three, please")?;
    order("order.web", r#"{"id": 3, "pieces": 4}"#)?;
    // The clock of the memory broker is turned by hand: this waits for the retries without waiting.
    memory.drain(Duration::from_secs(10))?;

    for dead in memory.messages(&format!("{QUEUE}.dead")) {
        let reason = dead.properties.headers.as_ref().and_then(|headers| headers.get(headers::REASON));
        let reason = reason.map(ToString::to_string).unwrap_or_default();
        println!("in `{QUEUE}.dead`: {:?}, because {reason}", String::from_utf8_lossy(dead.body()));
    }
    println!("ended with exit code {}", running.stop());
    Ok(())
}
