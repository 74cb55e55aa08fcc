//! The end of a worker as an init system sees it: how soon a process is gone after a signal, whatever its broker does, and how.

use crate::support::alone::log_here;
use crate::support::node::Node;
use crate::support::process::Process;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::steps::HandleSignals;
use bootstep::{BoxError, Broker, Connection, Consumer, Context, Outcome, Publication, Queue, Step, Worker};
use std::borrow::Cow;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

/// Set in a process that is to be the worker of a case: the broker to work on.
const WORKS_ON: &str = "BOOTSTEP_TEST_WORKS_ON";

const DRAINED: Option<i32> = Some(bootstep::EXIT_DRAINED as i32);
const NOT_DRAINED: Option<i32> = Some(bootstep::EXIT_NOT_DRAINED as i32);

/// What a person counts as at once, on a machine that has a lot to do.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The worker of these cases, in a process that is told to be one. A body is how long its handler takes, in milliseconds.
#[test]
fn the_worker_in_a_process_of_its_own() {
    let Ok(url) = std::env::var(WORKS_ON) else { return };
    log_here();
    let mut worker = Worker::new(Broker::amqp(&url).unwrap()).drain_within(SOON);
    worker.steps.add(
        Consumer::new("work", |time_ms: String, _| {
            if time_ms != "0" {
                eprintln!("begun with {time_ms}");
                let (_open, gate) = std::sync::mpsc::channel::<()>();
                let _open = &_open;
                let _ = gate.recv_timeout(Duration::from_millis(time_ms.parse()?));
                eprintln!("done with {time_ms}");
            }
            Ok(Outcome::Ack)
        })
        .prefetch(500),
    );
    worker.steps.add_first(Listening);
    let code = worker.start().map_or(i32::from(bootstep::EXIT_BOOT), |running| {
        eprintln!("running");
        running.wait().into()
    });
    std::process::exit(code);
}

/// Tells when signals are heard, before anything is connected.
struct Listening;

impl Step for Listening {
    fn name(&self) -> Cow<'_, str> {
        "listening".into()
    }
    fn requires(&self) -> Vec<Cow<'static, str>> {
        vec![HandleSignals::NAME.into()]
    }
    fn start(&mut self, _ctx: &mut Context) -> Result<(), BoxError> {
        eprintln!("signals are heard");
        Ok(())
    }
}

fn worker(url: &str) -> Process {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    let case = "shutdown_process::the_worker_in_a_process_of_its_own";
    Process::start(tests.args([case, "--exact", "--nocapture"]).env(WORKS_ON, url))
}

fn running_worker(url: &str) -> Process {
    let worker = worker(url);
    worker.tells(1, "running");
    worker
}

fn publish(connection: &Connection, time_ms: u32, count: usize) {
    let messages = vec![Publication::new("", "work", time_ms.to_string()).mandatory(); count];
    connection.publish(&messages, SOON).unwrap();
}

fn ready(connection: &Connection) -> u32 {
    connection.declare_queue(&Queue::existing("work")).unwrap().messages
}

