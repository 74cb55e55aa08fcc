//! Consuming: outcomes, order, fairness, what a handler publishes, hooks and steps.

use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{
    headers, steps::SpawnPool, BoxError, Consumer, ConsumerStep, Context, Exchange, Message, Outcome, Publication, Queue,
    RetryPolicy, Step, Worker,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

crate::on_both!(
    every_outcome_puts_the_message_in_its_place,
    one_at_a_time_means_in_order,
    no_more_run_at_once_than_the_concurrency_allows,
    what_a_handler_publishes_is_there_when_its_message_is_gone,
    what_a_failed_handler_publishes_is_not_sent,
    a_publish_to_nowhere_is_a_failed_attempt_and_stops_nobody,
    an_exchange_that_vanishes_fails_only_what_is_published_to_it,
    a_step_may_have_several_consumers,
    a_step_may_wrap_a_consumer_step,
    a_handler_on_the_intake_thread_does_the_same,
    many_messages_are_each_handled_once,
);

fn every_outcome_puts_the_message_in_its_place(stage: &Stage) {
    let requeued = AtomicUsize::new(0);
    let consumer = Consumer::new("mixed", move |word: String, _: &Message| {
        Ok(match word.as_str() {
            "ack" => Outcome::Ack,
            "retry" => Outcome::retry("later"),
            "archive" => Outcome::archive("for a human"),
            "reject" => Outcome::reject("not for us"),
            _ if requeued.fetch_add(1, Ordering::SeqCst) == 0 => Outcome::Requeue,
            _ => Outcome::archive("came back"),
        })
    });
    let _running = stage.start(consumer.retry(RetryPolicy::fixed(Duration::from_secs(3600), 1)));
    stage.publish("mixed", &["ack", "retry", "archive", "reject", "requeue"]);
    let bodies = |queue: &str, count| {
        let mut bodies: Vec<_> = stage.take(queue, count).iter().map(|message| message.body().to_vec()).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies("mixed.archive", 2), [b"archive".to_vec(), b"requeue".to_vec()]);
    assert_eq!(bodies("mixed.dead", 1), [b"reject".to_vec()]);
    assert_eq!(bodies("mixed.retry.3600s", 1), [b"retry".to_vec()]);
    assert_eq!(stage.ready("mixed"), 0);
}

fn one_at_a_time_means_in_order(stage: &Stage) {
    let (tell, told) = sync_channel(200);
    let consumer = Consumer::new("rows", move |row: String, _: &Message| {
        tell.send(row)?;
        Ok(Outcome::Ack)
    });
    let _running = stage.start(consumer.concurrency(1).prefetch(1));
    let rows: Vec<String> = (0..100).map(|row| row.to_string()).collect();
    stage.publish("rows", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let seen: Vec<String> = (0..100).map(|_| told.recv_timeout(SOON).unwrap()).collect();
    assert_eq!(seen, rows);
}

fn no_more_run_at_once_than_the_concurrency_allows(stage: &Stage) {
    let (running_now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, highest) = (running_now.clone(), most.clone());
    let (begin, begun) = sync_channel(10);
    let (open, wait) = gate();
    let consumer = Consumer::new("narrow", move |_: String, _: &Message| {
        highest.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        begin.send(())?;
        wait.lock().unwrap().recv_timeout(SOON)?;
        count.fetch_sub(1, Ordering::SeqCst);
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.replace(SpawnPool::of(8)).add(consumer.concurrency(2));
    let _running = worker.start().unwrap();
    stage.publish("narrow", &["a", "b", "c", "d", "e", "f"]);
    for _ in 0..6 {
        begun.recv_timeout(SOON).unwrap();
        open.send(()).unwrap();
    }
    stage.until("all are done", || running_now.load(Ordering::SeqCst) == 0 && stage.ready("narrow") == 0);
    // The gate lets one pass at a time, so a second may be inside, and never a third.
    assert!(most.load(Ordering::SeqCst) <= 2);
}

pub type Gate = (std::sync::mpsc::SyncSender<()>, Arc<Mutex<std::sync::mpsc::Receiver<()>>>);

pub fn gate() -> Gate {
    let (open, passed) = sync_channel(100);
    (open, Arc::new(Mutex::new(passed)))
}

fn what_a_handler_publishes_is_there_when_its_message_is_gone(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("copies")).unwrap();
    let consumer = Consumer::new("originals", |text: String, message: &Message| {
        message.publish("", "copies", text.to_uppercase());
        message.send(Publication::new("", "copies", "second").content_type("text/plain").mandatory());
        Ok(Outcome::Ack)
    });
    let _running = stage.start(consumer);
    stage.publish("originals", &["one"]);
    let copies = stage.take("copies", 2);
    assert_eq!((copies[0].body(), copies[1].body()), (&b"ONE"[..], &b"second"[..]));
    stage.until("the original is gone", || stage.ready("originals") == 0);
}

fn what_a_failed_handler_publishes_is_not_sent(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("drafts")).unwrap();
    let consumer = Consumer::new("writers", |_: String, message: &Message| {
        message.publish("", "drafts", "half a novel");
        Err("out of words".into())
    });
    let _running = stage.start(consumer.retry(RetryPolicy::none()));
    stage.publish("writers", &["write"]);
    stage.take("writers.archive", 1);
    assert_eq!(stage.ready("drafts"), 0);
}

fn a_publish_to_nowhere_is_a_failed_attempt_and_stops_nobody(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("arrivals")).unwrap();
    let consumer = Consumer::new("senders", |word: String, message: &Message| {
        match word.as_str() {
            "no exchange" => message.publish("no-such-exchange", "x", "lost"),
            "no queue" => message.publish("", "no-such-queue", "lost"),
            _ => message.publish("", "arrivals", word),
        }
        Ok(Outcome::Ack)
    });
    let _running = stage.start(consumer.retry(RetryPolicy::none()));
    let mut words = vec!["good"; 20];
    words.insert(10, "no exchange");
    words.insert(5, "no queue");
    stage.publish("senders", &words);
    let archived: BTreeMap<Vec<u8>, String> = stage
        .take("senders.archive", 2)
        .iter()
        .map(|message| (message.body().to_vec(), message.header(headers::REASON).unwrap().to_string()))
        .collect();
    assert!(archived[&b"no exchange"[..]].contains("no exchange 'no-such-exchange'"), "{archived:?}");
    assert!(archived[&b"no queue"[..]].contains("NO_ROUTE"), "{archived:?}");
    stage.until("all good ones arrive", || stage.ready("arrivals") == 20 && stage.ready("senders") == 0);
}

fn an_exchange_that_vanishes_fails_only_what_is_published_to_it(stage: &Stage) {
    stage.connection.declare_exchange(&Exchange::direct("brief")).unwrap();
    stage.connection.declare_queue(&Queue::new("there")).unwrap();
    let consumer = Consumer::new("posters", |word: String, message: &Message| {
        message.publish(if word == "bad" { "brief" } else { "" }, "there", word);
        Ok(Outcome::Ack)
    });
    let _running = stage.start(consumer.retry(RetryPolicy::none()));
    // The first one makes the exchange known; then it goes, and the broker closes the channel for whoever uses it.
    stage.publish("posters", &["bad"]);
    stage.until("the first is published", || stage.ready("posters") == 0 && stage.ready("posters.archive") == 0);
    stage.publish("posters", &["good"]);
    stage.until("and confirmed", || stage.ready("there") == 1);
    stage.connection.delete_exchange("brief").unwrap();
    let mut words = vec!["good"; 40];
    words[20] = "bad";
    stage.publish("posters", &words);
    let archived = &stage.take("posters.archive", 1)[0];
    assert_eq!(archived.body(), b"bad");
    assert!(archived.header(headers::REASON).unwrap().to_string().contains("no exchange 'brief'"));
    // At-least-once: what shared the channel with the bad one may have been published twice, and is never lost.
    stage.until("all good ones arrive", || stage.ready("there") >= 40 && stage.ready("posters") == 0);
}

/// RabbitMQ would answer by closing the connection, again and again.
#[test]
fn what_amqp_cannot_carry_fails_its_own_message_only() {
    let stage = Stage::rabbitmq();
    stage.connection.declare_queue(&Queue::new("carried")).unwrap();
    let consumer = Consumer::new("carriers", |word: String, message: &Message| {
        let publication = match word.as_str() {
            "key" => Publication::new("", "k".repeat(300), "x"),
            "exchange" => Publication::new("e".repeat(300), "k", "x"),
            "type" => Publication::new("", "carried", "x").content_type("t".repeat(300)),
            "header" => {
                let properties = bootstep::Properties::default().header("h".repeat(300), 1);
                Publication::new("", "carried", "x").with(properties)
            }
            "headers" => {
                let properties = bootstep::Properties::default().header("h", "v".repeat(200_000));
                Publication::new("", "carried", "x").with(properties)
            }
            _ => Publication::new("", "carried", word),
        };
        message.send(publication);
        Ok(Outcome::Ack)
    });
    let _running = stage.start(consumer.retry(RetryPolicy::none()));
    stage.publish("carriers", &["key", "good", "exchange", "type", "good", "header", "headers", "good"]);
    for message in stage.take("carriers.archive", 5) {
        let reason = message.header(headers::REASON).unwrap().to_string();
        assert!(reason.contains("bytes, and"), "{reason}");
    }
    stage.until("the good ones are published once", || stage.ready("carried") == 3 && stage.ready("carriers") == 0);
}

/// What we add to a message that we move must not make it too large to be sent.
#[test]
fn a_message_that_fills_its_frame_is_moved_with_what_it_came_with() {
    let stage = Stage::rabbitmq();
    let consumer = Consumer::new("brimming", |_: String, _: &Message| Err("e".repeat(1_900).into()));
    let _running = stage.start(consumer.retry(RetryPolicy::fixed(Duration::from_millis(50), 1)));
    let sizes = [100_000, 129_500, 130_900, 131_020];
    let full = sizes.map(|size| {
        let properties = bootstep::Properties::persistent("text/plain").header("h", "v".repeat(size));
        Publication::new("", "brimming", size.to_string()).with(properties)
    });
    stage.send(&full).unwrap();
    let archived = stage.take("brimming.archive", 4);
    for message in archived {
        let size: usize = String::from_utf8_lossy(message.body()).parse().unwrap();
        assert_eq!(message.header("h").map(|value| value.to_string().len()), Some(size));
    }
}

#[test]
fn the_last_acks_of_quick_handlers_wait_for_no_more() {
    let stage = Stage::memory();
    let memory = stage.memory.clone().unwrap();
    let _running = stage.start(Consumer::new("quick", |_: String, _: &Message| Ok(Outcome::Ack)).prefetch(100));
    // One by one and in bulk, so that some are left over that are not worth an ack of their own.
    for count in [300, 1, 7, 310] {
        (0..count).for_each(|_| memory.publish(Publication::new("", "quick", "x")).unwrap());
        memory.drain(SOON).expect("nothing stays unacked");
    }
}

fn a_step_may_have_several_consumers(stage: &Stage) {
    struct ConsumeBoth(std::sync::mpsc::SyncSender<String>);
    impl ConsumerStep for ConsumeBoth {
        fn consumers(&self) -> Vec<Consumer> {
            let consumer = |queue: &str| {
                let tell = self.0.clone();
                Consumer::new(queue, move |text: String, message: &Message| {
                    tell.send(format!("{} {text}", message.queue()))?;
                    Ok(Outcome::Ack)
                })
            };
            vec![consumer("left"), consumer("right")]
        }
    }
    let (tell, told) = sync_channel(8);
    let running = stage.start(ConsumeBoth(tell));
    let name = running.blueprint().names().last().unwrap().to_owned();
    assert_eq!(name, "ConsumeBoth(left, right)");
    stage.publish("left", &["1"]);
    stage.publish("right", &["2"]);
    let mut seen = vec![told.recv_timeout(SOON).unwrap(), told.recv_timeout(SOON).unwrap()];
    seen.sort();
    assert_eq!(seen, ["left 1", "right 2"]);
}

fn a_step_may_wrap_a_consumer_step(stage: &Stage) {
    /// Passes on the least that a step must.
    struct Wrapped(Consumer);
    impl Step for Wrapped {
        fn name(&self) -> std::borrow::Cow<'_, str> {
            "wrapped".into()
        }
        fn requires(&self) -> Vec<std::borrow::Cow<'static, str>> {
            self.0.requires()
        }
        fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
            self.0.start(ctx)
        }
    }
    stage.connection.declare_queue(&Queue::new("inside")).unwrap();
    let (tell, told) = sync_channel(1);
    let consumer = Consumer::new("inside", move |word: String, _: &Message| {
        tell.send(word)?;
        Ok(Outcome::Ack)
    });
    let _running = stage.start(Wrapped(consumer));
    stage.publish("inside", &["x"]);
    assert_eq!(told.recv_timeout(SOON).unwrap(), "x");
}

