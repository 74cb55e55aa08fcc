//! Failed attempts by rules of the user's own, and with nothing around the queue at all.

use super::{always_failing, text};
use crate::support::stage::Stage;
use bootstep::{
    Consumer, ConsumerState, CustomLayout, Departure, Exchange, Message, Outcome, Publication, Queue, RetryLayout, RetryPolicy,
    Topology,
};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

crate::on_both!(
    a_layout_of_its_own_says_where_messages_wait_and_how_they_are_counted,
    what_stands_around_by_a_layout_of_its_own_is_declared_again_when_it_is_missing,
    two_consumers_may_share_what_stands_around_them,
    nothing_is_declared_around_a_bare_queue,
    what_a_bare_consumer_gives_up_is_left_to_the_queues_dead_letters,
    a_failed_message_of_a_bare_queue_comes_again_at_once,
    the_limit_of_a_bare_quorum_queue_is_the_brokers_to_keep,
    what_is_to_be_discarded_is_gone_whatever_the_queue_does_with_rejects,
    a_layout_that_panics_costs_neither_message_nor_thread,
    while_an_exchange_takes_nothing_the_consumer_pauses_and_says_which,
);

/// Two queues behind fanout exchanges of their names, as a service has them for all its queues; back it goes by `back`.
struct Service;

const WAIT: Duration = Duration::from_millis(50);

impl CustomLayout for Service {
    fn counted_by(&self) -> Cow<'static, str> {
        "tries".into()
    }

    fn topology(&self) -> Topology {
        let later = Queue::new("later").message_ttl(WAIT).argument("x-dead-letter-exchange", "back").bind("later", "");
        let exchanges = [Exchange::fanout("later"), Exchange::topic("back"), Exchange::fanout("lost")];
        let topology = exchanges.into_iter().fold(Topology::default(), Topology::exchange);
        topology.queue(later).queue(Queue::new("lost").bind("lost", ""))
    }

    fn archive_queue(&self) -> Option<String> {
        Some("lost".into())
    }

    fn retry(&self, message: &Message, copy: Publication, _delay: Duration) -> Departure {
        Departure::Publish(copy.to("later", message.routing_key()))
    }

    fn archive(&self, message: &Message, mut copy: Publication, reason: &str) -> Departure {
        copy.properties.kind = Some(reason.into());
        Departure::Publish(copy.to("lost", message.routing_key()))
    }
}

fn in_service(queue: &str) -> (Consumer, Arc<std::sync::Mutex<Vec<u32>>>) {
    let (consumer, attempts) = always_failing(Queue::new(queue).bind("back", queue));
    let consumer = consumer.exchange(Exchange::topic("back")).layout(Service);
    (consumer.retry(RetryPolicy::fixed(WAIT, 2)), attempts)
}

fn a_layout_of_its_own_says_where_messages_wait_and_how_they_are_counted(stage: &Stage) {
    let (consumer, attempts) = in_service("jobs");
    let _running = stage.start(consumer);
    stage.publish("jobs", &["press"]);
    let lost = stage.take("lost", 1);
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3]);
    assert_eq!((lost[0].body(), lost[0].routing_key()), (&b"press"[..], "jobs"));
    assert_eq!((text(&lost[0], "tries"), lost[0].properties().kind.as_deref()), ("2".into(), Some("the press is jammed")));
    let around = ["jobs.archive", "jobs.dead"].map(Queue::existing);
    assert!(around.iter().all(|queue| stage.connection.declare_queue(queue).is_err()), "only what the layout says");
}

fn what_stands_around_by_a_layout_of_its_own_is_declared_again_when_it_is_missing(stage: &Stage) {
    let (consumer, attempts) = in_service("jobs");
    let _running = stage.start(consumer);
    stage.connection.delete_queue("later").unwrap();
    stage.connection.delete_exchange("later").unwrap();
    stage.publish("jobs", &["press"]);
    assert_eq!(stage.take("lost", 1)[0].body(), b"press");
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3]);
}

fn two_consumers_may_share_what_stands_around_them(stage: &Stage) {
    struct Both;
    impl bootstep::ConsumerStep for Both {
        fn consumers(&self) -> Vec<Consumer> {
            ["jobs", "errands"].map(|queue| in_service(queue).0).into()
        }
    }
    let _running = stage.start(Both);
    stage.publish("jobs", &["press"]);
    stage.publish("errands", &["bread"]);
    let mut keys: Vec<String> = stage.take("lost", 2).iter().map(|message| message.routing_key().to_owned()).collect();
    keys.sort();
    assert_eq!(keys, ["errands", "jobs"]);
}

fn bare(consumer: Consumer) -> Consumer {
    consumer.retry_layout(RetryLayout::Bare)
}

fn nothing_is_declared_around_a_bare_queue(stage: &Stage) {
    let _running = stage.start(bare(Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack))));
    for name in ["jobs.retry.1s", "jobs.archive", "jobs.dead"] {
        assert!(stage.connection.declare_queue(&Queue::existing(name)).is_err(), "{name}");
    }
}

