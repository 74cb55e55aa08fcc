//! Threads that queues share, and messages that share a thread: nobody waits for somebody else's slow handler.

use crate::consuming::gate;
use crate::support::stage::{Stage, SOON};
use bootstep::{steps::SpawnPool, BoxError, Consumer, Context, Message, Outcome, Pool, Step, Worker};
use std::borrow::Cow;
use std::sync::mpsc::{sync_channel, SyncSender};

crate::on_both!(
    a_slow_queue_does_not_starve_a_fast_one,
    threads_that_one_queue_leaves_serve_what_waits_for_another,
    messages_behind_a_slow_one_do_not_wait_for_it,
    a_pool_that_somebody_closed_holds_up_nobody,
);

fn a_slow_queue_does_not_starve_a_fast_one(stage: &Stage) {
    let (open, wait) = gate();
    let slow = Consumer::new("slow", move |_: String, _: &Message| {
        wait.lock().unwrap().recv_timeout(SOON)?;
        Ok(Outcome::Ack)
    });
    let (tell, told) = sync_channel(100);
    let fast = Consumer::new("fast", move |_: String, _: &Message| {
        tell.send(())?;
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.replace(SpawnPool::of(3)).add(slow.prefetch(50)).add(fast);
    let running = worker.start().unwrap();
    stage.publish("slow", &["x"; 50]);
    stage.until("the slow queue has all it can", || stage.ready("slow") == 0);
    stage.publish("fast", &["y"; 50]);
    for _ in 0..50 {
        told.recv_timeout(SOON).expect("the fast queue has a thread of its own");
    }
    (0..50).for_each(|_| open.send(()).unwrap());
    running.stop();
}

fn threads_that_one_queue_leaves_serve_what_waits_for_another(stage: &Stage) {
    let (begin, begun) = sync_channel(10);
    let (free, held) = gate();
    let began = begin.clone();
    let greedy = Consumer::new("greedy", move |word: String, _: &Message| {
        began.send(word)?;
        held.lock().unwrap().recv_timeout(SOON)?;
        Ok(Outcome::Ack)
    });
    let (open, wait) = gate();
    let patient = Consumer::new("patient", move |word: String, _: &Message| {
        begin.send(word.clone())?;
        if word == "held" {
            wait.lock().unwrap().recv_timeout(SOON)?;
        }
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.replace(SpawnPool::of(4)).add(greedy).add(patient);
    let running = worker.start().unwrap();
    stage.publish("greedy", &["x"; 3]);
    (0..3).for_each(|_| assert_eq!(begun.recv_timeout(SOON).unwrap(), "x"));
    stage.publish("patient", &["held"]);
    assert_eq!(begun.recv_timeout(SOON).unwrap(), "held");
    // There is no thread for these, but the one that is held.
    stage.publish("patient", &["first", "second"]);
    stage.until("they are with the worker", || stage.ready("patient") == 0);
    (0..3).for_each(|_| free.send(()).unwrap());
    let seen = [begun.recv_timeout(SOON).unwrap(), begun.recv_timeout(SOON).unwrap()];
    assert!(seen.iter().all(|word| ["first", "second"].contains(&word.as_str())), "{seen:?}");
    open.send(()).unwrap();
    assert_eq!(running.stop(), 0);
}

fn messages_behind_a_slow_one_do_not_wait_for_it(stage: &Stage) {
    let (open, wait) = gate();
    let (tell, told) = sync_channel(1000);
    let consumer = Consumer::new("batched", move |word: String, _: &Message| {
        if word == "slow" {
            wait.lock().unwrap().recv_timeout(SOON)?;
        }
        tell.send(word)?;
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.replace(SpawnPool::of(2)).add(consumer.prefetch(100));
    let running = worker.start().unwrap();
    // Quick ones first, so that the batches have grown when the slow one comes.
    stage.publish("batched", &["quick"; 300]);
    (0..300).for_each(|_| drop(told.recv_timeout(SOON).unwrap()));
    let mut words = vec!["quick"; 60];
    words[20] = "slow";
    stage.publish("batched", &words);
    let seen: Vec<String> = (0..59).map(|_| told.recv_timeout(SOON).expect("the quick ones go by")).collect();
    assert!(seen.iter().all(|word| word == "quick"));
    // Batches grow again beside it; the last ones must not wait for its end to make a full one.
    stage.publish("batched", &["quick"; 300]);
    (0..300).for_each(|_| drop(told.recv_timeout(SOON).expect("the quick ones still go by")));
    open.send(()).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), "slow");
    running.stop();
}

/// Takes the pool out of the worker.
struct TakePool(SyncSender<Pool>);

impl Step for TakePool {
    fn name(&self) -> Cow<'_, str> {
        "take-pool".into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        vec![SpawnPool::NAME.into()]
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        Ok(self.0.send(ctx.get::<Pool>()?)?)
    }
}

fn a_pool_that_somebody_closed_holds_up_nobody(stage: &Stage) {
    let (give, given) = sync_channel(1);
    let consumer = Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack));
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    worker.steps.add(TakePool(give)).add(consumer.prefetch(10));
    let running = worker.start().unwrap();
    assert!(given.recv_timeout(SOON).unwrap().close(SOON));
    stage.publish("jobs", &["x"; 20]);
    stage.until("it has taken what it may", || stage.ready("jobs") == 10);
    assert_eq!(running.stop(), 0);
    assert_eq!(stage.ready("jobs"), 20);
}
