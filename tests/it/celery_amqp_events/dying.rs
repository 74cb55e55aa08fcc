//! B7: an event whose handler ends the process is delivered so often and no more, and then it is archived.

use super::{failing, paid, retries_of, sent, service, Paid};
use crate::support::stage::{Stage, SOON};
use crate::support::wait::holds_within;
use bootstep::celery::Task;
use bootstep::steps::celery_amqp_events::{Service, Settings};
use bootstep::{headers, Broker, Message, Outcome, Queue, Value, Worker};
use std::process::{Child, Command, Stdio};

crate::on_both!(what_came_again_keeps_the_key_by_which_a_python_worker_sends_it_again);

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

fn what_came_again_keeps_the_key_by_which_a_python_worker_sends_it_again(stage: &Stage) {
    let start = || stage.start(failing("shop", Settings::default().max_retries(1)).0);
    assert_eq!(start().stop(), 0);
    stage.connection.declare_queue(&Queue::new("seen").bind("shop:recover", "order.paid")).unwrap();
    stage.send(&[sent(&paid())]).unwrap();
    stage.connection.consume("shop.order.paid", 1, |inbox| drop(inbox.next(SOON))).unwrap();
    let _running = start();
    let archived = stage.take("shop:archived", 1).remove(0);
    assert_eq!(retries_of(&archived), Some(&Value::I32(2)));
    let seen = stage.take("seen", 2);
    let counted: Vec<_> = seen.iter().map(|message| message.header(headers::REDELIVERIES).cloned()).collect();
    assert_eq!(counted, [Some(Value::I32(1)), None], "once to the end of the queue, and once from the retry");
}
