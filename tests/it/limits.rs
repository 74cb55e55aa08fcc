//! Handlers that take too long: told by name, counted, and at last left behind; and what an operator can read of a consumer.

use crate::support::alone::Lines;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{
    Broker, Consumer, ConsumerState, ConsumerStatus, MemoryBroker, Message, Outcome, Properties, Publication, RetryPolicy,
    Running, Worker,
};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Mutex;
use std::time::Duration;

crate::each_alone!(
    a_slow_handler_is_told_by_name_again_and_again_and_when_it_ends,
    a_slow_handler_on_the_intake_thread_is_told_as_well,
    by_default_a_handler_is_stuck_after_ten_minutes,
    a_handler_over_its_limit_makes_the_process_leave,
    a_quick_handler_is_never_complained_of,
);
crate::on_both!(what_became_of_messages_is_counted_by_consumer);

const MINUTE: Duration = Duration::from_secs(60);
const WHICH: &str = "message id `order-7\\nERROR`, routing key `slow`, attempt 3";

/// A consumer whose handlers wait to be let go, on the memory broker with its clock by hand.
struct Held {
    memory: MemoryBroker,
    running: Running,
    begun: Receiver<()>,
    open: SyncSender<()>,
}

impl Held {
    fn start(limited: impl FnOnce(Consumer) -> Consumer) -> Held {
        let memory = MemoryBroker::new();
        memory.consumer_timeout(None);
        let ((begin, begun), (open, gate)) = (sync_channel(100), sync_channel::<()>(100));
        let gate = Mutex::new(gate);
        let consumer = Consumer::new("slow", move |_: String, _: &Message| {
            begin.send(())?;
            gate.lock().unwrap().recv_timeout(SOON)?;
            Ok(Outcome::Ack)
        });
        let mut worker = Worker::new(Broker::from(&memory)).drain_within(Duration::from_millis(200));
        worker.steps.add(limited(consumer));
        Held { running: worker.start().unwrap(), memory, begun, open }
    }

    /// A message is published and with its handler.
    fn begin(&self) {
        let mut publication = Publication::new("", "slow", "a secret");
        publication.properties = Properties::default().header("x-bootstep-retries", 2);
        publication.properties.message_id = Some("order-7\nERROR".into());
        self.memory.publish(publication).unwrap();
        self.begun.recv_timeout(SOON).unwrap();
    }

    /// The handler returns, and what it held is done.
    fn end(&self) {
        let before = self.status().acked;
        self.open.send(()).unwrap();
        eventually("its message is acked", SOON, || self.status().acked > before);
    }

    fn status(&self) -> ConsumerStatus {
        self.running.consumers().remove(0)
    }
}

fn a_slow_handler_is_told_by_name_again_and_again_and_when_it_ends(lines: &Lines) {
    check_a_slow_handler(lines, |consumer| consumer);
}

fn a_slow_handler_on_the_intake_thread_is_told_as_well(lines: &Lines) {
    check_a_slow_handler(lines, Consumer::on_intake_thread);
}

fn check_a_slow_handler(lines: &Lines, limited: impl Fn(Consumer) -> Consumer) {
    let held = Held::start(|consumer| limited(consumer).soft_time_limit(MINUTE).stuck_after(5 * MINUTE));
    held.begin();
    held.end();
    held.begin();
    held.memory.advance(MINUTE - Duration::from_millis(1));
    assert_eq!((held.status().overran, held.status().stuck), (0, 0));
    held.memory.advance(Duration::from_millis(1));
    let warned = lines.first("its soft limit is 60s");
    assert_eq!(warned, format!("WARN `slow`: a handler has run for 60.0s, its soft limit is 60s: {WHICH}"));
    for (minutes, seconds_in_all) in [(4, 300), (5, 600), (10, 1200)] {
        held.memory.advance(minutes * MINUTE);
        assert_eq!(held.status().stuck, 1);
        let told = lines.first(&format!("has been at one message for {seconds_in_all}.0s"));
        assert!(told.starts_with("ERROR `slow`: a handler") && told.ends_with(WHICH), "{told}");
    }
    assert_eq!((held.status().overran, held.status().stuck), (1, 1));
    held.end();
    let ended = lines.first("a handler ended after 1200.0s (its soft limit is 60s)");
    assert!(ended.starts_with("WARN `slow`:") && ended.ends_with(WHICH), "{ended}");
    assert_eq!((held.status().overran, held.status().stuck), (1, 0));
    assert_eq!(lines.complaints().len(), 5, "{:#?}", lines.complaints());
    assert_eq!(lines.with("a secret"), Vec::<String>::new());
    assert_eq!(held.running.stop(), bootstep::EXIT_DRAINED);
}

