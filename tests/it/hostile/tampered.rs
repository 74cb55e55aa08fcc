//! A broker that goes mad in the middle of its work: whatever it says, the worker ends up with every message handled or kept.

use super::proxy::{Frame, Instead, Proxy};
use crate::support::raw::{long, short};
use crate::support::stage::{Stage, SOON};
use crate::support::vhost::unique;
use crate::support::wait::holds_within;
use bootstep::{Broker, Consumer, Message, Outcome, Queue, RetryPolicy, Worker};
use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use url::Url;

const MESSAGES: usize = 30;

/// What the worker has to do to go on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Nothing.
    GoesOn,
    /// Connect anew.
    Reconnects,
}
use Then::{GoesOn, Reconnects};

type Tampering = fn(&Frame) -> Option<Instead>;

/// A list of what was tried, once each: what the broker does, and what the worker does then.
const TRIED: &[(&str, Tampering, Then)] = &[
    // To the content header of a message.
    ("announces a message without end", |frame| on_header(frame, |bytes| bytes[11..19].fill(0xff)), Reconnects),
    ("sends more of a message than it said", |frame| on_header(frame, |bytes| bytes[18] -= 1), Reconnects),
    ("sends less of a message than it said", |frame| on_header(frame, |bytes| bytes[18] += 1), Reconnects),
    ("ends a frame wrongly", |frame| on_header(frame, |bytes| *bytes.last_mut().unwrap() = 0), Reconnects),
    ("uses a channel that nobody opened", |frame| on_header(frame, |bytes| bytes[1..3].fill(0x7f)), Reconnects),
    ("announces a frame of 4 GiB", |frame| on_header(frame, |bytes| bytes[3..7].fill(0xff)), Reconnects),
    ("leaves the content header out", |frame| (frame.kind() == 2).then(|| Instead::Bytes(Vec::new())), Reconnects),
    ("breaks off and hangs up", |frame| (frame.kind() == 2).then(|| Instead::End(frame.bytes[..9].to_vec())), Reconnects),
    (
        "breaks off and falls silent",
        |frame| (frame.kind() == 2).then(|| Instead::Silence(frame.bytes[..9].to_vec())),
        Reconnects,
    ),
    ("falls silent between frames", |frame| (frame.kind() == 2).then(|| Instead::Silence(Vec::new())), Reconnects),
    ("speaks HTTP all at once", |frame| before_delivery(frame, b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Reconnects),
    // Before a delivery.
    ("sends a method of no class", |frame| before_delivery(frame, frame.method(99, 99, &[])), Reconnects),
    ("sends a header nobody waits for", |frame| before_delivery(frame, stray(frame, 2, &[0, 60, 0, 0].repeat(4))), Reconnects),
    ("sends a body nobody waits for", |frame| before_delivery(frame, stray(frame, 3, b"stray")), Reconnects),
    (
        "answers what nobody asked",
        |frame| before_delivery(frame, frame.method(50, 11, &[&short(b"q")[..], &[0; 8]].concat())),
        GoesOn,
    ),
    ("starts the handshake again", |frame| before_delivery(frame, frame.method(10, 30, &[0; 8])), Reconnects),
    (
        "cancels with a tag that is not UTF-8",
        |frame| before_delivery(frame, frame.method(60, 30, &[short(b"\xff"), vec![0]].concat())),
        Reconnects,
    ),
    ("delivers to a consumer there is not", |frame| before_delivery(frame, delivery(frame, b"nobody", 1)), Reconnects),
    (
        "is blocked for a reason that is not UTF-8",
        |frame| before_delivery(frame, on_channel_0(frame.method(10, 60, &short(b"low on \xff")))),
        GoesOn,
    ),
    (
        "closes the connection",
        |frame| {
            let why = [vec![2, 29], short(b"INTERNAL_ERROR \xff"), vec![0; 4]].concat();
            before_delivery(frame, on_channel_0(frame.method(10, 50, &why)))
        },
        Reconnects,
    ),
    ("delivers under a number that is no delivery", |frame| with_tag(frame, 0), GoesOn),
    ("delivers under the last number of all", |frame| with_tag(frame, u64::MAX), GoesOn),
    ("delivers under a number given before", |frame| with_tag(frame, 1), GoesOn),
    // To a confirm.
    (
        "confirms what was never published",
        |frame| before_confirm(frame, frame.method(60, 80, &[&[9; 8][..], &[0]].concat())),
        GoesOn,
    ),
    (
        "confirms all that ever will be",
        |frame| before_confirm(frame, frame.method(60, 80, &[&[255; 8][..], &[1]].concat())),
        GoesOn,
    ),
    ("confirms nothing", |frame| before_confirm(frame, frame.method(60, 80, &[0; 9])), GoesOn),
    ("refuses what it has taken", |frame| on_confirm(frame, |frame| frame.method(60, 120, &frame.payload()[4..])), GoesOn),
    ("returns what nobody published", |frame| before_confirm(frame, returned(frame)), GoesOn),
];

fn on_header(frame: &Frame, change: fn(&mut Vec<u8>)) -> Option<Instead> {
    (frame.kind() == 2).then(|| {
        let mut bytes = frame.bytes.clone();
        change(&mut bytes);
        Instead::Bytes(bytes)
    })
}

fn before_delivery(frame: &Frame, mut bytes: Vec<u8>) -> Option<Instead> {
    frame.is_method(60, 60).then(|| {
        bytes.extend(&frame.bytes);
        Instead::Bytes(bytes)
    })
}

fn with_tag(frame: &Frame, tag: u64) -> Option<Instead> {
    // Not the first, so that one was given before.
    let at = frame.payload().get(4).map_or(0, |length| 7 + 5 + usize::from(*length));
    let is_third = frame.is_method(60, 60) && frame.bytes[at..at + 8] == 3u64.to_be_bytes();
    is_third.then(|| {
        let mut bytes = frame.bytes.clone();
        bytes[at..at + 8].copy_from_slice(&tag.to_be_bytes());
        Instead::Bytes(bytes)
    })
}

fn on_confirm(frame: &Frame, instead: fn(&Frame) -> Vec<u8>) -> Option<Instead> {
    frame.is_method(60, 80).then(|| Instead::Bytes(instead(frame)))
}

fn before_confirm(frame: &Frame, mut bytes: Vec<u8>) -> Option<Instead> {
    frame.is_method(60, 80).then(|| {
        bytes.extend(&frame.bytes);
        Instead::Bytes(bytes)
    })
}

fn stray(frame: &Frame, kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, frame.bytes[1], frame.bytes[2]][..], &long(payload), &[0xce]].concat()
}

