//! amiquip alone: a loop that parses and acks, on a thread and a channel of its own for each queue.

use crate::measure::{Meter, Sample};
use crate::order::Order;
use crate::task::Task;
use amiquip::{Channel, Connection, ConsumerMessage, ConsumerOptions};

pub fn drain(task: &Task) -> Sample {
    let mut connection = Connection::insecure_open(&task.url).expect("the broker answers");
    let channels: Vec<Channel> =
        task.queues.iter().map(|_| connection.open_channel(None).expect("the broker gives a channel")).collect();
    let meter = Meter::start();
    std::thread::scope(|scope| {
        let mut places = task.queues.iter().zip(channels);
        // With one queue, as most would have it: on the main thread.
        let first = places.next();
        places.for_each(|(queue, channel)| drop(scope.spawn(move || drain_one(queue, &channel, task))));
        first.into_iter().for_each(|(queue, channel)| drain_one(queue, &channel, task));
    });
    let sample = meter.read();
    // All is acked; amiquip sometimes calls it an error that its own end was as quick.
    let _ = connection.close();
    sample
}

fn drain_one(queue: &str, channel: &Channel, task: &Task) {
    channel.qos(0, task.prefetch, false).expect("the broker takes a prefetch");
    let consumer = channel.basic_consume(queue, ConsumerOptions::default()).expect("the queue is there");
    let messages = task.messages_of_each();
    for number in 1..=messages {
        let delivery = match consumer.receiver().recv() {
            Ok(ConsumerMessage::Delivery(delivery)) => delivery,
            other => panic!("no delivery, but {other:?}"),
        };
        let _: Order = serde_json::from_slice(&delivery.body).expect("this is the suite's JSON");
        task.handler.work();
        if task.ack_every == 1 {
            consumer.ack(delivery).expect("the connection lives");
        } else if number % task.ack_every == 0 || number == messages {
            consumer.ack_multiple(delivery).expect("the connection lives");
        }
    }
    // A barrier: an answered call says that the acks before it have arrived.
    channel.qos(0, task.prefetch, false).expect("the connection lives");
}
