//! The memory broker, alone and under a whole worker.

use super::{body, case, Case, Order};
use bootstep::{
    BoxError, Broker, Clock, Consumer, Json, MemoryBroker, Message, Outcome, Properties, Publication, Queue, Worker,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub fn cases() -> Vec<Case> {
    vec![
        case("memory broker: publish", 5_000, |times| drop(filled(times))),
        case("memory broker: publish, and ack by a worker on the intake thread", 20_000, |times| drain(filled(times), times)),
    ]
}

fn filled(messages: usize) -> MemoryBroker {
    let memory = MemoryBroker::with_clock(Clock::system());
    memory.declare_queue(&Queue::new("orders")).expect("the memory broker takes a queue");
    let properties = Properties::persistent("application/json");
    for id in 0..messages {
        memory.publish(Publication::new("", "orders", body(id)).with(properties.clone())).expect("the queue takes all");
    }
    memory
}

fn drain(memory: MemoryBroker, messages: usize) {
    let (all, done) = std::sync::mpsc::sync_channel(1);
    let handled = AtomicUsize::new(0);
    let consumer = Consumer::new("orders", move |_order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        if handled.fetch_add(1, Ordering::Relaxed) + 1 == messages {
            let _ = all.try_send(());
        }
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(consumer.prefetch(100).on_intake_thread());
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(Duration::from_secs(120)).expect("all messages are handled");
    assert_eq!(running.stop(), 0, "everything is settled");
}