#[test]
fn an_idle_worker_is_gone_at_once_with_zero() {
    let (_stage, url) = Stage::rabbitmq_with_url();
    for signal in ["TERM", "INT"] {
        let (code, took) = running_worker(&url).ends_by(signal);
        assert_eq!(code, DRAINED);
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[test]
fn with_five_hundred_prefetched_messages_the_process_is_gone_within_a_second() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let mut worker = running_worker(&url);
    // More than it is done with when the signal comes, of which it holds a prefetch at any time.
    publish(&stage.connection, 0, 20_000);
    publish(&stage.connection, 5, 1_000);
    worker.tells(1, "begun with 5");
    let (code, took) = worker.ends_by("TERM");
    assert_eq!(code, DRAINED);
    assert!(took < AT_ONCE, "{took:?}");
    let left = stage.connection.consume("work", 2_000, |inbox| {
        let mut redelivered = 0;
        while let Some(letter) = inbox.next(Duration::from_millis(500)).unwrap() {
            redelivered += u32::from(letter.message.is_redelivered());
            inbox.ack(letter.tag).unwrap();
        }
        redelivered
    });
    assert!(left.unwrap() > 0, "it held some that no handler had begun, and they are back");
}

#[test]
fn while_the_broker_is_down_one_signal_is_enough() {
    let mut worker = worker("amqp://127.0.0.1:1");
    worker.tells(1, "could not connect");
    let (code, took) = worker.ends_by("INT");
    assert_eq!(code, DRAINED);
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_connect_that_hangs_holds_up_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut worker = worker(&format!("amqp://127.0.0.1:{port}?connection_timeout=60000"));
    let _connection = silent.accept().unwrap();
    let (code, took) = worker.ends_by("TERM");
    assert_eq!(code, DRAINED);
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_second_signal_leaves_at_once_whatever_a_handler_is_at() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let mut worker = running_worker(&url);
    publish(&stage.connection, 60_000, 1);
    worker.tells(1, "begun with 60000");
    worker.signal("TERM");
    worker.tells(1, "once more leaves at once");
    assert!(worker.is_running(), "the first waits for the handler");
    let (code, took) = worker.ends_by("TERM");
    assert_eq!(code, NOT_DRAINED);
    assert!(took < AT_ONCE, "{took:?}");
    eventually("its message is back", SOON, || ready(&stage.connection) == 1);
}

#[test]
fn a_handler_that_ends_while_draining_still_gets_its_ack_through() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let mut worker = running_worker(&format!("{url}?heartbeat=1"));
    // Three heartbeats and more: without any the broker would have closed the connection by then.
    publish(&stage.connection, 4_000, 1);
    worker.tells(1, "begun with 4000");
    worker.signal("TERM");
    worker.tells(1, "once more leaves at once");
    assert_eq!(worker.end(), DRAINED);
    worker.tells(1, "done with 4000");
    let status = stage.connection.declare_queue(&Queue::existing("work")).unwrap();
    assert_eq!((status.messages, status.consumers), (0, 0));
}

#[test]
fn a_broker_that_hangs_holds_up_an_idle_worker_for_three_seconds_at_the_most() {
    let mut node = Node::start();
    let mut worker = running_worker(&node.url());
    node.freeze();
    let (code, took) = worker.ends_by("TERM");
    assert_eq!(code, DRAINED);
    assert!(took < Duration::from_millis(3_500), "{took:?}");

    // The same in the middle of an attempt to connect.
    let mut late = self::worker(&format!("{}?heartbeat=1", node.url()));
    eventually("it tries", SOON, || late.is_running());
    late.tells(1, "signals are heard");
    let (code, took) = late.ends_by("TERM");
    assert_eq!(code, DRAINED);
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn with_a_broker_that_hangs_a_handler_finishes_and_its_message_comes_again() {
    let mut node = Node::start();
    let connection = Broker::amqp(&node.url()).unwrap().connect("test").unwrap();
    let mut worker = running_worker(&node.url());
    publish(&connection, 3_000, 1);
    worker.tells(1, "begun with 3000");
    node.freeze();
    worker.signal("TERM");
    worker.tells(1, "done with 3000");
    assert_eq!(worker.end(), NOT_DRAINED);
    node.thaw();
    eventually("what could not be acked is back", SOON, || ready(&connection) == 1);
}

#[test]
fn with_a_broker_that_hangs_a_second_signal_leaves_at_once() {
    let mut node = Node::start();
    let connection = Broker::amqp(&node.url()).unwrap().connect("test").unwrap();
    let mut worker = running_worker(&node.url());
    publish(&connection, 60_000, 1);
    worker.tells(1, "begun with 60000");
    node.freeze();
    worker.signal("TERM");
    worker.tells(1, "once more leaves at once");
    let (code, took) = worker.ends_by("TERM");
    assert_eq!(code, NOT_DRAINED);
    assert!(took < AT_ONCE, "{took:?}");
}
