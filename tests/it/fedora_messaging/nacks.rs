//! Nacked messages that wait and are given up, and dropped ones that are kept: what the Python package cannot do.

use super::{config, publication, start};
use crate::support::stage::Stage;
use bootstep::steps::fedora_messaging::{ConsumeFedoraMessages, Drop, FedoraMessage, Nack};
use bootstep::{headers, BoxError, Queue, RetryPolicy};
use std::sync::mpsc::channel;
use std::time::Duration;

const BARE_QUEUE: &str = r##"
    queues.mine = {durable = true, auto_delete = false, exclusive = false, arguments = {}}
    bindings = [{queue = "mine", exchange = "amq.topic", routing_keys = ["test.#"]}]
"##;

crate::on_both!(
    a_nack_may_wait_and_is_given_up_at_last,
    what_is_dropped_may_be_kept,
    what_is_nacked_too_often_for_its_queue_is_kept_with_it
);

fn a_nack_may_wait_and_is_given_up_at_last(stage: &Stage) {
    let (tell, told) = channel();
    let callback = move |message: &FedoraMessage| -> Result<(), BoxError> {
        tell.send(message.topic.clone())?;
        Err(Nack::after(Duration::from_millis(50)).into())
    };
    let policy = RetryPolicy::delays([50, 100].map(Duration::from_millis));
    let consume = ConsumeFedoraMessages::new(&config(BARE_QUEUE), callback).retry_nacks(policy);
    let running = start(stage, consume);
    stage.send(&[publication("again")]).unwrap();
    let archived = &stage.take("mine.archive", 1)[0];
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["test.again"; 3]);
    assert_eq!(archived.header(headers::REASON), Some(&"the callback nacked it".into()));
    assert_eq!(running.consumers()[0].requeued, 0);
    assert_eq!(running.stop(), 0);
}

fn what_is_dropped_may_be_kept(stage: &Stage) {
    let callback = |_: &FedoraMessage| -> Result<(), BoxError> { Err(Drop.into()) };
    let running = start(stage, ConsumeFedoraMessages::new(&config(BARE_QUEUE), callback).keep_dropped());
    stage.send(&[publication("drop")]).unwrap();
    let kept = &stage.take("mine.dead", 1)[0];
    assert_eq!(FedoraMessage::read(kept).unwrap().topic, "test.drop");
    assert_eq!(kept.header(headers::REASON), Some(&"the callback dropped it".into()));
    let around = ["mine.archive", "mine.retry.1s"].map(Queue::existing);
    assert!(around.iter().all(|queue| stage.connection.declare_queue(queue).is_err()), "nothing else is declared");
    assert_eq!(running.stop(), 0);
}

fn what_is_nacked_too_often_for_its_queue_is_kept_with_it(stage: &Stage) {
    // From then on, what is nacked does not count.
    if stage.is_rabbitmq_from([4, 3, 0]) {
        return;
    }
    let limited = r##"arguments = {"x-queue-type" = "quorum", "x-delivery-limit" = 3}"##;
    let config = config(&BARE_QUEUE.replace("arguments = {}", limited));
    let callback = |_: &FedoraMessage| -> Result<(), BoxError> { Err(Nack::default().into()) };
    let running = start(stage, ConsumeFedoraMessages::new(&config, callback).keep_dropped());
    stage.send(&[publication("again")]).unwrap();
    assert_eq!(FedoraMessage::read(&stage.take("mine.dead", 1)[0]).unwrap().topic, "test.again");
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_queue_that_the_broker_names_has_no_place_for_nacks_to_wait() {
    let stage = Stage::memory();
    let consume = ConsumeFedoraMessages::new(&config(""), |_: &FedoraMessage| Ok(()));
    let worker = consume.retry_nacks(RetryPolicy::default()).worker_on(stage.broker.clone()).unwrap();
    assert_eq!(worker.start().unwrap_err().fault(), bootstep::Fault::Config);
}
