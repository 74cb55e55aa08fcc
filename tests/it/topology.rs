//! What is declared at boot, and what happens when it cannot be.

use crate::support::stage::{Stage, SOON};
use bootstep::{Consumer, Exchange, Fault, Message, Outcome, Queue, Worker};
use std::time::Duration;

crate::on_both!(
    exchanges_queues_and_bindings_are_declared_at_boot,
    an_exchange_is_bound_at_boot_to_one_that_is_declared_after_it,
    an_existing_queue_is_left_as_it_is,
    a_missing_queue_of_somebody_else_ends_the_boot,
    other_arguments_end_the_boot_and_are_named,
    a_second_worker_declares_the_same_again,
    an_exclusive_consumer_keeps_others_out,
);

fn consumer(queue: impl Into<Queue>) -> Consumer {
    Consumer::new(queue, |_: String, _: &Message| Ok(Outcome::Ack))
}

#[track_caller]
fn check_boot_error(stage: &Stage, consumer: Consumer, fault: Fault, expected: &str) {
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(consumer);
    let err = worker.start().map(drop).unwrap_err();
    assert_eq!((err.fault(), err.to_string().contains(expected)), (fault, true), "{err}");
}

fn exchanges_queues_and_bindings_are_declared_at_boot(stage: &Stage) {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let queue = Queue::new("all").bind("by-word", "a.*").bind("by-word", "b.#").bind("to-all", "");
    let consumer = Consumer::new(queue, move |text: String, _: &Message| {
        tell.send(text)?;
        Ok(Outcome::Ack)
    });
    let consumer = consumer.exchange(Exchange::topic("by-word")).exchange(Exchange::fanout("to-all"));
    let _running = stage.start(consumer.concurrency(1));
    let to = |exchange: &str, key: &str| bootstep::Publication::new(exchange, key, format!("{exchange} {key}"));
    stage.send(&[to("by-word", "a.1"), to("by-word", "b"), to("by-word", "c"), to("to-all", "any")]).unwrap();
    let seen: Vec<String> = (0..3).map(|_| told.recv_timeout(SOON).unwrap()).collect();
    assert_eq!(seen, ["by-word a.1", "by-word b", "to-all any"]);
}

fn an_exchange_is_bound_at_boot_to_one_that_is_declared_after_it(stage: &Stage) {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let consumer = Consumer::new(Queue::new("paid").bind("orders", "paid"), move |text: String, _: &Message| {
        tell.send(text)?;
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(stage.broker.clone());
    // The consumer's exchanges come first, and one of them needs what the step is given.
    let declare = bootstep::steps::DeclareDeadLetters::default().exchange(Exchange::fanout("shop").alternate("rest"));
    let consumer = consumer.exchange(Exchange::direct("orders").bind("shop", ""));
    worker.steps.replace(declare).add(consumer);
    let running = worker.start().unwrap();
    stage.send(&[bootstep::Publication::new("shop", "paid", "two cups")]).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), "two cups");
    assert_eq!(running.stop(), 0);
}

fn an_existing_queue_is_left_as_it_is(stage: &Stage) {
    // With other arguments than a plain declaration would have.
    stage.connection.declare_queue(&Queue::new("theirs").max_length(9)).unwrap();
    let _running = stage.start(consumer(Queue::existing("theirs")));
    stage.publish("theirs", &["x"]);
    stage.until("it is consumed", || stage.ready("theirs") == 0);
}

fn a_missing_queue_of_somebody_else_ends_the_boot(stage: &Stage) {
    check_boot_error(stage, consumer(Queue::existing("absent")), Fault::NotFound, "no queue 'absent'");
}

fn other_arguments_end_the_boot_and_are_named(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("orders").max_length(1000)).unwrap();
    let expected = "step `declare-dead-letters` did not start: queue `orders` exists with other arguments: \
                    `x-max-length` is 1000 there, 500 here";
    check_boot_error(stage, consumer(Queue::new("orders").max_length(500)), Fault::Mismatch, expected);
    check_boot_error(stage, consumer("orders"), Fault::Mismatch, "`x-max-length` is 1000 there, not set here");
    stage.connection.declare_queue(&Queue::new("timed").message_ttl(Duration::from_secs(1))).unwrap();
    let longer = Queue::new("timed").message_ttl(Duration::from_secs(2));
    check_boot_error(stage, consumer(longer), Fault::Mismatch, "`x-message-ttl` is 1000 there, 2000 here");
    check_boot_error(stage, consumer(Queue::new("timed").transient()), Fault::Mismatch, "`durable` is true there, false here");
}

fn a_second_worker_declares_the_same_again(stage: &Stage) {
    let queue = || Queue::new("twice").quorum();
    let first = stage.start(consumer(queue()));
    let second = stage.start(consumer(queue()));
    assert_eq!((first.stop(), second.stop()), (0, 0));
}

fn an_exclusive_consumer_keeps_others_out(stage: &Stage) {
    let _first = stage.start(consumer("mine").exclusive());
    check_boot_error(stage, consumer("mine"), Fault::AccessRefused, "exclusive");
}

#[test]
fn what_no_broker_need_tell_is_told_before_connecting() {
    let stage = Stage::memory();
    check_boot_error(&stage, consumer(""), Fault::Config, "the broker names the queue, anew with each connection");
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(consumer("same")).add(Consumer::clone(&consumer("same")));
    let err = worker.start().map(drop).unwrap_err();
    assert!(err.to_string().starts_with("more than one step is named `consume(same)`; put a step"), "{err}");
    let err = bootstep::topology_of(&[consumer("q"), consumer(Queue::new("q").quorum())]).unwrap_err();
    assert_eq!(err.to_string(), "the queue `q` is declared twice, in different ways; declare it the same way");
}
