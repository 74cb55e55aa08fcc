//! What a callback answers, and what becomes of its message and of the worker.

use super::{config, declare_lost, message, publication, start, telling, ONE_QUEUE};
use crate::support::stage::{Stage, SOON};
use bootstep::steps::fedora_messaging::{Callback, ConsumeFedoraMessages, Drop, FedoraMessage, HaltConsumer, Nack};
use bootstep::{BoxError, Consumer, Outcome};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Mutex;

crate::on_both!(
    what_is_handled_is_acked,
    what_is_nacked_comes_again_at_once,
    what_is_dropped_goes_to_the_queues_dead_letters,
    a_callback_may_stop_the_worker_and_settle_its_message_or_not,
    any_other_failure_hands_everything_back_and_stops_with_thirteen,
    a_failure_that_cannot_be_told_stops_with_thirteen,
    one_message_of_a_queue_is_handled_at_a_time,
    a_deleted_queue_stops_the_worker_with_twelve,
    a_queue_that_the_broker_names_is_consumed,
);

fn consume(callback: impl Callback) -> ConsumeFedoraMessages {
    ConsumeFedoraMessages::new(&config(ONE_QUEUE), callback)
}

/// D1
fn what_is_handled_is_acked(stage: &Stage) {
    let (callback, told) = telling();
    let running = start(stage, consume(callback));
    let sent = message("ok");
    stage.send(&[sent.to_publication("amq.topic").unwrap()]).unwrap();
    let got = told.recv_timeout(SOON).unwrap();
    assert_eq!((got.id, got.body, got.queue.as_deref()), (sent.id, sent.body, Some("mine")));
    assert_eq!(running.stop(), 0);
    assert_eq!(stage.ready("mine"), 0);
}

/// A callback with state of its own.
#[derive(Default)]
struct NackOnce(Mutex<BTreeSet<String>>);

impl Callback for NackOnce {
    fn call(&self, message: &FedoraMessage) -> Result<(), BoxError> {
        match self.0.lock().unwrap().insert(message.id.clone()) {
            true => Err(Nack::default().into()),
            false => Ok(()),
        }
    }
}

/// D1
fn what_is_nacked_comes_again_at_once(stage: &Stage) {
    declare_lost(stage);
    let running = start(stage, consume(NackOnce::default()));
    stage.send(&[publication("a"), publication("b")]).unwrap();
    stage.until("both are handled", || running.consumers()[0].acked == 2);
    let status = &running.consumers()[0];
    assert_eq!((status.delivered, status.requeued, status.rejected), (4, 2, 0));
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("mine"), stage.ready("mine.lost")), (0, 0));
}

/// D1
fn what_is_dropped_goes_to_the_queues_dead_letters(stage: &Stage) {
    declare_lost(stage);
    let running = start(stage, consume(|_: &FedoraMessage| -> Result<(), BoxError> { Err(Drop.into()) }));
    stage.send(&[publication("drop")]).unwrap();
    let dead = &stage.take("mine.lost", 1)[0];
    assert_eq!(FedoraMessage::read(dead).unwrap().body["word"], "drop");
    assert_eq!(running.consumers()[0].rejected, 1);
    assert_eq!(running.stop(), 0);
}

/// D1
fn a_callback_may_stop_the_worker_and_settle_its_message_or_not(stage: &Stage) {
    let halt = |halt: HaltConsumer| consume(move |_: &FedoraMessage| -> Result<(), BoxError> { Err(halt.clone().into()) });
    for (answer, code, left) in [
        (HaltConsumer::default(), 0, 0),
        (HaltConsumer::with_code(42, "enough"), 42, 0),
        (HaltConsumer::with_code(43, "not now").requeue(), 43, 1),
    ] {
        let running = start(stage, halt(answer));
        stage.send(&[publication("halt")]).unwrap();
        assert_eq!((running.wait(), stage.ready("mine")), (code, left));
    }
}

