//! The kill switch: while nearly everything fails, nothing is handled; one message tells when to go on.

use crate::support::node::Node;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{
    headers, Broker, Clock, Consumer, ConsumerState, KillSwitch, Message, Outcome, Publication, Queue, RetryPolicy, Worker,
};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

crate::on_both!(
    it_trips_pauses_probes_and_goes_on,
    it_does_so_on_the_intake_thread,
    while_it_is_open_nothing_is_consumed_and_what_is_kept_goes_back_in_the_end,
    a_handler_that_runs_long_does_not_hold_up_the_probe,
    a_shutdown_does_not_wait_for_it,
    what_has_to_be_handled_alone_is_a_probe_too,
    what_is_handled_alone_may_trip_it,
);

const PAUSE: Duration = Duration::from_millis(400);
const HOUR: Duration = Duration::from_secs(3600);

type Times = Arc<Mutex<Vec<Instant>>>;

/// Fails so many times, and notes when it was called; nothing is tried twice.
fn failing(queue: &str, times: usize, clock: Clock) -> (Consumer, Times) {
    let called = Times::default();
    let calls = called.clone();
    let consumer = Consumer::new(queue, move |_: String, _: &Message| {
        let mut calls = calls.lock().unwrap();
        calls.push(clock.now());
        match calls.len() {
            call if call <= times => Err("the database is away".into()),
            _ => Ok(Outcome::Ack),
        }
    });
    (consumer.retry(RetryPolicy::none()).concurrency(1), called)
}

fn it_trips_pauses_probes_and_goes_on(stage: &Stage) {
    let (consumer, called) = failing("jobs", 6, stage.broker.clock());
    // One by one, so that it trips at the very attempt.
    trips_and_goes_on(stage, consumer.prefetch(1), &called);
}

fn it_does_so_on_the_intake_thread(stage: &Stage) {
    let (consumer, called) = failing("jobs", 6, stage.broker.clock());
    trips_and_goes_on(stage, consumer.prefetch(20).on_intake_thread(), &called);
}

fn trips_and_goes_on(stage: &Stage, consumer: Consumer, called: &Times) {
    let _running = stage.start(consumer.kill_switch(KillSwitch::at(1.0).over(5).pause(PAUSE)));
    stage.publish("jobs", &["x"; 20]);
    stage.until("all have been handled", || called.lock().unwrap().len() == 20);
    let called = called.lock().unwrap();
    let after = |call: usize| called[call] - called[call - 1];
    assert!(after(5) >= PAUSE, "after five failures it pauses: {:?}", after(5));
    assert!(after(6) >= 2 * PAUSE, "the first probe failed, so twice as long: {:?}", after(6));
    stage.until("six are in the archive, the others done", || stage.ready("jobs.archive") == 6 && stage.ready("jobs") == 0);
    assert!(called.iter().skip(7).zip(called.iter().skip(8)).all(|(one, next)| *next - *one < PAUSE), "then it goes on");
}

fn while_it_is_open_nothing_is_consumed_and_what_is_kept_goes_back_in_the_end(stage: &Stage) {
    let (consumer, called) = failing("jobs", 100, stage.broker.clock());
    let switch = KillSwitch::at(0.5).over(2).pause(HOUR).hold(PAUSE);
    // One thread: of several, each may have begun one before the switch hears of the first.
    let running = stage.start(consumer.prefetch(10).concurrency(1).kill_switch(switch));
    stage.publish("jobs", &["x"; 20]);
    let consumers = || stage.connection.declare_queue(&bootstep::Queue::existing("jobs")).unwrap().consumers;
    stage.until("it consumes no more", || called.lock().unwrap().len() >= 2 && consumers() == 0);
    // Whatever else was begun in the same moment.
    let begun = called.lock().unwrap().len() as u32;
    assert!(begun < 4, "{begun}");
    stage.until("what it kept is back", || stage.ready("jobs") == 20 - begun);
    assert_eq!((called.lock().unwrap().len() as u32, consumers()), (begun, 0));
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("jobs"), stage.ready("jobs.archive")), (20 - begun, begun));
}

fn a_handler_that_runs_long_does_not_hold_up_the_probe(stage: &Stage) {
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(Some(held));
    let handled = Arc::new(Mutex::new(0));
    let count = handled.clone();
    let consumer = Consumer::new("jobs", move |word: String, _: &Message| match word.as_str() {
        "long" => {
            let held = held.lock().unwrap().take();
            held.map(|held| held.recv_timeout(SOON)).transpose()?;
            Ok(Outcome::Ack)
        }
        "bad" => Err("the database is away".into()),
        _ => {
            *count.lock().unwrap() += 1;
            Ok(Outcome::Ack)
        }
    });
    let consumer = consumer.retry(RetryPolicy::none()).prefetch(4).concurrency(2);
    let running = stage.start(consumer.kill_switch(KillSwitch::at(1.0).over(2).pause(PAUSE)));
    stage.publish("jobs", &["long", "bad", "bad"]);
    stage.until("it has tripped", || stage.ready("jobs.archive") == 2);
    stage.publish("jobs", &["x"; 10]);
    stage.until("the others are handled", || *handled.lock().unwrap() == 10);
    let_go.send(()).unwrap();
    assert_eq!(running.stop(), 0);
    assert_eq!(stage.ready("jobs"), 0);
}