fn what_a_bare_consumer_gives_up_is_left_to_the_queues_dead_letters(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("morgue")).unwrap();
    let queue = Queue::new("jobs").dead_letter_to("", "morgue");
    let _running = stage.start(bare(Consumer::new(queue, |job: String, _: &Message| match job.as_str() {
        "late" => Ok(Outcome::archive("too late")),
        _ => Ok(Outcome::reject("not ours")),
    })));
    stage.publish("jobs", &["late", "strange"]);
    stage.connection.publish(&[Publication::new("", "jobs", b"\xff".to_vec())], WAIT * 100).unwrap();
    let dead = stage.take("morgue", 3);
    assert!(dead.iter().all(|message| text(message, "x-first-death-reason") == "rejected"));
}

fn the_limit_of_a_bare_quorum_queue_is_the_brokers_to_keep(stage: &Stage) {
    // From then on, what is handed back does not count.
    if stage.is_rabbitmq_from([4, 3, 0]) {
        return;
    }
    stage.connection.declare_queue(&Queue::new("morgue")).unwrap();
    let queue = Queue::new("jobs").quorum().delivery_limit(3).dead_letter_to("", "morgue");
    let _running = stage.start(bare(Consumer::new(queue, |_: String, _: &Message| Ok(Outcome::Requeue))));
    stage.publish("jobs", &["again"]);
    assert_eq!(text(&stage.take("morgue", 1)[0], "x-first-death-reason"), "delivery_limit");
}

fn a_failed_message_of_a_bare_queue_comes_again_at_once(stage: &Stage) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = attempts.clone();
    let _running = stage.start(bare(Consumer::new("jobs", move |_: String, message: &Message| {
        match seen.fetch_add(1, Ordering::Relaxed) {
            0..=2 => Err("the press is jammed".into()),
            _ => {
                message.publish("", "done", message.is_redelivered().to_string());
                Ok(Outcome::Ack)
            }
        }
    })));
    stage.connection.declare_queue(&Queue::new("done")).unwrap();
    stage.publish("jobs", &["press"]);
    assert_eq!(stage.take("done", 1)[0].body(), b"true");
    assert_eq!(attempts.load(Ordering::Relaxed), 4);
}

fn what_is_to_be_discarded_is_gone_whatever_the_queue_does_with_rejects(stage: &Stage) {
    struct Forget;
    impl CustomLayout for Forget {
        fn archive(&self, _message: &Message, _copy: Publication, _reason: &str) -> Departure {
            Departure::Discard
        }
    }
    stage.connection.declare_queue(&Queue::new("morgue")).unwrap();
    let consumer =
        Consumer::new(Queue::new("jobs").dead_letter_to("", "morgue"), |job: String, _: &Message| match job.as_str() {
            "late" => Ok(Outcome::archive("too late")),
            _ => Ok(Outcome::reject("not ours")),
        });
    let running = stage.start(consumer.layout(Forget));
    stage.publish("jobs", &["late", "strange"]);
    assert_eq!(stage.take("morgue", 1)[0].body(), b"strange");
    assert_eq!((running.stop(), stage.ready("jobs"), stage.ready("morgue")), (0, 0, 0));
}

/// Panics over each failed message, and over some that it should keep.
struct Panicking;

impl CustomLayout for Panicking {
    fn topology(&self) -> Topology {
        Topology::default().queue(Queue::new("lost"))
    }
    fn retry(&self, _message: &Message, _copy: Publication, _delay: Duration) -> Departure {
        panic!("there is no place to wait");
    }
    fn archive(&self, message: &Message, copy: Publication, _reason: &str) -> Departure {
        assert!(message.is_redelivered(), "there is no place to keep it");
        Departure::Publish(copy.to("", "lost"))
    }
}

fn a_layout_that_panics_costs_neither_message_nor_thread(stage: &Stage) {
    let (consumer, attempts) = always_failing("jobs");
    let running = stage.start(consumer.layout(Panicking).retry(RetryPolicy::fixed(WAIT, 2)));
    // More than the pool has threads.
    stage.publish("jobs", &["press"; 20]);
    assert!(stage.take("lost", 20).iter().all(|lost| lost.body() == b"press"));
    assert_eq!(*attempts.lock().unwrap(), [1; 40], "each is handed back once, and then kept");
    assert_eq!(running.stop(), 0);
}

/// Sends what failed to an exchange that it does not declare.
struct Elsewhere;

impl CustomLayout for Elsewhere {
    fn retry(&self, message: &Message, copy: Publication, _delay: Duration) -> Departure {
        Departure::Publish(copy.to("elsewhere", message.routing_key()))
    }
}

fn while_an_exchange_takes_nothing_the_consumer_pauses_and_says_which(stage: &Stage) {
    let (consumer, _) = always_failing("jobs");
    let running = stage.start(consumer.layout(Elsewhere));
    stage.publish("jobs", &["press"]);
    let says =
        |words: &str| matches!(&running.consumers()[0].state, ConsumerState::Paused { reason } if reason.contains(words));
    stage.until("it pauses", || says("`elsewhere` does not take a message"));
    let elsewhere =
        Topology::default().exchange(Exchange::fanout("elsewhere")).queue(Queue::new("found").bind("elsewhere", ""));
    stage.connection.declare(&elsewhere).unwrap();
    assert_eq!(stage.take("found", 1)[0].body(), b"press");
}
