//! What was moved is not run once more because its ack was lost with the connection.

use crate::hostile::proxy::{Instead, Proxy};
use crate::support::node::Node;
use crate::support::stage::SOON;
use crate::support::wait::eventually;
use bootstep::{Broker, Consumer, Message, Outcome, Publication, Queue, Running, Worker};
use std::net::ToSocketAddrs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use url::Url;

const MESSAGES: u32 = 5;

/// A worker that archives all it gets, before a broker whose confirms are kept back until they are let go.
struct Held {
    node: Node,
    keeps: Arc<AtomicBool>,
    runs: Arc<AtomicU32>,
    running: Running,
    connection: bootstep::Connection,
}

impl Held {
    fn begin(queue: Queue, remember: usize, publish: impl Fn(u32) -> Publication) -> Held {
        let node = Node::start();
        let url = Url::parse(&node.url()).unwrap();
        let address = (url.host_str().unwrap(), url.port().unwrap()).to_socket_addrs().unwrap().next().unwrap();
        let keeps = Arc::new(AtomicBool::new(true));
        let (keep, kept) = (keeps.clone(), Mutex::new((0, Vec::new())));
        // `basic.ack` from a broker is a confirm. Once let go, they go before the next frame on their connection: a heartbeat at the
        // latest.
        let proxy = Proxy::to(address, move |frame| {
            let mut kept = kept.lock().unwrap();
            if keep.load(Ordering::SeqCst) && frame.is_method(60, 80) {
                kept.0 = frame.connection;
                kept.1.extend(&frame.bytes);
                return Some(Instead::Bytes(Vec::new()));
            }
            let is_release = !keep.load(Ordering::SeqCst) && kept.0 == frame.connection;
            is_release.then(|| Instead::Bytes([&std::mem::take(&mut kept.1)[..], &frame.bytes].concat()))
        });
        let broker = Broker::amqp(&format!("amqp://127.0.0.1:{}?heartbeat=2", proxy.port())).unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let count = runs.clone();
        let consumer = Consumer::new(queue.clone(), move |_: String, _: &Message| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Outcome::archive("for a human"))
        });
        let mut worker = Worker::new(broker).remember_moved(remember);
        worker.steps.add(consumer);
        let running = worker.start().unwrap();
        let connection = Broker::amqp(&node.url()).unwrap().connect("test").unwrap();
        let held = Held { node, keeps, runs, running, connection };
        let publications: Vec<_> = (0..MESSAGES).map(publish).collect();
        held.connection.publish(&publications, SOON).unwrap();
        eventually("the broker has all copies", SOON, || held.ready("jobs.archive") == MESSAGES);
        held
    }

    fn ready(&self, queue: &str) -> u32 {
        self.connection.declare_queue(&Queue::existing(queue)).unwrap().messages
    }

    /// Cuts the connection that consumes, and waits until another does.
    fn cut(&self) {
        let consuming = || {
            let listed = self.node.ctl(&["-q", "list_connections", "pid", "client_properties"]);
            let line = listed.lines().find(|line| line.contains("bootstep consuming"))?.to_owned();
            line.split_whitespace().next().map(str::to_owned)
        };
        let first = consuming().expect("it consumes");
        self.node.ctl(&["close_connection", &first, "a test"]);
        eventually("it consumes again", SOON, || consuming().is_some_and(|next| next != first));
        eventually("the originals have come again", SOON, || self.ready("jobs") == 0);
    }
}

fn numbered(number: u32) -> Publication {
    Publication::new("", "jobs", number.to_string()).mandatory()
}

#[test]
fn what_is_on_its_way_when_the_connection_goes_is_not_run_again() {
    runs_once(Queue::new("jobs"), numbered);
}

#[test]
fn on_a_quorum_queue_neither() {
    runs_once(Queue::new("jobs").quorum(), numbered);
}

#[test]
fn messages_that_differ_in_nothing_are_counted() {
    runs_once(Queue::new("jobs"), |_| Publication::new("", "jobs", "tick").mandatory());
}

fn runs_once(queue: Queue, publish: impl Fn(u32) -> Publication) {
    let held = Held::begin(queue, 100, publish);
    held.cut();
    held.keeps.store(false, Ordering::SeqCst);
    let listed = || held.node.ctl(&["-q", "list_queues", "name", "messages"]);
    eventually("all originals are acked", SOON, || listed().lines().any(|line| line == "jobs\t0"));
    assert_eq!(held.runs.load(Ordering::SeqCst), MESSAGES, "no second run");
    assert_eq!(held.running.stop(), 0);
    let connection = held.connection;
    assert_eq!(connection.declare_queue(&Queue::existing("jobs.archive")).unwrap().messages, MESSAGES, "and no second copy");
}

#[test]
fn without_the_memory_they_run_again() {
    let held = Held::begin(Queue::new("jobs"), 0, numbered);
    held.cut();
    eventually("they run again", SOON, || held.runs.load(Ordering::SeqCst) == 2 * MESSAGES);
    assert_eq!(held.ready("jobs"), 0);
}
