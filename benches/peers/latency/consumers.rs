//! The consumers of this program, as the rates have them, with a clock in front of each handler.

use super::clock::now;
use super::collected::Collected;
use crate::order::Order;
use bootstep::{BoxError, Broker, Consumer, Json, Message, Outcome, Worker};
use futures_lite::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::time::Duration;

/// What is there to consume, and where to write how long it took.
pub struct Errand {
    pub url: String,
    pub queue: String,
    pub messages: usize,
    pub prefetch: u16,
    pub samples: PathBuf,
}

const LONGEST: Duration = Duration::from_secs(60);

pub fn bootstep_on_pool(errand: &Errand) {
    work(errand, |consumer| consumer);
}

pub fn bootstep_on_intake_thread(errand: &Errand) {
    work(errand, Consumer::on_intake_thread);
}

fn work(errand: &Errand, place: fn(Consumer) -> Consumer) {
    let collected = Arc::new(Collected::with_room_for(errand.messages));
    let (all, done) = sync_channel(1);
    let notes = collected.clone();
    let handle = move |order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        if notes.note(order.id, now()) {
            let _ = all.try_send(());
        }
        Ok(Outcome::Ack)
    };
    let mut worker = Worker::new(Broker::amqp(&errand.url).expect("a good URL"));
    worker.steps.add(place(Consumer::new(&*errand.queue, handle).prefetch(errand.prefetch)));
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(LONGEST).expect("all messages are handled");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    collected.write(&errand.samples);
}

pub fn lapin(errand: &Errand) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let consumed = runtime.block_on(async { tokio::time::timeout(LONGEST, consume(errand)).await });
    consumed.expect("all messages are handled").expect("the connection lives").write(&errand.samples);
}

async fn consume(errand: &Errand) -> Result<Collected, lapin::Error> {
    let collected = Collected::with_room_for(errand.messages);
    let connection = Connection::connect(&errand.url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(errand.prefetch, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(errand.queue.as_str().into(), "".into(), options, arguments).await?;
    while let Some(delivery) = consumer.next().await {
        let began = now();
        let delivery = delivery?;
        let order: Order = serde_json::from_slice(&delivery.data).expect("this is the suite's JSON");
        let is_last = collected.note(order.id, began);
        delivery.ack(BasicAckOptions::default()).await?;
        if is_last {
            break;
        }
    }
    // A barrier: an answered call says that the acks before it have arrived.
    channel.basic_qos(errand.prefetch, BasicQosOptions::default()).await?;
    Ok(collected)
}