fn on_channel_0(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[1..3].fill(0);
    bytes
}

fn delivery(frame: &Frame, consumer: &[u8], tag: u64) -> Vec<u8> {
    let envelope = [short(consumer), tag.to_be_bytes().to_vec(), vec![0], short(b""), short(b"key")].concat();
    let header = stray(frame, 2, &[&[0, 60, 0, 0][..], &1u64.to_be_bytes(), &[0, 0]].concat());
    [frame.method(60, 60, &envelope), header, stray(frame, 3, b"x")].concat()
}

fn returned(frame: &Frame) -> Vec<u8> {
    let envelope = [vec![1, 56], short(b"NO_ROUTE"), short(b""), short(b"\xff")].concat();
    let header = stray(frame, 2, &[&[0, 60, 0, 0][..], &1u64.to_be_bytes(), &[0, 0]].concat());
    [frame.method(60, 50, &envelope), header, stray(frame, 3, b"x")].concat()
}

#[test]
fn whatever_the_broker_says_every_message_is_handled() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        // Side by side: most of them wait for a pause before the next connection.
        let play = |&(name, tampering, then): &(&'static str, Tampering, Then)| {
            let (stage, url) = (&stage, &url);
            (name, scope.spawn(move || play(stage, url, tampering, then)))
        };
        let playing: Vec<_> = TRIED.iter().map(play).collect();
        let complaints = playing.into_iter().filter_map(|(name, played)| {
            let complaint = played.join().unwrap_or_else(|_| Err("it panicked, see above".into())).err()?;
            Some(format!("a broker that {name}: {complaint}"))
        });
        complaints.collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_body_that_takes_longer_than_two_heartbeats_is_no_silence() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let is_large = |frame: &Frame| frame.kind() == 3 && frame.payload().len() > 1000;
    let proxy = Proxy::to(address_of(&url), move |frame| is_large(frame).then_some(Instead::Slowly));
    let broker = Broker::amqp(&by_way_of(&proxy, &url).replace("heartbeat=2", "heartbeat=1")).unwrap();
    let (tell, told) = std::sync::mpsc::sync_channel(10);
    let mut worker = Worker::new(broker).drain_within(SOON);
    worker.steps.add(Consumer::new("slow", move |body: Vec<u8>, message: &Message| {
        tell.send((body.len(), message.is_redelivered()))?;
        Ok(Outcome::Ack)
    }));
    let running = worker.start().unwrap();
    stage.send(&[bootstep::Publication::new("", "slow", vec![7; 100_000])]).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), (100_000, false));
    assert_eq!((running.stop(), proxy.connections()), (0, 2));
}

