//! A message that kills its process again and again ends in the archive, and the others are handled.

use crate::support::stage::{Stage, SOON};
use crate::support::wait::holds_within;
use bootstep::{headers, Broker, Consumer, MemoryBroker, Message, Outcome, Publication, Queue, Running, Value, Worker};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const URL: &str = "BOOTSTEP_TEST_POISON_URL";
const KIND: &str = "BOOTSTEP_TEST_POISON_KIND";

/// Deaths that the tests let a message cause.
const DEATHS: u32 = 3;

fn consumer(kind: &str) -> Consumer {
    let queue = if kind == "quorum" { Queue::new("jobs").quorum() } else { Queue::new("jobs") };
    let consumer = Consumer::new(queue, |word: String, message: &Message| {
        if word == "poison" {
            std::process::abort();
        }
        message.publish("", "done", word);
        Ok(Outcome::Ack)
    });
    consumer.poison_after(DEATHS)
}

/// Not a test: the process that dies, run by those below.
#[test]
fn worker() {
    let (Ok(url), Ok(kind)) = (std::env::var(URL), std::env::var(KIND)) else { return };
    let mut worker = Worker::new(Broker::amqp(&url).unwrap());
    worker.steps.add(consumer(&kind));
    worker.start().unwrap().wait();
}

fn spawn(url: &str, kind: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "poison::worker"]).env(URL, url).env(KIND, kind);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn on_a_quorum_queue_it_ends_in_the_archive() {
    let archived = dies_until_archived("quorum", DEATHS);
    assert!(archived.header("x-delivery-count").is_none(), "the count starts anew when it is replayed");
}

#[test]
fn on_a_classic_queue_it_ends_in_the_archive_if_asked_for() {
    let archived = dies_until_archived("classic", DEATHS);
    assert_eq!(archived.header(headers::REDELIVERIES), Some(&Value::I32(DEATHS as i32 - 1)));
}

fn dies_until_archived(kind: &str, deaths: u32) -> Message {
    let (stage, url) = Stage::rabbitmq_with_url();
    stage.connection.declare_queue(&Queue::new("done")).unwrap();
    assert_eq!(start_and_stop(&stage, kind), 0);
    stage.publish("jobs", &["poison", "a", "b"]);
    let mut died = 0;
    let mut child = spawn(&url, kind);
    let ends = || stage.ready("done") >= 2 && stage.ready("jobs.archive") == 1 && stage.ready("jobs") == 0;
    let ended = holds_within(3 * SOON, || {
        if child.try_wait().unwrap().is_some() {
            died += 1;
            child = spawn(&url, kind);
        }
        ends()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended, "after {died} deaths it is still not over");
    assert_eq!(died, deaths);
    let archived = stage.take("jobs.archive", 1).remove(0);
    assert_eq!((archived.body(), archived.routing_key(), archived.retries()), (&b"poison"[..], "jobs", 0));
    let reason = archived.header(headers::REASON).unwrap().to_string();
    assert!(reason.contains("came again 3 times"), "{reason}");
    archived
}

/// Has the queues declared.
fn start_and_stop(stage: &Stage, kind: &str) -> u8 {
    let running: Running = stage.start(consumer(kind));
    running.stop()
}

#[test]
fn what_shared_the_prefetch_with_it_keeps_all_its_attempts_and_properties() {
    let counts = Arc::new(Mutex::new(Vec::new()));
    let count = counts.clone();
    let memory = MemoryBroker::new();
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(
        Consumer::new("jobs", move |_: String, message: &Message| {
            count.lock().unwrap().push(message.header(headers::REDELIVERIES).cloned());
            match message.retries() {
                0 => Ok(Outcome::retry("later")),
                _ => Ok(Outcome::archive("seen")),
            }
        })
        .poison_after(9),
    );
    memory.declare_queue(&Queue::new("jobs")).unwrap();
    let mut publication = Publication::new("", "jobs", "x");
    publication.properties.expiration = Some("3600000".into());
    memory.publish(publication).unwrap();
    let connection = Broker::from(&memory).connect("test").unwrap();
    connection.consume("jobs", 1, |inbox| drop(inbox.next(SOON))).unwrap();

    let running = worker.start().unwrap();
    memory.drain(SOON).unwrap();
    let archived = &memory.messages("jobs.archive")[0];
    assert_eq!(*counts.lock().unwrap(), [Some(Value::I32(1)), None], "it went to the end once, and a retry is counted anew");
    assert_eq!(archived.header(headers::RETRIES), Some(&Value::I32(1)), "and was tried twice");
    assert_eq!(archived.header(headers::EXPIRATION), Some(&"3600000".into()), "its expiration went with it");
    assert_eq!(running.stop(), 0);
}

#[test]
fn where_its_queue_is_full_it_is_handled_alone_at_once() {
    let memory = MemoryBroker::new();
    let full = Queue::new("jobs").max_length(2).overflow("reject-publish");
    memory.declare_queue(&full).unwrap();
    let publish = |body: &str| memory.publish(Publication::new("", "jobs", body)).unwrap();
    publish("x");
    publish("x");
    let connection = Broker::from(&memory).connect("test").unwrap();
    connection
        .consume("jobs", 2, |inbox| {
            drop(inbox.next(SOON));
            drop(inbox.next(SOON));
            // While both are out there is room for others.
            publish("y");
            publish("y");
        })
        .unwrap();
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(Consumer::new(full, |_: String, _: &Message| Ok(Outcome::Ack)).prefetch(1).poison_after(3));
    let running = worker.start().unwrap();
    memory.drain(SOON).unwrap();
    assert_eq!(running.consumers()[0].acked, 4);
    assert_eq!(running.stop(), 0);
}
