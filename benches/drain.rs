//! Drains 100,000 small JSON messages through a typed handler that does nothing, side by side with a bare amiquip loop that
//! parses the same JSON and acks each message; prints rates, their ratio, CPU seconds and peak memory per 100,000.
//!
//! `AMQP_URL=amqp://… cargo bench` measures on RabbitMQ; without it, only the memory broker. `BENCH_ROUNDS` (5),
//! `BENCH_MESSAGES` (100000) and `BENCH_PREFETCH` (100) change the size. Each contender runs in a process of its own, in turns, so that memory and CPU are
//! its own and a machine that gets busy is busy for all.

use bootstep::{
    BoxError, Broker, Clock, Consumer, Json, MemoryBroker, Message, Outcome, Properties, Publication, Queue, Worker,
};
use serde::Deserialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{body, compare, messages, prefetch, url, Contender};

mod support;

const QUEUE: &str = "bootstep.bench.drain";

#[derive(Deserialize)]
#[allow(dead_code)]
struct Order {
    id: u64,
    customer: String,
    items: Vec<u32>,
    note: String,
}

fn main() {
    let memory =
        [contender("memory", || memory(false), || {}, false), contender("memory-inline", || memory(true), || {}, false)];
    if std::env::var_os("AMQP_URL").is_none() {
        println!("AMQP_URL is not set: only the memory broker is measured");
        return compare(&memory);
    }
    let on_rabbitmq = [
        contender("bare", bare, fill, true),
        contender("worker", || worker(false), fill, true),
        contender("worker-inline", || worker(true), fill, true),
    ];
    compare(&on_rabbitmq.into_iter().chain(memory).collect::<Vec<_>>());
}

fn contender(name: &'static str, run: fn() -> Duration, prepare: fn(), is_compared: bool) -> Contender {
    Contender { name, run, prepare, is_compared }
}

fn fill() {
    let connection = Broker::amqp(&url()).and_then(|broker| broker.connect("bench")).expect("the broker answers");
    connection.declare_queue(&Queue::new(QUEUE)).expect("the bench may declare its queue");
    connection.purge_queue(QUEUE).expect("the bench may purge its queue");
    let properties = Properties::persistent("application/json");
    let publications: Vec<_> =
        (0..messages()).map(|id| Publication::new("", QUEUE, body(id)).with(properties.clone())).collect();
    for some in publications.chunks(5_000) {
        connection.publish(some, Duration::from_secs(60)).expect("the broker takes the bench's messages");
    }
}

fn bare() -> Duration {
    let mut connection = amiquip::Connection::insecure_open(&url()).expect("the broker answers");
    let channel = connection.open_channel(None).expect("a channel");
    channel.qos(0, prefetch(), false).expect("a prefetch");
    let consumer = channel.basic_consume(QUEUE, amiquip::ConsumerOptions::default()).expect("a consumer");
    let began = Instant::now();
    for _ in 0..messages() {
        match consumer.receiver().recv().expect("the connection lives") {
            amiquip::ConsumerMessage::Delivery(delivery) => {
                let _: Order = serde_json::from_slice(&delivery.body).expect("this is the bench's JSON");
                consumer.ack(delivery).expect("the connection lives");
            }
            other => panic!("{other:?}"),
        }
    }
    // A barrier: an answered call says that the acks before it have arrived.
    channel.qos(0, prefetch(), false).expect("the connection lives");
    began.elapsed()
}

fn worker(on_intake_thread: bool) -> Duration {
    let broker = Broker::amqp(&url()).expect("a good URL");
    let took = drain(broker.clone(), on_intake_thread);
    let connection = broker.connect("bench").expect("the broker answers");
    let left = connection.declare_queue(&Queue::existing(QUEUE)).expect("the queue is there").messages;
    assert_eq!(left, 0, "none is left on the queue");
    took
}

fn memory(on_intake_thread: bool) -> Duration {
    let memory = MemoryBroker::with_clock(Clock::system());
    memory.declare_queue(&Queue::new(QUEUE)).expect("the memory broker takes a queue");
    let properties = Properties::persistent("application/json");
    for id in 0..messages() {
        memory.publish(Publication::new("", QUEUE, body(id)).with(properties.clone())).expect("the queue takes all");
    }
    drain(Broker::from(&memory), on_intake_thread)
}

fn drain(broker: Broker, on_intake_thread: bool) -> Duration {
    let handled = Arc::new(AtomicUsize::new(0));
    let (all, done) = std::sync::mpsc::sync_channel(1);
    let (wanted, count) = (messages(), handled.clone());
    let mut consumer = Consumer::new(QUEUE, move |_order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == wanted {
            let _ = all.try_send(());
        }
        Ok(Outcome::Ack)
    })
    .prefetch(prefetch());
    if on_intake_thread {
        consumer = consumer.on_intake_thread();
    }
    let mut worker = Worker::new(broker);
    worker.steps.add(consumer);
    let began = Instant::now();
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(Duration::from_secs(120)).expect("all messages are handled");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    let took = began.elapsed();
    assert_eq!(handled.load(Ordering::Relaxed), wanted, "each message is handled once");
    took
}
