//! As much of AMQP as a publisher that costs next to nothing and a proxy that reads along need.

use super::address::Address;
use std::io::{Read, Write};
use std::net::TcpStream;

pub const DELIVER: (u16, u16) = (60, 60);
pub const ACK: (u16, u16) = (60, 80);
const METHOD: u8 = 1;
const HEADER: u8 = 2;
pub const BODY: u8 = 3;
const END: u8 = 0xce;
const HEAD: usize = 7;
const GREETING: &[u8] = b"AMQP\0\0\x09\x01";
const CHANNEL: u16 = 1;

/// A frame without its head and end.
pub struct Frame<'a> {
    pub kind: u8,
    pub channel: u16,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Class, method and what follows, if it is a method.
    pub fn method(&self) -> Option<((u16, u16), &[u8])> {
        let is_method = self.kind == METHOD && self.payload.len() >= 4;
        is_method.then(|| ((short_at(self.payload, 0), short_at(self.payload, 2)), &self.payload[4..]))
    }
}

/// Cuts what goes by into frames, however the bytes come.
#[derive(Default)]
pub struct Frames {
    rest: Vec<u8>,
}

impl Frames {
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        self.rest.extend_from_slice(bytes);
        // A client greets before its first frame.
        let mut at = if self.rest.starts_with(GREETING) { GREETING.len() } else { 0 };
        while let Some(head) = self.rest.get(at..at + HEAD) {
            let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let Some(payload) = self.rest.get(at + HEAD..at + HEAD + length + 1) else { break };
            each(Frame { kind: head[0], channel: short_at(head, 1), payload: &payload[..length] });
            at += HEAD + length + 1;
        }
        self.rest.drain(..at);
    }
}

/// A connection with one channel, for publishing without a library between the clock and the socket.
pub struct Line {
    stream: TcpStream,
    frames: Frames,
    queue: String,
}

impl Line {
    pub fn to(broker: &Address, queue: &str) -> std::io::Result<Line> {
        let stream = TcpStream::connect(broker.host_and_port())?;
        stream.set_nodelay(true)?;
        let mut line = Line { stream, frames: Frames::default(), queue: queue.to_owned() };
        line.stream.write_all(GREETING)?;
        line.answer((10, 10))?;
        let response = format!("\0{}\0{}", broker.user, broker.password);
        let login = [&[0; 4], &short(b"PLAIN")[..], &[0; 3], &short(response.as_bytes()), &short(b"en_US")].concat();
        line.call(0, (10, 11), &login)?;
        line.answer((10, 30))?;
        // 2047 channels, 128 KiB a frame, no heartbeat.
        line.call(0, (10, 31), &[7, 255, 0, 2, 0, 0, 0, 0])?;
        line.call(0, (10, 40), &[&short(broker.virtual_host.as_bytes())[..], &[0, 0]].concat())?;
        line.answer((10, 41))?;
        line.call(CHANNEL, (20, 10), &[0])?;
        line.answer((20, 11))?;
        Ok(line)
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Asks how many messages are ready, which the broker answers after it has taken what was sent before.
    pub fn ask_depth(&mut self) -> std::io::Result<()> {
        // Passive.
        let arguments = [&[0, 0][..], &short(self.queue.as_bytes()), &[1, 0, 0, 0, 0]].concat();
        self.call(CHANNEL, (50, 10), &arguments)
    }

    /// The answer to the oldest question that has none.
    pub fn depth(&mut self) -> std::io::Result<u32> {
        let arguments = self.answer((50, 11))?;
        let at = 1 + usize::from(arguments[0]);
        Ok(u32::from_be_bytes([arguments[at], arguments[at + 1], arguments[at + 2], arguments[at + 3]]))
    }

    /// The bytes of a transient publication to the queue, put behind what is in `bytes`.
    pub fn write_publication(&self, body: &[u8], bytes: &mut Vec<u8>) {
        const CONTENT_TYPE_AND_DELIVERY_MODE: [u8; 2] = [0x90, 0];
        const TRANSIENT: u8 = 1;
        put(bytes, METHOD, CHANNEL, &[&[0, 60, 0, 40, 0, 0, 0], &short(self.queue.as_bytes())[..], &[0]]);
        let size = (body.len() as u64).to_be_bytes();
        let properties = [&short(b"application/json")[..], &[TRANSIENT]].concat();
        put(bytes, HEADER, CHANNEL, &[&[0, 60, 0, 0], &size, &CONTENT_TYPE_AND_DELIVERY_MODE, &properties]);
        put(bytes, BODY, CHANNEL, &[body]);
    }

    fn call(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        put(&mut bytes, METHOD, channel, &[&class.to_be_bytes(), &method.to_be_bytes(), arguments]);
        self.stream.write_all(&bytes)
    }

    /// The arguments of the next method, which must be this one.
    fn answer(&mut self, wanted: (u16, u16)) -> std::io::Result<Vec<u8>> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head)?;
        let mut frame = head.to_vec();
        frame.resize(HEAD + u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1, 0);
        self.stream.read_exact(&mut frame[HEAD..])?;
        let mut answer = None;
        self.frames.feed(&frame, |frame| answer = frame.method().map(|(method, rest)| (method, rest.to_vec())));
        match answer {
            Some((method, arguments)) if method == wanted => Ok(arguments),
            other => Err(std::io::Error::other(format!("the broker said {other:?} instead of {wanted:?}"))),
        }
    }
}

fn put(bytes: &mut Vec<u8>, kind: u8, channel: u16, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.push(kind);
    bytes.extend(channel.to_be_bytes());
    bytes.extend(u32::try_from(length).expect("frames are small").to_be_bytes());
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.push(END);
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short string")], text].concat()
}

fn short_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub fn long_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
