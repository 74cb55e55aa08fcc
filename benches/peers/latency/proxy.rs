//! A proxy between one client and the broker that sees when acks leave: the same place for every client library.

use super::address::Address;
use super::clock::now;
use super::publisher::stamp_of;
use super::samples::Sample;
use super::wire::{long_at, Frame, Frames, ACK, BODY, DELIVER};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

const READ: usize = 64 * 1024;

/// Everything a client does goes through it until [`finish`](Proxy::finish).
pub struct Proxy {
    port: u16,
    ended: Arc<AtomicBool>,
    accepting: JoinHandle<Vec<Link>>,
}

struct Link {
    to_client: JoinHandle<Vec<Delivered>>,
    to_broker: JoinHandle<Vec<Acked>>,
}

struct Delivered {
    channel: u16,
    tag: u64,
    stamp: u64,
}

struct Acked {
    channel: u16,
    tag: u64,
    is_multiple: bool,
    at: u64,
}

impl Proxy {
    pub fn to(broker: &Address) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let ended = Arc::new(AtomicBool::new(false));
        let (until, broker) = (ended.clone(), broker.clone());
        let accepting = std::thread::spawn(move || {
            let mut links = Vec::new();
            for client in listener.incoming().flatten() {
                if until.load(Ordering::Acquire) {
                    break;
                }
                links.push(relay(&client, &broker).expect("the broker takes a connection"));
            }
            links
        });
        Proxy { port, ended, accepting }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From publish to ack, for every message that was acked; to be called when the client is gone.
    pub fn finish(self) -> Vec<Sample> {
        self.ended.store(true, Ordering::Release);
        // Wakes the listener, which then sees that it is the end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let links = self.accepting.join().expect("accepting does not panic");
        links.into_iter().flat_map(Link::samples).collect()
    }
}

/// Both directions only take notes, each its own: what belongs together is found out afterwards.
fn relay(client: &TcpStream, broker: &Address) -> io::Result<Link> {
    let broker = TcpStream::connect(broker.host_and_port())?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from, to) = (broker.try_clone()?, client.try_clone()?);
    let to_client = std::thread::spawn(move || {
        let (mut deliveries, mut under_way) = (Vec::new(), None);
        carry(from, to, |frame, _| note_delivery(&frame, &mut under_way, &mut deliveries));
        deliveries
    });
    let from = client.try_clone()?;
    let to_broker = std::thread::spawn(move || {
        let mut acks = Vec::new();
        carry(from, broker, |frame, at| acks.extend(ack(&frame, at)));
        acks
    });
    Ok(Link { to_client, to_broker })
}

/// Carries bytes first and looks at them then: only what comes next can be later by that.
fn carry(mut from: TcpStream, mut to: TcpStream, mut each: impl FnMut(Frame<'_>, u64)) {
    let (mut bytes, mut frames) = (vec![0; READ], Frames::default());
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let at = now();
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
        frames.feed(&bytes[..length], |frame| each(frame, at));
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn note_delivery(frame: &Frame<'_>, under_way: &mut Option<(u16, u64)>, deliveries: &mut Vec<Delivered>) {
    match frame.method() {
        // Behind the consumer's tag stands that of the delivery.
        Some((DELIVER, arguments)) => *under_way = Some((frame.channel, long_at(arguments, 1 + usize::from(arguments[0])))),
        _ if frame.kind == BODY => {
            let (channel, tag) = under_way.take().expect("a body follows its delivery");
            let stamp = stamp_of(frame.payload).expect("this is the bench's JSON");
            deliveries.push(Delivered { channel, tag, stamp });
        }
        _ => {}
    }
}

fn ack(frame: &Frame<'_>, at: u64) -> Option<Acked> {
    let (ACK, arguments) = frame.method()? else { return None };
    Some(Acked { channel: frame.channel, tag: long_at(arguments, 0), is_multiple: arguments[8] & 1 == 1, at })
}

impl Link {
    fn samples(self) -> Vec<Sample> {
        let deliveries = self.to_client.join().expect("carrying does not panic");
        let acks = self.to_broker.join().expect("carrying does not panic");
        let mut out: BTreeMap<(u16, u64), u64> = deliveries.into_iter().map(|it| ((it.channel, it.tag), it.stamp)).collect();
        acks.into_iter().flat_map(|ack| settled_by(&ack, &mut out)).collect()
    }
}

/// A message that was not out is left out, and is missed when all are counted.
fn settled_by(ack: &Acked, out: &mut BTreeMap<(u16, u64), u64>) -> Vec<Sample> {
    let first = if ack.is_multiple { 0 } else { ack.tag };
    let keys: Vec<_> = out.range((ack.channel, first)..=(ack.channel, ack.tag)).map(|(key, _)| *key).collect();
    keys.iter().filter_map(|key| out.remove(key)).map(|stamp| Sample { stamp, took: ack.at.saturating_sub(stamp) }).collect()
}