fn a_shutdown_does_not_wait_for_it(stage: &Stage) {
    let (consumer, called) = failing("jobs", 100, stage.broker.clock());
    let running = stage.start(consumer.prefetch(10).kill_switch(KillSwitch::at(0.5).over(2).pause(HOUR)));
    stage.publish("jobs", &["x"; 20]);
    stage.until("it has tripped", || called.lock().unwrap().len() >= 2);
    assert_eq!(running.stop(), 0);
    let begun = called.lock().unwrap().len() as u32;
    assert_eq!((stage.ready("jobs"), stage.ready("jobs.archive")), (20 - begun, begun));
    assert!(begun < 4, "{begun}");
}

/// A message that came again once, as a worker says that counts.
fn suspect() -> Publication {
    let mut suspect = Publication::new("", "jobs", "suspect").mandatory();
    suspect.properties = suspect.properties.header(headers::REDELIVERIES, 1);
    suspect
}

fn what_has_to_be_handled_alone_is_a_probe_too(stage: &Stage) {
    let (consumer, called) = failing("jobs", 2, stage.broker.clock());
    let consumer = consumer.prefetch(10).poison_after(3).kill_switch(KillSwitch::at(1.0).over(2).pause(PAUSE));
    let running = stage.start(consumer);
    stage.publish("jobs", &["x"; 2]);
    stage.until("it has tripped", || stage.ready("jobs.archive") == 2);
    stage.send(&[suspect()]).unwrap();
    stage.publish("jobs", &["x"; 3]);
    stage.until("all are handled", || called.lock().unwrap().len() == 6);
    assert_eq!(running.stop(), 0);
}

fn what_is_handled_alone_may_trip_it(stage: &Stage) {
    let (consumer, called) = failing("jobs", 3, stage.broker.clock());
    let consumer = consumer.prefetch(10).poison_after(3).kill_switch(KillSwitch::at(1.0).over(2).pause(PAUSE));
    stage.connection.declare_queue(&Queue::new("jobs")).unwrap();
    stage.send(&[suspect(), suspect(), suspect(), suspect()]).unwrap();
    stage.publish("jobs", &["x"; 3]);
    let running = stage.start(consumer);
    stage.until("all are handled", || called.lock().unwrap().len() == 7);
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_queue_that_would_go_for_want_of_a_consumer_is_no_queue_for_it() {
    #[track_caller]
    fn refused(change: impl Fn(Consumer) -> Consumer, queue: Queue) -> String {
        let stage = Stage::memory();
        let consumer = Consumer::new(queue, |_: String, _: &Message| Ok(Outcome::Ack));
        let mut worker = Worker::new(stage.broker.clone());
        worker.steps.add(change(consumer));
        worker.start().err().map(|err| err.to_string()).unwrap_or_default()
    }
    let switched = |consumer: Consumer| consumer.kill_switch(KillSwitch::at(1.0).pause(PAUSE));
    let told = refused(switched, Queue::new("jobs").auto_delete());
    assert!(told.contains("`jobs` goes with its last consumer") && told.contains("kill switch"), "{told}");
    let told = refused(|consumer| consumer.poison_after(3), Queue::new("jobs").auto_delete());
    assert!(told.contains("`poison_after`"), "{told}");
    let told = refused(switched, Queue::new("jobs").expires(10 * PAUSE));
    assert!(told.contains("`jobs` goes after 4s without a consumer"), "{told}");
    assert_eq!(refused(switched, Queue::new("jobs").expires(HOUR)), "");
    assert_eq!(refused(|consumer| consumer, Queue::new("jobs").auto_delete()), "");
}

#[test]
fn a_connection_that_goes_while_it_is_open_is_noticed_soon() {
    let node = Node::start();
    let broker = Broker::amqp(&node.url()).unwrap();
    let (consumer, called) = failing("jobs", 100, broker.clock());
    let mut worker = Worker::new(broker.clone());
    worker.steps.add(consumer.prefetch(10).kill_switch(KillSwitch::at(0.5).over(2).pause(HOUR)));
    let running = worker.start().unwrap();
    let connection = broker.connect("test").unwrap();
    connection.publish(&vec![Publication::new("", "jobs", "x").mandatory(); 5], SOON).unwrap();
    let is_paused = || matches!(running.consumers()[0].state, ConsumerState::Paused { .. });
    eventually("it has tripped", SOON, || called.lock().unwrap().len() >= 2 && is_paused());
    node.ctl(&["close_all_connections", "maintenance"]);
    // What it held has come again, and a new connection closes the switch: with nothing but failures, it trips once more.
    eventually("it has noticed", SOON, || called.lock().unwrap().len() >= 4 && is_paused());
    assert_eq!(running.stop(), 0);
}