/// D1
fn any_other_failure_hands_everything_back_and_stops_with_thirteen(stage: &Stage) {
    type Fail = fn(&FedoraMessage) -> Result<(), BoxError>;
    for fail in [(|_| Err("the disk is full".into())) as Fail, |_| panic!("oh no")] {
        // The queue is there before its messages, and they are before the consumer that fails.
        let (_, queue) = (start(stage, consume(|_: &FedoraMessage| Ok(()))).stop(), "mine");
        stage.send(&[publication("a"), publication("b"), publication("c")]).unwrap();
        stage.until("they are there", || stage.ready(queue) == 3);
        let running = start(stage, consume(fail));
        assert_eq!(running.wait(), 13);
        assert_eq!(stage.ready(queue), 3);
        stage.take(queue, 3);
    }
}

/// An error that panics when it is told, and a panic that panics when it is dropped.
struct Untellable;

impl std::fmt::Display for Untellable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::fmt::Debug for Untellable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Untellable")
    }
}

impl std::error::Error for Untellable {}

struct LastWord;

impl std::ops::Drop for LastWord {
    fn drop(&mut self) {
        panic!("the last word")
    }
}

/// D1
fn a_failure_that_cannot_be_told_stops_with_thirteen(stage: &Stage) {
    type Fail = fn(&FedoraMessage) -> Result<(), BoxError>;
    for fail in [(|_| Err(Untellable.into())) as Fail, |_| std::panic::panic_any(LastWord)] {
        let running = start(stage, consume(fail));
        stage.send(&[publication("a")]).unwrap();
        assert_eq!(running.wait(), 13);
        stage.take("mine", 1);
    }
}

fn one_message_of_a_queue_is_handled_at_a_time(stage: &Stage) {
    for at_once in [1, 3] {
        let (begun, begin) = channel();
        let (gate, open) = channel::<()>();
        let open = Mutex::new(open);
        let under_way = AtomicUsize::new(0);
        let wait = move |_: &FedoraMessage| -> Result<(), BoxError> {
            begun.send(under_way.fetch_add(1, Ordering::SeqCst) + 1)?;
            open.lock().unwrap().recv_timeout(SOON)?;
            under_way.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        let running = start(stage, consume(wait).at_once(at_once));
        stage.send(&vec![publication("slow"); 6]).unwrap();
        let mut side_by_side: Vec<usize> = (0..at_once).map(|_| begin.recv_timeout(SOON).unwrap()).collect();
        (0..6).for_each(|_| gate.send(()).unwrap());
        stage.until("all are done", || running.consumers()[0].acked == 6);
        side_by_side.extend(begin.try_iter());
        assert_eq!((side_by_side.len(), side_by_side.into_iter().max()), (6, Some(at_once)));
        assert_eq!(running.stop(), 0);
    }
}

/// D1
fn a_deleted_queue_stops_the_worker_with_twelve(stage: &Stage) {
    let running = start(stage, consume(|_: &FedoraMessage| Ok(())));
    stage.connection.delete_queue("mine").unwrap();
    assert_eq!(running.wait(), 12);
}

fn a_queue_that_the_broker_names_is_consumed(stage: &Stage) {
    let (callback, told) = telling();
    let running = start(stage, ConsumeFedoraMessages::new(&config(""), callback));
    stage.send(&[publication("anybody").mandatory()]).unwrap();
    let queue = told.recv_timeout(SOON).unwrap().queue.unwrap();
    assert!(queue.starts_with("amq.gen"), "{queue}");
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_message_can_be_the_body_of_any_consumer() {
    let stage = Stage::memory();
    let (tell, told) = channel();
    let _running = stage.start(Consumer::new("plain", move |message: FedoraMessage, _: &_| {
        tell.send(message.topic)?;
        Ok(Outcome::Ack)
    }));
    stage.send(&[message("x").to_publication("").map(|it| it.to("", "plain")).unwrap()]).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), "plain");
}
