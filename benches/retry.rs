//! The retry path, side by side with a bare amiquip loop that does the same work: each message fails once, is published to a queue
//! where it waits, confirmed and acked, comes again, and is acked.
//!
//! `AMQP_URL=amqp://… cargo bench --bench retry`; `BENCH_ROUNDS` (5) and `BENCH_MESSAGES` (100000) change the size.

use bootstep::{BoxError, Broker, Connection, Consumer, Message, Outcome, Properties, Publication, Queue, RetryPolicy, Worker};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{body, compare, messages, url, Contender};

mod support;

const QUEUE: &str = "bootstep.bench.retry";
const WAITING: &str = "bootstep.bench.retry.retry.1s";
const PREFETCH: u16 = 100;
const DELAY: Duration = Duration::from_secs(1);
/// Published and not yet confirmed, as the worker does.
const WINDOW: usize = 256;

fn main() {
    if std::env::var_os("AMQP_URL").is_none() {
        return println!("AMQP_URL is not set: nothing is measured");
    }
    compare(&[
        Contender { name: "bare", run: bare, prepare: fill, is_compared: true },
        Contender { name: "worker", run: || worker(false), prepare: fill, is_compared: true },
        Contender { name: "worker-inline", run: || worker(true), prepare: fill, is_compared: true },
    ]);
}

fn connect() -> Connection {
    Broker::amqp(&url()).and_then(|broker| broker.connect("bench")).expect("the broker answers")
}

fn fill() {
    let connection = connect();
    let waiting = Queue::new(WAITING).message_ttl(DELAY).dead_letter_to("", QUEUE);
    for queue in [Queue::new(QUEUE), waiting] {
        connection.declare_queue(&queue).expect("the bench may declare its queues");
        connection.purge_queue(&queue.name).expect("the bench may purge its queues");
    }
    let properties = Properties::persistent("application/json");
    let publications: Vec<_> =
        (0..messages()).map(|id| Publication::new("", QUEUE, body(id)).with(properties.clone())).collect();
    for some in publications.chunks(5_000) {
        connection.publish(some, Duration::from_secs(60)).expect("the broker takes the bench's messages");
    }
}

fn worker(on_intake_thread: bool) -> Duration {
    let done = std::sync::Arc::new(AtomicUsize::new(0));
    let (all, wait) = std::sync::mpsc::sync_channel(1);
    let (wanted, count) = (messages(), done.clone());
    let mut consumer = Consumer::new(QUEUE, move |_: Vec<u8>, message: &Message| -> Result<Outcome, BoxError> {
        if message.attempt() == 1 {
            return Err("the first attempt".into());
        }
        if count.fetch_add(1, Ordering::Relaxed) + 1 == wanted {
            let _ = all.try_send(());
        }
        Ok(Outcome::Ack)
    })
    .retry(RetryPolicy::fixed(DELAY, 1))
    .prefetch(PREFETCH);
    if on_intake_thread {
        consumer = consumer.on_intake_thread();
    }
    let mut worker = Worker::new(Broker::amqp(&url()).expect("a good URL"));
    worker.steps.add(consumer);
    let began = Instant::now();
    let running = worker.start().expect("the worker boots");
    wait.recv_timeout(Duration::from_secs(300)).expect("all messages are handled twice");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    let took = began.elapsed();
    assert_eq!(done.load(Ordering::Relaxed), wanted, "each message succeeds once");
    let left = |queue| connect().declare_queue(&Queue::existing(queue)).expect("the queue is there").messages;
    assert_eq!((left(QUEUE), left(WAITING)), (0, 0), "none is left");
    took
}

fn bare() -> Duration {
    let began = Instant::now();
    let mut consuming = amiquip::Connection::insecure_open(&url()).expect("the broker answers");
    let mut publishing = amiquip::Connection::insecure_open(&url()).expect("the broker answers");
    let channel = consuming.open_channel(None).expect("a channel");
    channel.qos(0, PREFETCH, false).expect("a prefetch");
    let consumer = channel.basic_consume(QUEUE, amiquip::ConsumerOptions::default()).expect("a consumer");
    let outlet = publishing.open_channel(None).expect("a channel");
    outlet.enable_publisher_confirms().expect("confirms");
    let confirms = outlet.listen_for_publisher_confirms().expect("confirms");
    let mut loop_of = Loop { open: VecDeque::new(), confirmed: 0 };
    let (mut done, never) = (0, crossbeam_channel::never());
    while done < messages() {
        // With a full window only confirms are waited for.
        let deliveries = if loop_of.open.len() < WINDOW { consumer.receiver() } else { &never };
        crossbeam_channel::select! {
            recv(confirms) -> confirm => loop_of.take(confirm.expect("the connection lives"), &consumer),
            recv(deliveries) -> message => match message.expect("the connection lives") {
                amiquip::ConsumerMessage::Delivery(delivery) if delivery.properties.headers().is_some() => {
                    consumer.ack(delivery).expect("the connection lives");
                    done += 1;
                }
                amiquip::ConsumerMessage::Delivery(delivery) => loop_of.retry(delivery, &outlet),
                other => panic!("{other:?}"),
            },
        }
    }
    // A barrier: an answered call says that the acks before it have arrived.
    channel.qos(0, PREFETCH, false).expect("the connection lives");
    began.elapsed()
}

/// What is published and not confirmed, in the order of its publishing.
struct Loop {
    open: VecDeque<amiquip::Delivery>,
    confirmed: u64,
}

impl Loop {
    fn retry(&mut self, delivery: amiquip::Delivery, outlet: &amiquip::Channel) {
        let mut headers = amiquip::FieldTable::new();
        headers.insert("attempt".into(), amiquip::AmqpValue::LongInt(2));
        let publish = amiquip::Publish {
            body: &delivery.body,
            routing_key: WAITING.into(),
            mandatory: true,
            immediate: false,
            properties: delivery.properties.clone().with_headers(headers),
        };
        outlet.basic_publish("", publish).expect("the connection lives");
        self.open.push_back(delivery);
    }

    /// Acks what the confirm stands for. RabbitMQ confirms what goes to one queue in its order.
    fn take(&mut self, confirm: amiquip::Confirm, consumer: &amiquip::Consumer<'_>) {
        let amiquip::Confirm::Ack(payload) = confirm else { panic!("the broker takes what is published") };
        while self.confirmed < payload.delivery_tag {
            self.confirmed += 1;
            let delivery = self.open.pop_front().expect("it was published");
            consumer.ack(delivery).expect("the connection lives");
        }
    }
}
