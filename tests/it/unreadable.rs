//! Messages that RabbitMQ delivers and no client in Rust can read as they are: the worker gets past each, keeps it, and says so.

use crate::support::raw::{long, nested, short, RawProperties, RawPublisher};
use crate::support::stage::{Stage, SOON};
use bootstep::{Consumer, Message, Outcome, Queue, RetryPolicy, Value};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const PLAIN: RawProperties<'_> = RawProperties { flags: 0, list: &[] };

mod classic {
    #[test]
    fn what_cannot_be_read_lands_in_the_dead_letters() {
        super::what_cannot_be_read_lands_in_the_dead_letters("classic");
    }
}

mod quorum {
    #[test]
    fn what_cannot_be_read_lands_in_the_dead_letters() {
        super::what_cannot_be_read_lands_in_the_dead_letters("quorum");
    }
}

fn what_cannot_be_read_lands_in_the_dead_letters(queue_type: &str) {
    let (stage, url) = Stage::rabbitmq_with_url();
    let (tell, told) = sync_channel(100);
    let queue = Queue::new("letters").argument("x-queue-type", queue_type).bind("amq.fanout", "");
    let consumer = Consumer::new(queue, move |body: String, message: &Message| {
        tell.send((body, message.header("name").cloned())).unwrap();
        Ok(Outcome::Ack)
    });
    let running = stage.start(consumer);
    let mut raw = RawPublisher::connect(&url);
    let next = || told.recv_timeout(SOON).unwrap();
    let bad_name = long(&[short(b"caf\xe9"), vec![b't', 1]].concat());
    let deep = long(&nested(5000));

    // The name of an exchange is always UTF-8: RabbitMQ refuses another when it is declared.
    for (key, properties, why, name, original) in [
        (&b"caf\xe9"[..], PLAIN, "its routing key is not UTF-8", "routing-key", &b"caf\xe9"[..]),
        (
            b"key",
            RawProperties { flags: CONTENT_TYPE, list: &short(b"text/\xff") },
            "its content-type is not UTF-8",
            "content-type",
            b"text/\xff",
        ),
        (b"key", RawProperties { flags: HEADERS, list: &bad_name }, "a header's name is not UTF-8", "headers", &bad_name[4..]),
        (b"key", RawProperties { flags: HEADERS, list: &deep }, "its headers are nested too deep", "headers", &deep[4..]),
    ] {
        raw.publish(b"amq.fanout", key, &properties, b"bad").unwrap();
        raw.publish(b"amq.fanout", b"key", &PLAIN, b"good").unwrap();
        assert_eq!(next(), ("good".to_owned(), None), "after a message of which {why}");

        let dead = stage.take("letters.dead", 1).remove(0);
        assert_eq!(dead.body(), b"bad");
        let reason = dead.header(bootstep::headers::REASON).and_then(Value::as_str).unwrap();
        assert_eq!(reason, format!("the message cannot be read as it came: {why}"));
        let kept = dead.header(&format!("{}{name}", bootstep::headers::ORIGINAL));
        assert_eq!(kept, Some(&Value::Bytes(original.to_vec())), "{why}");
    }

    // What AMQP allows is handled: a long string is any bytes.
    let bytes = long(&[short(b"name"), vec![b'S'], long(b"\xff\0"), short(b"z"), vec![b'V']].concat());
    raw.publish(b"amq.fanout", b"key", &RawProperties { flags: HEADERS, list: &bytes }, b"bytes").unwrap();
    assert_eq!(next(), ("bytes".to_owned(), Some(Value::Bytes(vec![0xff, 0]))));
    assert_eq!(stage.ready("letters"), 0);
    assert_eq!(running.stop(), 0);
}

#[test]
fn headers_that_fill_a_frame_are_kept_though_nothing_else_has_room() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let consumer = Consumer::new(Queue::new("large").bind("amq.fanout", ""), |_: Vec<u8>, _: &Message| Ok(Outcome::Ack));
    let _running = stage.start(consumer);
    let filler = [short(b"filler"), vec![b'S'], long(&[b'x'; 130_200])].concat();
    let table = [nested(120), filler].concat();
    let properties = RawProperties { flags: HEADERS, list: &long(&table) };
    RawPublisher::connect(&url).publish(b"amq.fanout", b"key", &properties, b"x").unwrap();
    let dead = stage.take("large.dead", 1).remove(0);
    let kept = dead.header(&format!("{}headers", bootstep::headers::ORIGINAL));
    assert!(kept == Some(&Value::Bytes(table)));
}

#[test]
fn a_message_that_is_retried_and_cannot_be_read_stays_one() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let (tell, told) = sync_channel(100);
    let queue = Queue::new("again").bind("amq.fanout", "");
    let consumer = Consumer::new(queue, |_: Vec<u8>, _: &Message| panic!("its key is not the one it was sent with"));
    let _running =
        stage.start(consumer.retry(RetryPolicy::fixed(Duration::from_millis(50), 1)).on_decode_error(move |error, message| {
            tell.send((message.attempt(), message.flaw().map(str::to_owned))).unwrap();
            Outcome::retry(error)
        }));
    RawPublisher::connect(&url).publish(b"amq.fanout", b"\xff", &PLAIN, b"x").unwrap();
    let next = || told.recv_timeout(SOON).unwrap();
    assert_eq!(next(), (1, Some("its routing key is not UTF-8".to_owned())));
    assert_eq!(next(), (2, Some("it was moved before, and could not be read then".to_owned())));
    let archived = stage.take("again.archive", 1).remove(0);
    let kept = archived.header(&format!("{}routing-key", bootstep::headers::ORIGINAL));
    assert_eq!(kept, Some(&Value::Bytes(vec![0xff])));
    // Whoever looks at what was set aside is not stopped by what happened before.
    assert_eq!(archived.flaw(), None);
}

#[test]
fn a_name_that_cannot_be_read_among_large_headers_is_kept_with_all_of_them() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let consumer = Consumer::new(Queue::new("named").bind("amq.fanout", ""), |_: Vec<u8>, _: &Message| Ok(Outcome::Ack));
    let _running = stage.start(consumer);
    let filler = [short(b"filler"), vec![b'S'], long(&[b'x'; 80_000])].concat();
    let table = [short(b"caf\xe9"), vec![b't', 1], filler].concat();
    let properties = RawProperties { flags: HEADERS, list: &long(&table) };
    RawPublisher::connect(&url).publish(b"amq.fanout", b"key", &properties, b"x").unwrap();
    let dead = stage.take("named.dead", 1).remove(0);
    assert!(dead.header(&format!("{}headers", bootstep::headers::ORIGINAL)) == Some(&Value::Bytes(table)));
    assert!(dead.header(bootstep::headers::REASON).is_some());
}

#[test]
fn a_worker_without_a_say_in_it_still_gets_the_message() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let (tell, told) = sync_channel(1);
    let consumer = Consumer::new(Queue::new("raw").bind("amq.fanout", ""), |_body: Vec<u8>, _: &Message| Ok(Outcome::Ack));
    let _running = stage.start(consumer.on_decode_error(move |_, message| {
        tell.send((message.flaw().map(str::to_owned), message.routing_key().to_owned())).unwrap();
        Outcome::Ack
    }));
    RawPublisher::connect(&url).publish(b"amq.fanout", b"\xff!", &PLAIN, b"x").unwrap();
    let seen = told.recv_timeout(SOON).unwrap();
    assert_eq!(seen, (Some("its routing key is not UTF-8".to_owned()), "?!".to_owned()));
    stage.until("the queue is empty", || stage.ready("raw") == 0);
}