#[test]
fn a_reply_to_a_waiting_caller_is_no_failed_attempt() {
    const CALLER: &str = "amq.rabbitmq.reply-to";
    let (stage, url) = Stage::rabbitmq_with_url();
    let consumer = Consumer::new("questions", |_: String, message: &Message| {
        message.publish("", message.properties().reply_to.clone().unwrap_or_default(), "an answer");
        Ok(Outcome::Ack)
    });
    let running = stage.start(consumer.retry(RetryPolicy::none()));
    let mut connection = amiquip::Connection::insecure_open(&url).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let options = amiquip::ConsumerOptions { no_ack: true, ..Default::default() };
    let caller = channel.basic_consume(CALLER, options).unwrap();
    let properties = amiquip::AmqpProperties::default().with_reply_to(CALLER.into());
    let question = amiquip::Publish::with_properties(b"a question", "questions", properties);
    channel.basic_publish("", question).unwrap();
    let answer = caller.receiver().recv_timeout(SOON).unwrap();
    let amiquip::ConsumerMessage::Delivery(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.body, b"an answer");
    assert_eq!(running.stop(), 0);
    assert_eq!((stage.ready("questions"), stage.ready("questions.archive")), (0, 0));
}

fn a_handler_on_the_intake_thread_does_the_same(stage: &Stage) {
    let consumer = Consumer::new("inline", |word: String, _: &Message| match word.as_str() {
        "panic" => panic!("inline"),
        "reject" => Ok(Outcome::reject("no")),
        _ => Ok(Outcome::Ack),
    });
    let _running = stage.start(consumer.on_intake_thread().retry(RetryPolicy::none()));
    stage.publish("inline", &["a", "panic", "b", "reject", "c"]);
    assert_eq!(stage.take("inline.archive", 1)[0].body(), b"panic");
    assert_eq!(stage.take("inline.dead", 1)[0].body(), b"reject");
    stage.until("the queue is empty", || stage.ready("inline") == 0);
}

fn many_messages_are_each_handled_once(stage: &Stage) {
    let seen = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let count = seen.clone();
    let consumer = Consumer::new("many", move |id: String, _: &Message| {
        *count.lock().unwrap().entry(id).or_default() += 1;
        Ok(Outcome::Ack)
    });
    let running = stage.start(consumer.prefetch(100));
    let ids: Vec<String> = (0..5_000).map(|id| id.to_string()).collect();
    stage.publish("many", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    eventually("all are handled", SOON, || seen.lock().unwrap().len() == 5_000);
    assert_eq!(running.stop(), 0);
    assert!(seen.lock().unwrap().values().all(|times| *times == 1));
    assert_eq!(stage.ready("many"), 0);
}
