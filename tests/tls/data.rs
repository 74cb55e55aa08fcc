//! What goes through: large and small, both ways, and past somebody who does not read for a while.

use crate::nodes::{shared_node, SOON};
use crate::proxy::Proxy;
use crate::support::wait::{eventually, holds_within};
use bootstep::{Broker, Connection, Consumer, Message, Outcome, Publication, Queue, Worker};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// No period of it divides a frame or a record, so that a piece lost or swapped shows.
fn body(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| ((index + seed) % 251) as u8).collect()
}

#[test]
fn a_large_message_goes_through_a_worker_and_comes_out_the_same() {
    let broker = Broker::amqp(&shared_node().url("")).unwrap();
    let connection = broker.connect("test").unwrap();
    connection.declare_queue(&Queue::new("large.out")).unwrap();
    let mut worker = Worker::new(broker);
    worker.steps.add(Consumer::new("large.in", |large: Vec<u8>, message: &Message| {
        message.publish("", "large.out", large);
        Ok(Outcome::Ack)
    }));
    let running = worker.start().unwrap();
    let large = body(10 * 1024 * 1024, 0);
    connection.publish(&[Publication::new("", "large.in", large.clone()).mandatory()], SOON).unwrap();
    assert!(take(&connection, "large.out", 1) == [large]);
    assert_eq!(running.stop(), 0);
}

#[test]
fn many_small_messages_go_through_a_worker_and_none_is_lost() {
    const ALL: u32 = 20_000;
    let broker = Broker::amqp(&shared_node().url("")).unwrap();
    let connection = broker.connect("test").unwrap();
    connection.declare_queue(&Queue::new("small.out")).unwrap();
    let mut worker = Worker::new(broker);
    let relaying = Consumer::new("small.in", |number: String, message: &Message| {
        message.publish("", "small.out", number);
        Ok(Outcome::Ack)
    });
    worker.steps.add(relaying.prefetch(500));
    let running = worker.start().unwrap();
    let numbers: Vec<Publication> = (0..ALL).map(|number| Publication::new("", "small.in", number.to_string())).collect();
    connection.publish(&numbers, SOON).unwrap();
    let came: BTreeSet<Vec<u8>> = take(&connection, "small.out", ALL as usize).into_iter().collect();
    assert_eq!(came.len(), ALL as usize);
    assert_eq!(running.stop(), 0);
}

/// Consumes so many, and answers their bodies.
fn take(connection: &Connection, queue: &str, count: usize) -> Vec<Vec<u8>> {
    let taken = connection.consume(queue, 500, |inbox| {
        (0..count)
            .map(|index| {
                let letter = inbox.next(SOON).unwrap().unwrap_or_else(|| panic!("only {index} of {count} came"));
                inbox.ack(letter.tag).unwrap();
                letter.message.body().to_vec()
            })
            .collect()
    });
    taken.unwrap()
}

/// Three times what the system keeps of a connection that nobody reads from, so that writing blocks in the middle.
const PIECES: usize = 48;
const PIECE: usize = 256 * 1024;

/// Enough to open a channel and to begin a message.
const LITTLE: usize = 4096;

#[test]
fn what_is_written_to_somebody_who_does_not_read_goes_on_when_they_do() {
    let node = shared_node();
    let proxy = Proxy::to(node.0.tls_port());
    let connection = Broker::amqp(&node.url_at("localhost", proxy.port, "heartbeat=0")).unwrap().connect("test").unwrap();
    connection.declare_queue(&Queue::new("stalled.writes")).unwrap();
    proxy.to_broker.shut_after(LITTLE);
    let publisher = connection.clone();
    let pieces: Vec<_> = (0..PIECES).map(|seed| Publication::new("", "stalled.writes", body(PIECE, seed))).collect();
    let publishing = thread::spawn(move || publisher.publish(&pieces, SOON));
    assert!(!holds_within(Duration::from_secs(1), || publishing.is_finished()), "nothing is confirmed that was not sent");
    proxy.to_broker.open();
    publishing.join().unwrap().unwrap();
    let came = take(&connection, "stalled.writes", PIECES);
    assert!(came.iter().enumerate().all(|(seed, piece)| *piece == body(PIECE, seed)));
}

#[test]
fn what_nobody_reads_for_a_while_is_all_there_when_they_do() {
    let node = shared_node();
    let proxy = Proxy::to(node.0.tls_port());
    let queue = "stalled.reads";
    let direct = Broker::amqp(&node.url("")).unwrap().connect("test").unwrap();
    direct.declare_queue(&Queue::new(queue)).unwrap();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let see = seen.clone();
    let mut worker = Worker::new(Broker::amqp(&node.url_at("localhost", proxy.port, "heartbeat=0")).unwrap());
    let reading = Consumer::new(Queue::existing(queue), move |piece: Vec<u8>, _: &Message| {
        let seed = usize::from(piece[0]);
        assert!(piece == body(PIECE, seed));
        see.lock().unwrap().insert(seed);
        Ok(Outcome::Ack)
    });
    worker.steps.add(reading.prefetch(PIECES as u16));
    let running = worker.start().unwrap();
    proxy.to_client.shut_after(0);
    let pieces = (0..PIECES).map(|seed| Publication::new("", queue, body(PIECE, seed)));
    direct.publish(&pieces.collect::<Vec<_>>(), SOON).unwrap();
    eventually("the broker has handed out all it can", SOON, || {
        direct.declare_queue(&Queue::existing(queue)).unwrap().messages == 0
    });
    proxy.to_client.open();
    eventually("all are handled", SOON, || seen.lock().unwrap().len() == PIECES);
    assert_eq!(running.stop(), 0);
}
