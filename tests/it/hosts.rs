//! Several hosts in one setting: whichever can be had is used, one that is back too, and a failure names them all.

use crate::support::node::{shared_node, Node};
use crate::support::stage::SOON;
use crate::support::wait::eventually;
use bootstep::{Broker, Consumer, Fault, Outcome, Properties, Publication, Queue, Worker};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nobody listens there: it is for privileged processes, and for a service that is none any more.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn a_worker_goes_on_with_another_host_and_returns_to_the_first() {
    let nodes = [Node::start(), Node::start()];
    let place = |node: &Node| node.url().split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let broker = Broker::amqp(&format!("amqp://{},{}", place(&nodes[0]), place(&nodes[1]))).unwrap();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let tell = handled.clone();
    let mut worker = Worker::new(broker);
    worker.steps.add(Consumer::new("numbers", move |number: String, _| {
        tell.lock().unwrap().push(number);
        Ok(Outcome::Ack)
    }));
    let running = worker.start().unwrap();

    // Which of them it took is chance.
    let [mut first, mut second] = nodes;
    if !is_consumed(&first) {
        std::mem::swap(&mut first, &mut second);
    }
    let publish = |node: &Node, number: &str| {
        let publication = Publication::new("", "numbers", number).mandatory();
        Broker::amqp(&node.url()).unwrap().connect("test").unwrap().publish(&[publication], SOON).unwrap();
        eventually("it is handled", SOON, || handled.lock().unwrap().last().is_some_and(|last| last == number));
    };
    publish(&first, "1");
    first.kill();
    eventually("it goes on with the other", SOON, || is_consumed(&second));
    publish(&second, "2");
    first.restart();
    second.kill();
    eventually("it returns", SOON, || is_consumed(&first));
    publish(&first, "3");
    // What was done just before the kill, and not heard of, is done again.
    let numbers: BTreeSet<String> = handled.lock().unwrap().drain(..).collect();
    assert!(numbers.iter().eq(["1", "2", "3"]), "{numbers:?}");
    assert_eq!(running.stop(), 0);
}

fn is_consumed(node: &Node) -> bool {
    let connection = Broker::amqp(&node.url()).unwrap().connect("test").unwrap();
    connection.declare_queue(&Queue::existing("numbers")).is_ok_and(|status| status.consumers == 1)
}

#[test]
fn the_host_that_answers_is_found_among_those_that_do_not() {
    let good = shared_node().url();
    let refusing = good.replace("guest:guest", "guest:s3cret");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("amqp://{}?connection_timeout=100", silent.local_addr().unwrap());
    let away = format!("amqp://{NOBODY}");
    let broker = Broker::amqp_any([away.as_str(), &refusing, &silent, &good]).unwrap();
    for _ in 0..4 {
        let connection = broker.connect("test").unwrap();
        assert_eq!(connection.place(), Broker::amqp(&good).unwrap().to_string());
    }
}

#[test]
fn each_host_has_its_own_time_and_all_are_named_when_none_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap();
    let broker = Broker::amqp(&format!("amqp://{place},{place},{NOBODY}?connection_timeout=300")).unwrap();
    let begin = Instant::now();
    let err = broker.connect("test").unwrap_err();
    let taken = begin.elapsed();
    assert!(taken > Duration::from_millis(550) && taken < Duration::from_secs(5), "{taken:?}");
    assert!(err.is_transient());
    let text = err.to_string();
    assert!(text.starts_with("none of the 3 hosts could be used: "), "{text}");
    assert_eq!(text.matches("did not finish the handshake in time").count(), 2, "{text}");
    assert!(text.contains(&format!("{NOBODY}: could not connect to {NOBODY}: Connection refused")), "{text}");
}