/// A worker moves messages from one queue to another while the broker's words are tampered with.
fn play(stage: &Stage, url: &str, tampering: Tampering, then: Then) -> Result<(), String> {
    let (from, to) = (unique("from"), unique("to"));
    let proxy = Proxy::to(address_of(url), once(tampering));
    let broker = Broker::amqp(&by_way_of(&proxy, url)).unwrap();
    let target = to.clone();
    let consumer = Consumer::new(&*from, move |body: String, message: &Message| {
        message.publish("", &target, body);
        Ok(Outcome::Ack)
    });
    let mut worker = Worker::new(broker).drain_within(SOON);
    worker.steps.add(consumer.retry(RetryPolicy::fixed(Duration::from_millis(100), 3)));
    let bodies: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    stage.connection.declare_queue(&Queue::new(&to)).unwrap();
    stage.connection.declare_queue(&Queue::new(&from)).unwrap();
    stage.publish(&from, &bodies.iter().map(String::as_str).collect::<Vec<_>>());

    let running = worker.start().map_err(|err| err.to_string())?;
    let mut missing: BTreeSet<String> = bodies.into_iter().collect();
    // Some come twice: at-least-once is what is promised.
    let all_came = holds_within(SOON, || {
        let came = take_all(stage, &to);
        missing.retain(|body| !came.contains(body));
        missing.is_empty() && stage.ready(&from) == 0
    });
    let connections = proxy.connections();
    let (code, set_aside) = (running.stop(), stage.ready(&format!("{from}.dead")) + stage.ready(&format!("{from}.archive")));
    let did = if connections > 2 { Reconnects } else { GoesOn };
    match (all_came, did, code, set_aside) {
        (true, did, 0, 0) if did == then => Ok(()),
        _ => Err(format!("{connections} connections, exit code {code}, {set_aside} set aside, missing: {missing:?}")),
    }
}

fn once(tampering: Tampering) -> impl FnMut(&Frame) -> Option<Instead> + Send + 'static {
    let mut is_done = false;
    move |frame| {
        let instead = if is_done { None } else { tampering(frame) };
        is_done |= instead.is_some();
        instead
    }
}

fn take_all(stage: &Stage, queue: &str) -> Vec<String> {
    let taken = stage.connection.consume(queue, 100, |inbox| {
        let mut bodies = Vec::new();
        while let Some(letter) = inbox.next(Duration::from_millis(50)).unwrap() {
            inbox.ack(letter.tag).unwrap();
            bodies.push(String::from_utf8(letter.message.body().to_vec()).unwrap());
        }
        bodies
    });
    taken.unwrap()
}

fn address_of(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    let mut found = (url.host_str().unwrap(), url.port().unwrap_or(5672)).to_socket_addrs().unwrap();
    found.next().unwrap()
}

fn by_way_of(proxy: &Proxy, url: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.port())).unwrap();
    // Silence is noticed after two of these.
    url.set_query(Some("heartbeat=2"));
    url.into()
}
