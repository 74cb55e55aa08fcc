//! B7: an event whose handler ends the process is delivered so often and no more, and then it is archived.

use super::{paid, sent, service, Paid};
use crate::support::stage::{Stage, SOON};
use crate::support::wait::holds_within;
use bootstep::celery::Task;
use bootstep::steps::celery_amqp_events::{Service, Settings};
use bootstep::{headers, Broker, Message, Outcome, Queue, Worker};
use std::process::{Child, Command, Stdio};

const URL: &str = "BOOTSTEP_TEST_EVENTS_URL";

/// Deaths that the test lets an event cause.
const DEATHS: u32 = 3;

fn deadly() -> Service {
    let (mut shop, event) = service("shop", Settings::default().poison_after(DEATHS));
    let handler = |paid: Paid, message: &Message| {
        if paid.order_id == 7 {
            std::process::abort();
        }
        message.publish("", "done", "");
        Ok(Outcome::Ack)
    };
    shop.on(&event, handler).unwrap();
    shop
}

/// Not a test: the process that dies, run by the one below.
#[test]
fn worker() {
    let Ok(url) = std::env::var(URL) else { return };
    let mut worker = Worker::new(Broker::amqp(&url).unwrap());
    worker.steps.add(deadly());
    worker.start().unwrap().wait();
}

fn spawn(url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "celery_amqp_events::dying::worker"]).env(URL, url);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// B7, in processes of their own, on RabbitMQ.
#[test]
fn an_event_that_ends_its_process_is_archived_after_so_many_deaths() {
    let (stage, url) = Stage::rabbitmq_with_url();
    stage.connection.declare_queue(&Queue::new("done")).unwrap();
    assert_eq!(stage.start(deadly()).stop(), 0);
    let harmless = sent(&Task::new(super::EVENT).arg(1).arg(1.0));
    stage.send(&[sent(&paid()), harmless.clone(), harmless]).unwrap();
    let (mut died, mut child) = (0, spawn(&url));
    let ended = holds_within(3 * SOON, || {
        if child.try_wait().unwrap().is_some() {
            died += 1;
            child = spawn(&url);
        }
        stage.ready("done") >= 2 && stage.ready("shop:archived") == 1 && stage.ready("shop.order.paid") == 0
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended, "after {died} deaths it is still not over");
    assert_eq!(died, DEATHS);
    let archived = stage.take("shop:archived", 1).remove(0);
    assert_eq!((archived.body(), archived.routing_key()), (sent(&paid()).body(), super::EVENT));
    assert!(archived.header(headers::REASON).unwrap().to_string().contains("came again 3 times"));
}