fn by_default_a_handler_is_stuck_after_ten_minutes(lines: &Lines) {
    let held = Held::start(|consumer| consumer);
    held.begin();
    held.memory.advance(10 * MINUTE - Duration::from_millis(1));
    assert_eq!(held.status().stuck, 0);
    held.memory.advance(Duration::from_millis(1));
    lines.first("has been at one message for 600.0s");
    held.end();
    lines.first("a handler ended after 600.0s: message id");
    assert_eq!(held.running.stop(), bootstep::EXIT_DRAINED);
}

fn a_handler_over_its_limit_makes_the_process_leave(lines: &Lines) {
    let held = Held::start(|consumer| consumer.time_limit(30 * MINUTE).stuck_after(Duration::MAX));
    held.begin();
    held.memory.advance(30 * MINUTE);
    let told = lines.first("the worker leaves with exit code 4");
    assert!(told.starts_with("ERROR `slow`: a handler has run for 1800.0s, which is over its limit: message id"), "{told}");
    // The stuck one does not hold up the end for longer than others are waited for.
    assert_eq!(held.running.wait(), bootstep::EXIT_STUCK);
    eventually("its message is back", SOON, || held.memory.texts("slow") == ["a secret"]);
}

fn a_quick_handler_is_never_complained_of(lines: &Lines) {
    let held = Held::start(|consumer| consumer.soft_time_limit(MINUTE).stuck_after(2 * MINUTE).time_limit(3 * MINUTE));
    for _ in 0..20 {
        held.begin();
        held.memory.advance(MINUTE / 2);
        held.end();
    }
    held.memory.advance(60 * MINUTE);
    assert_eq!((held.status().acked, held.status().overran, held.status().stuck), (20, 0, 0));
    assert_eq!(lines.complaints(), Vec::<String>::new());
    assert_eq!(held.running.stop(), bootstep::EXIT_DRAINED);
}

fn what_became_of_messages_is_counted_by_consumer(stage: &Stage) {
    let counted = Consumer::new("counted", |word: String, message: &Message| match word.as_str() {
        "ack" => Ok(Outcome::Ack),
        "again" if message.attempt() == 1 => Ok(Outcome::retry("once more")),
        "again" => Ok(Outcome::Ack),
        "archive" => Ok(Outcome::archive("for a human")),
        "reject" => Ok(Outcome::reject("not for us")),
        "requeue" if !message.is_redelivered() => Ok(Outcome::Requeue),
        "requeue" => Ok(Outcome::Ack),
        "panic" => panic!("as it was told"),
        _ => Err("it cannot be done".into()),
    });
    let mut worker = Worker::new(stage.broker.clone());
    let retry = RetryPolicy::fixed(Duration::from_millis(100), 1);
    worker.steps.add(counted.retry(retry)).add(Consumer::new("idle", |_: String, _| Ok(Outcome::Ack)));
    let running = worker.start().unwrap();
    stage.publish("counted", &["ack", "ack", "again", "archive", "reject", "requeue", "panic", "error"]);
    let status = || running.consumers();
    // Two messages are acked at once, one after a retry, and one after it was handed back.
    stage.until("all are done", || status()[0].acked == 4 && status()[0].archived == 3);
    let [counted, idle] = &status()[..] else { panic!("there are two consumers") };
    assert_eq!((counted.queue.as_str(), counted.step.as_str()), ("counted", "consume(counted)"));
    assert_eq!((counted.delivered, counted.retried, counted.rejected), (12, 3, 1));
    assert_eq!((counted.requeued, counted.failed, counted.overran, counted.stuck), (1, 4, 0, 0));
    assert_eq!((idle.delivered, &idle.state), (0, &ConsumerState::Consuming));
    if let Some(memory) = &stage.memory {
        memory.sever();
        eventually("it is seen to be away", SOON, || status().iter().all(|one| one.state == ConsumerState::Away));
        stage.until("it is back", || status().iter().all(|one| one.state == ConsumerState::Consuming));
        assert_eq!(status()[0].delivered, 12, "it counts on from where it was");
    }
    assert_eq!(running.stop(), 0);
}
