//! lapin on a tokio runtime of several threads: a task for each queue that parses and acks; where handling takes time, a task for
//! each message, as many at once as others have threads.

use crate::measure::{Meter, Sample};
use crate::order::Order;
use crate::task::{Task, Work, NAP};
use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use std::sync::Arc;
use tokio::sync::Semaphore;

pub fn drain(task: &Task) -> Sample {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if task.handler != Work::Sleep {
        // A handler that sleeps holds no thread here, so there the runtime is as it comes.
        runtime.worker_threads(task.threads);
    }
    let runtime = runtime.enable_all().build().expect("tokio starts");
    runtime.block_on(drain_all(task))
}

async fn drain_all(task: &Task) -> Sample {
    let connection = Connection::connect(&task.url, ConnectionProperties::default()).await.expect("the broker answers");
    let mut channels = Vec::new();
    for _ in &task.queues {
        channels.push(connection.create_channel().await.expect("the broker gives a channel"));
    }
    let permits = Arc::new(Semaphore::new(task.threads));
    let meter = Meter::start();
    let drains: Vec<_> = task
        .queues
        .iter()
        .zip(channels)
        .map(|(queue, channel)| tokio::spawn(drain_one(queue.clone(), channel, task.clone(), permits.clone())))
        .collect();
    for drain in drains {
        drain.await.expect("no task panics");
    }
    let sample = meter.read();
    // All is acked; lapin sometimes calls it an error that its channels close at the same time.
    let _ = connection.close(200, "done".into()).await;
    sample
}

async fn drain_one(queue: String, channel: Channel, task: Task, permits: Arc<Semaphore>) {
    channel.basic_qos(task.prefetch, BasicQosOptions::default()).await.expect("the broker takes a prefetch");
    let consume =
        channel.basic_consume(queue.as_str().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consume.await.expect("the queue is there");
    let mut handled = Vec::new();
    for _ in 0..task.messages_of_each() {
        let delivery = consumer.next().await.expect("the consumer lives").expect("the connection lives");
        if task.handler == Work::Nothing {
            handle(delivery, task.handler).await;
            continue;
        }
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is not closed");
        handled.push(tokio::spawn(async move {
            handle(delivery, task.handler).await;
            drop(permit);
        }));
    }
    for task in handled {
        task.await.expect("no task panics");
    }
    // A barrier: an answered call says that the acks before it have arrived.
    channel.basic_qos(task.prefetch, BasicQosOptions::default()).await.expect("the connection lives");
}

async fn handle(delivery: Delivery, work: Work) {
    let _: Order = serde_json::from_slice(&delivery.data).expect("this is the suite's JSON");
    match work {
        Work::Sleep => tokio::time::sleep(NAP).await,
        work => work.work(),
    }
    assert!(delivery.ack(BasicAckOptions::default()).await.expect("the connection lives"), "it is acked once");
}