#[test]
fn a_refused_login_is_final_unless_another_host_may_come_back() {
    let refusing = shared_node().url().replace("guest:guest", "guest:s3cret");
    let connect = |urls: [&str; 2]| Broker::amqp_any(urls).unwrap().connect("test").unwrap_err();
    let err = connect([&refusing, &refusing]);
    assert_eq!(err.fault(), Fault::AccessRefused);
    assert_eq!(err.to_string().matches("check user name and password").count(), 2, "{err}");
    let err = connect([&refusing, &format!("amqp://guest:s3cret@{NOBODY}")]);
    assert_eq!(err.fault(), Fault::Unreachable);
    assert!(!format!("{err} {err:?}").contains("s3cret"), "{err}");
}

#[test]
fn a_smaller_frame_carries_large_bodies_and_refuses_large_headers() {
    let broker = Broker::amqp(&format!("{}?frame_max=4096&channel_max=8", shared_node().url())).unwrap();
    let connection = broker.connect("test").unwrap();
    let queue = crate::support::vhost::unique("frames");
    connection.declare_queue(&Queue::new(&*queue)).unwrap();
    let body: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let carries = |length: usize| {
        let properties = Properties::persistent("text/plain").header("filler", "x".repeat(length));
        let publication = Publication::new("", &*queue, body.clone()).with(properties);
        connection.publish(&[publication], SOON)
    };
    carries(4_000).unwrap();
    let refused = carries(4_096).unwrap_err();
    assert_eq!(refused.fault(), Fault::NotTaken);
    assert!(refused.to_string().contains("a frame holds 4096"), "{refused}");
    let arrived = connection.consume(&queue, 1, |inbox| {
        let letter = inbox.next(SOON).unwrap().unwrap();
        inbox.ack(letter.tag).unwrap();
        letter.message.body().to_vec()
    });
    assert!(arrived.unwrap() == body);
    connection.delete_queue(&queue).unwrap();
}

#[test]
fn headers_larger_than_a_frame_of_ours_arrive_and_a_move_that_they_prevent_loses_nothing() {
    let url = shared_node().url();
    let queue = crate::support::vhost::unique("large-headers");
    let connection = Broker::amqp(&url).unwrap().connect("test").unwrap();
    let broker = Broker::amqp(&format!("{url}?frame_max=4096")).unwrap();
    let mut worker = Worker::new(broker);
    let (tell, told) = std::sync::mpsc::sync_channel(100);
    worker.steps.add(Consumer::new(&*queue, move |body: String, _| {
        let is_fine = body == "fine";
        tell.send(body)?;
        Ok(if is_fine { Outcome::Ack } else { Outcome::reject("not today") })
    }));
    let running = worker.start().unwrap();
    let ready = |queue: &str| connection.declare_queue(&Queue::existing(queue)).unwrap().messages;
    for body in ["fine", "wrong"] {
        let properties = Properties::persistent("text/plain").header("filler", "x".repeat(20_000));
        connection.publish(&[Publication::new("", &*queue, body).with(properties)], SOON).unwrap();
    }
    // RabbitMQ sends them in one frame, whatever was agreed; this end could not send such a frame.
    assert_eq!([told.recv_timeout(SOON).unwrap(), told.recv_timeout(SOON).unwrap()], ["fine", "wrong"]);
    assert_eq!(running.stop(), 0);
    eventually("the message that could not be moved is back", SOON, || ready(&queue) == 1);
    assert_eq!(ready(&format!("{queue}.dead")), 0);
    connection.delete_queue(&queue).unwrap();
}

#[test]
fn too_few_channels_are_told_by_the_name_of_the_setting() {
    let broker = Broker::amqp(&format!("{}?channel_max=1", shared_node().url())).unwrap();
    let connection = broker.connect("test").unwrap();
    let queue = crate::support::vhost::unique("channels");
    connection.declare_queue(&Queue::new(&*queue)).unwrap();
    let nested = connection.consume(&queue, 1, |_| connection.delete_queue(&queue));
    let err = nested.unwrap().unwrap_err();
    assert!(err.to_string().contains("`channel_max` is too low"), "{err}");
    connection.delete_queue(&queue).unwrap();
}
