//! Frames out of bytes: what has a meaning is held back until it is whole and was looked at, and no peer is believed whatever
//! it says.

use super::fields::Mend;
use super::flaws::Seen;
use super::header::mend_header;
use super::methods::{mend_method, Meaning};
use crate::error::Fault;
use crate::limits::FRAME_LIMIT;
use crate::message::Value;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

/// Type, channel and length before the payload.
const HEAD: usize = 7;
const FRAME_END: u8 = 0xce;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

const SPEAKS_TLS: &str = "the port speaks TLS: write `amqps://`, or use the port without TLS, usually 5672";

/// What is read at once: many small messages at the price of one call.
const READ_AT_ONCE: usize = 64 * 1024;

pub(super) struct Screen {
    /// Read from the socket: `..taken` has been handed on, `taken..checked` may be, the rest is not looked at yet.
    buffer: Vec<u8>,
    taken: usize,
    checked: usize,
    filled: usize,
    /// How much of a body's frame is to come, its last byte not counted. That is handed on as it comes: on a slow link amiquip
    /// would take the wait for silence.
    body: Option<usize>,
    frame_max: u32,
    /// The delivery whose content is on its way, by channel.
    deliveries: BTreeMap<u16, u64>,
    seen: Arc<Seen>,
}

impl Screen {
    pub fn new(frame_max: u32) -> Self {
        let (buffer, seen) = (vec![0; READ_AT_ONCE], Arc::new(Seen::new(frame_max)));
        Screen { buffer, taken: 0, checked: 0, filled: 0, body: None, frame_max, deliveries: BTreeMap::new(), seen }
    }

    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    /// Hands on what was looked at; reads from the stream only when there is nothing, so that `WouldBlock` means what it says.
    pub fn read(&mut self, stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.checked {
            self.make_room();
            match stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(0),
                Ok(count) => self.filled += count,
                Err(err) if err.kind() == ErrorKind::Interrupted => continue,
                Err(err) => return Err(err),
            }
            self.check().map_err(|why| {
                // The wrong port is a setting that waiting does not mend.
                let fault = if why == SPEAKS_TLS { Fault::Config } else { Fault::Unreachable };
                self.seen.complain((fault, why.clone()));
                io::Error::new(ErrorKind::InvalidData, why)
            })?;
        }
        let count = into.len().min(self.checked - self.taken);
        into[..count].copy_from_slice(&self.buffer[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }

    /// Called with nothing to hand on: what is left is the beginning of a frame.
    fn make_room(&mut self) {
        if self.taken > 0 {
            self.buffer.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            (self.taken, self.checked) = (0, 0);
        }
        // `check` has held the length against its limit; of a body nothing is held back.
        let size = self.size_of_next().filter(|_| self.body.is_none());
        let wanted = size.map_or(0, |size| HEAD + size + 1).max(READ_AT_ONCE);
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted, 0);
        } else if wanted < self.buffer.len() && self.filled <= wanted {
            self.buffer.truncate(wanted);
            self.buffer.shrink_to_fit();
        }
    }

    fn size_of_next(&self) -> Option<usize> {
        let head = self.buffer[self.checked..self.filled].get(..HEAD)?;
        usize::try_from(u32::from_be_bytes(head[3..7].try_into().ok()?)).ok()
    }

    /// Looks at each whole frame, and at the head of the one that is not whole yet. `Err` says what the peer did.
    fn check(&mut self) -> Result<(), String> {
        loop {
            if !self.is_past_body()? {
                return Ok(());
            }
            let kind = match self.buffer[self.checked..self.filled].first().copied() {
                None => return Ok(()),
                Some(kind @ (METHOD | HEADER | BODY | HEARTBEAT)) => kind,
                // Its first words tell which.
                Some(_) if self.filled - self.checked < HEAD => return Ok(()),
                Some(_) => return Err(self.in_another_language()),
            };
            let Some(size) = self.size_of_next() else { return Ok(()) };
            // Not against what was agreed: RabbitMQ sends all headers of a message in one frame, even those that a publisher with
            // larger frames has sent.
            if size > FRAME_LIMIT as usize {
                return Err(format!("it sent a frame of {size} bytes, and no broker agrees to more than {FRAME_LIMIT}"));
            }
            let channel = u16::from_be_bytes([self.buffer[self.checked + 1], self.buffer[self.checked + 2]]);
            // amiquip would log the whole frame.
            if channel == 0 && matches!(kind, HEADER | BODY) {
                return Err("it sent a message on channel 0".into());
            }
            let start = self.checked + HEAD;
            let end = start + size;
            if kind == BODY {
                (self.checked, self.body) = (start, Some(size));
                continue;
            }
            if end >= self.filled {
                return Ok(());
            }
            self.expect_end(end)?;
            match kind {
                METHOD => self.method(channel, start, end)?,
                HEADER => self.header(channel, start, end)?,
                _ => {}
            }
            self.checked = start + self.size_of_next().unwrap_or(size) + 1;
        }
    }

    /// Lets through what has come of a body, and says whether that was all of it.
    fn is_past_body(&mut self) -> Result<bool, String> {
        let Some(left) = self.body else { return Ok(true) };
        let came = left.min(self.filled - self.checked);
        self.checked += came;
        self.body = Some(left - came);
        if came < left || self.checked == self.filled {
            return Ok(false);
        }
        self.expect_end(self.checked)?;
        self.checked += 1;
        self.body = None;
        Ok(true)
    }

    fn expect_end(&self, at: usize) -> Result<(), String> {
        match self.buffer[at] {
            FRAME_END => Ok(()),
            _ => Err("it sent a frame that does not end where it says".into()),
        }
    }

    fn method(&mut self, channel: u16, start: usize, end: usize) -> Result<(), String> {
        match mend_method(channel, &mut self.buffer[start..end]).map_err(|what| format!("it sent {what}"))? {
            Meaning::Other => {}
            Meaning::Delivery { tag, mends } => {
                self.deliveries.insert(channel, tag);
                self.note(channel, mends);
            }
            Meaning::Content => drop(self.deliveries.remove(&channel)),
            Meaning::ChannelOpen => {
                // Not even a broker that opens it twice may give a flaw to a message of the new channel.
                self.deliveries.remove(&channel);
                self.seen.begin(channel);
            }
            Meaning::ChannelEnd => drop(self.deliveries.remove(&channel)),
            Meaning::Tune { frame_max } => {
                self.frame_max = if frame_max == 0 { self.frame_max } else { self.frame_max.min(frame_max) };
                self.seen.agree(self.frame_max);
            }
        }
        Ok(())
    }

    fn header(&mut self, channel: u16, start: usize, end: usize) -> Result<(), String> {
        let mended = mend_header(&mut self.buffer[start..end]).map_err(|what| format!("it sent {what}"))?;
        self.note(channel, mended.mends);
        let new_end = start + mended.length;
        if new_end < end {
            self.buffer.copy_within(end..self.filled, new_end);
            self.filled -= end - new_end;
            let size = u32::try_from(mended.length).expect("shorter than what a 32-bit length told of");
            self.buffer[start - 4..start].copy_from_slice(&size.to_be_bytes());
        }
        Ok(())
    }

    fn note(&self, channel: u16, mends: Vec<Mend>) {
        if mends.is_empty() {
            return;
        }
        // Nobody needs to know of what is not a delivery: a returned message is ours.
        let Some(tag) = self.deliveries.get(&channel) else { return };
        for mend in mends {
            self.seen.note(channel, *tag, |flaw| flaw.add(&mend.why, mend.name, Value::Bytes(mend.original)));
        }
    }

    /// Whoever connects to the wrong port should be told what answers there.
    fn in_another_language(&self) -> String {
        let rest = &self.buffer[self.checked..self.filled];
        match rest {
            [0x15 | 0x16, 3, ..] => SPEAKS_TLS.into(),
            [b'A', b'M', b'Q', b'P', ..] => "it speaks another version of AMQP, not 0-9-1".into(),
            _ => {
                let shown: String = rest.iter().take(24).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
                format!("it does not speak AMQP 0-9-1: it sent `{shown}`")
            }
        }
    }
}
