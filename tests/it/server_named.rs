//! Queues that the broker names, and queues whose deletion ends the worker: what comes and goes with its consumer.

use crate::support::heard::{heard, listen};
use crate::support::stage::{Stage, SOON};
use bootstep::{
    Broker, Consumer, ConsumerState, Context, Exchange, Fault, MemoryBroker, Message, Outcome, Publication, Queue, RetryLayout,
    Statuses, Step, Worker,
};
use std::borrow::Cow;
use std::sync::mpsc::{channel, Receiver, Sender};

crate::on_both!(
    a_queue_named_by_the_broker_gets_what_is_routed_to_it,
    each_consumer_of_an_unnamed_queue_has_one_of_its_own,
    a_deleted_queue_of_the_brokers_naming_comes_back_under_another_name,
    a_deleted_queue_halts_the_worker_that_asked_for_it,
    a_step_sees_how_the_consumers_fare,
);

fn temporary() -> Queue {
    Queue::new("").transient().exclusive().auto_delete().bind("news", "#")
}

/// Tells each body, with the name of the queue that it came from.
fn telling(queue: Queue, tell: &Sender<(String, String)>) -> Consumer {
    let tell = tell.clone();
    let consumer = Consumer::new(queue, move |text: String, message: &Message| {
        Ok(tell.send((text, message.queue().to_owned())).map(|()| Outcome::Ack)?)
    });
    consumer.exchange(Exchange::topic("news")).retry_layout(RetryLayout::Bare)
}

fn next(told: &Receiver<(String, String)>) -> (String, String) {
    told.recv_timeout(SOON).expect("the message is handled")
}

fn send(stage: &Stage, text: &str) {
    stage.send(&[Publication::new("news", "local", text).mandatory()]).unwrap();
}

fn a_queue_named_by_the_broker_gets_what_is_routed_to_it(stage: &Stage) {
    let (tell, told) = channel();
    let running = stage.start(telling(temporary(), &tell));
    send(stage, "rain");
    let (text, queue) = next(&told);
    assert!(text == "rain" && queue.starts_with("amq.gen-"), "{text} from {queue}");
    assert_eq!(running.consumers()[0].queue, "");
    assert_eq!(running.stop(), 0);
    assert!(stage.connection.declare_queue(&Queue::existing(queue)).is_err(), "it went with its consumer");
}

fn each_consumer_of_an_unnamed_queue_has_one_of_its_own(stage: &Stage) {
    struct Two(Sender<(String, String)>);
    impl bootstep::ConsumerStep for Two {
        fn consumers(&self) -> Vec<Consumer> {
            vec![telling(temporary(), &self.0), telling(temporary(), &self.0)]
        }
    }
    let (tell, told) = channel();
    let running = stage.start(Two(tell));
    send(stage, "rain");
    assert_ne!(next(&told).1, next(&told).1, "each gets its copy, from a queue of its own");
    assert_eq!(running.consumers().len(), 2);
}

fn a_deleted_queue_of_the_brokers_naming_comes_back_under_another_name(stage: &Stage) {
    let (tell, told) = channel();
    // Not exclusive, so that somebody else can delete it.
    let _running = stage.start(telling(Queue::new("").auto_delete().bind("news", "#"), &tell));
    send(stage, "rain");
    let (_, first) = next(&told);
    stage.connection.delete_queue(&first).unwrap();
    stage.until("another queue takes it", || stage.send(&[Publication::new("news", "local", "sun").mandatory()]).is_ok());
    let (text, second) = next(&told);
    assert!(text == "sun" && second.starts_with("amq.gen-") && second != first, "{first}, then {second}");
}

fn a_deleted_queue_halts_the_worker_that_asked_for_it(stage: &Stage) {
    let consumer = Consumer::new("short-lived", |_: String, _: &Message| Ok(Outcome::Ack));
    let running = stage.start(consumer.halt_when_deleted(12));
    stage.connection.delete_queue("short-lived").unwrap();
    assert_eq!(running.wait(), 12);
    assert!(stage.connection.declare_queue(&Queue::existing("short-lived")).is_err(), "it is not declared again");
}

struct Look(Sender<Statuses>);

impl Step for Look {
    fn name(&self) -> Cow<'_, str> {
        "look".into()
    }
    fn start(&mut self, ctx: &mut Context) -> Result<(), bootstep::BoxError> {
        Ok(self.0.send(ctx.statuses())?)
    }
}

fn a_step_sees_how_the_consumers_fare(stage: &Stage) {
    let (tell, told) = channel();
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(Look(tell)).add(Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack)));
    let running = worker.start().unwrap();
    let statuses = told.recv_timeout(SOON).unwrap();
    stage.publish("jobs", &["one", "two"]);
    stage.until("both are acked", || statuses.consumers()[0].acked == 2);
    assert_eq!(statuses.consumers()[0].state, ConsumerState::Consuming);
    assert_eq!(running.stop(), 0);
    assert_eq!(statuses.consumers()[0].state, ConsumerState::Away);
}

#[test]
fn a_queue_that_each_connection_would_leave_behind_is_warned_of() {
    listen();
    let stage = Stage::memory();
    let (tell, told) = channel();
    for (queue, warnings) in [(Queue::new("").bind("news", "#"), 1), (temporary(), 0)] {
        let running = stage.start(telling(queue, &tell));
        send(&stage, "rain");
        let (_, queue) = next(&told);
        assert_eq!(heard(&[&format!("`{queue}`, named by the broker, stays"), "`auto_delete`"]), warnings);
        assert_eq!(running.stop(), 0);
    }
}

#[test]
fn lasting_queues_around_one_that_the_broker_names_are_refused() {
    let mut worker = Worker::new(Broker::from(&MemoryBroker::new()));
    worker.steps.add(Consumer::new("", |_: String, _: &Message| Ok(Outcome::Ack)));
    let err = worker.start().unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    assert!(err.to_string().contains("use `RetryLayout::Bare`, or `Consumer::layout`"), "{err}");
}

#[test]
fn an_error_at_boot_tells_which_step_it_was() {
    let memory = MemoryBroker::new();
    let connection = Broker::from(&memory).connect("test").unwrap();
    connection.declare_queue(&Queue::new("jobs").max_length(5)).unwrap();
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack)));
    let err = worker.start().unwrap_err();
    assert_eq!((err.fault(), err.step()), (Fault::Mismatch, Some("declare-dead-letters")));
    assert_eq!(bootstep::Error::new(Fault::Config, "wrong").step(), None);
}
