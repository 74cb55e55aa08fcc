//! A handler that takes longer than the broker waits for an ack: its message comes again, and the worker goes on.

use crate::support::node::Node;
use crate::support::wait::eventually;
use bootstep::{Broker, Consumer, MemoryBroker, Message, Outcome, Publication, Queue, Worker};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(1);

#[test]
fn on_memory_the_worker_goes_on() {
    let memory = MemoryBroker::new();
    memory.consumer_timeout(Some(TIMEOUT));
    goes_on(&Broker::from(&memory), Queue::new("slow"), || memory.advance(TIMEOUT));
}

#[test]
fn on_memory_a_queue_may_have_a_timeout_of_its_own() {
    let memory = MemoryBroker::new();
    memory.consumer_timeout(None);
    let queue = Queue::new("slow").quorum().argument("x-consumer-timeout", TIMEOUT.as_millis() as i64);
    goes_on(&Broker::from(&memory), queue, || memory.advance(TIMEOUT));
}

#[test]
fn on_rabbitmq_the_worker_goes_on() {
    let node = Node::start();
    // Each channel reads both when it is opened. By default it looks but once a minute.
    let timeout = TIMEOUT.as_millis();
    let settings = [("consumer_timeout", timeout), ("channel_tick_interval", timeout / 4)];
    let set = settings.map(|(name, ms)| format!("application:set_env(rabbit, {name}, {ms})")).join(", ");
    node.ctl(&["eval", &format!("{set}.")]);
    goes_on(&Broker::amqp(&node.url()).unwrap(), Queue::new("slow"), || {});
}

/// The first message is held, and let go only when it has come again.
fn goes_on(broker: &Broker, queue: Queue, let_pass: impl Fn()) {
    let name = queue.name.clone();
    let (let_go, wait) = mpsc::channel::<()>();
    let (wait, handled) = (Mutex::new(Some(wait)), Arc::new(Mutex::new(Vec::new())));
    let seen = handled.clone();
    let consumer = Consumer::new(queue, move |body: String, message: &Message| {
        seen.lock().unwrap().push((body, message.is_redelivered()));
        let held = wait.lock().unwrap().take();
        if let Some(held) = held {
            held.recv_timeout(SOON)?;
        }
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(broker.clone());
    worker.steps.add(consumer.prefetch(1));
    let running = worker.start().unwrap();
    let connection = broker.connect("test").unwrap();
    let publish = |body: &str| connection.publish(&[Publication::new("", &name, body).mandatory()], SOON).unwrap();
    let times = || handled.lock().unwrap().len();

    publish("held");
    eventually("the message is with its handler", SOON, || times() == 1);
    eventually("the message has come again", SOON, || {
        let_pass();
        times() == 2
    });
    // What the handler says now is of a channel that is gone, and must harm nobody.
    let_go.send(()).unwrap();
    publish("next");
    eventually("the worker goes on", SOON, || times() == 3);
    assert_eq!(running.stop(), 0);

    let handled = handled.lock().unwrap();
    assert_eq!(*handled, [("held".to_owned(), false), ("held".to_owned(), true), ("next".to_owned(), false)]);
    assert_eq!(connection.declare_queue(&Queue::existing(&name)).unwrap().messages, 0);
}
