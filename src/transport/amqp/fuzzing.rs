//! What is promised of the screened stream and of conversion, as assertions that any bytes must stand, with the parser that
//! amiquip uses as the judge.

use super::convert;
use super::wire::{Screened, Seen};
use crate::limits::{obstacle, DEPTH_MAX, FRAME_LIMIT, FRAME_MAX, PUBLISH_ID};
use crate::message::{Publication, Table, Value};
use amiquip::{AmqpProperties, AmqpValue};
use amq_protocol::frame::parsing::{parse_content_header, parse_frame};
use amq_protocol::frame::{generation::gen_content_header_frame, AMQPFrame};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const BODY_MAX: u64 = 512 * 1024 * 1024;

/// A frame of this type on this channel.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("no input is that long");
    [&[kind], &channel.to_be_bytes()[..], &size.to_be_bytes(), payload, &[0xce]].concat()
}

/// Screens these bytes, whole and in pieces, holds all that comes out against what went in, and answers it.
pub(crate) fn check_stream(bytes: &[u8], at_once: usize) -> Vec<u8> {
    let (whole, pieces) = (screened(bytes, bytes.len().max(1)), screened(bytes, at_once));
    match (&whole.refusal, &pieces.refusal) {
        (None, None) => assert!(whole.out == pieces.out, "chunks matter"),
        (Some(at_whole), Some(in_pieces)) => {
            // What came in one piece with an offence is not handed on.
            assert!(pieces.out.starts_with(&whole.out));
            // Of another language, only as much is shown as has come.
            let is_language = |why: &str| why.contains("speak") || why.contains("TLS");
            assert!(at_whole == in_pieces || is_language(at_whole) && is_language(in_pieces), "{at_whole}; {in_pieces}");
            assert!(at_whole.len() < 300 && !at_whole.contains(char::is_control));
            assert_eq!(whole.seen.complaint().map(|(_, why)| why).as_ref(), Some(at_whole));
        }
        (whole, pieces) => panic!("chunks matter: {whole:?}, {pieces:?}"),
    }
    let (came, left) = (frames(bytes), frames(&pieces.out));
    assert!(pieces.refusal.is_some() || left.len() == came.len(), "a frame is missing");
    let whole_frames: usize = left.iter().map(|frame| frame.payload.len() + 8).sum();
    let half = pieces.out[whole_frames..].first();
    assert!(half.is_none_or(|kind| *kind == BODY), "half a frame that is no body's");
    // Of what came with an offence, some was looked at and not handed on.
    check_frames(&came, &left, pieces.seen.complaint().is_none().then_some(&pieces.seen));
    pieces.out
}

struct Screening {
    out: Vec<u8>,
    refusal: Option<String>,
    seen: Arc<Seen>,
}

fn screened(bytes: &[u8], at_once: usize) -> Screening {
    let mut stream = Screened::new(Pieces { bytes, at_once }, FRAME_MAX);
    let (mut out, mut some) = (Vec::new(), [0; 1000]);
    let refusal = loop {
        match stream.read(&mut some) {
            Ok(0) => break None,
            Ok(count) => out.extend(&some[..count]),
            Err(err) => break Some(err.to_string()),
        }
    };
    Screening { out, refusal, seen: stream.seen() }
}

/// A peer that sends so many bytes at once, and closes.
struct Pieces<'a> {
    bytes: &'a [u8],
    at_once: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut piece = &self.bytes[..self.at_once.min(self.bytes.len())];
        let count = piece.read(into)?;
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

#[derive(PartialEq)]
struct Frame<'a> {
    kind: u8,
    channel: u16,
    payload: &'a [u8],
}

/// The whole frames that the bytes begin with.
fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((&[kind, c0, c1, s0, s1, s2, s3], rest)) = bytes.split_first_chunk() {
        let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
        let Some((payload, [0xce, rest @ ..])) = rest.split_at_checked(size) else { break };
        frames.push(Frame { kind, channel: u16::from_be_bytes([c0, c1]), payload });
        bytes = rest;
    }
    frames
}

fn check_frames(came: &[Frame<'_>], left: &[Frame<'_>], seen: Option<&Seen>) {
    let (mut current, mut generations) = (BTreeMap::new(), BTreeMap::<u16, u64>::new());
    let (mut delivered, mut shortened) = (BTreeSet::new(), BTreeSet::<(u16, u64, u64)>::new());
    for (came, left) in came.iter().zip(left) {
        assert_eq!((left.kind, left.channel), (came.kind, came.channel));
        assert!(left.payload.len() <= came.payload.len() && left.payload.len() <= FRAME_LIMIT as usize);
        let channel = left.channel;
        match (left.kind, left.payload) {
            // amiquip goes no further; but it may not be a text that stops it.
            (METHOD, payload) if !is_method(left) => {
                assert!(!has_known_fields(payload), "{}", payload.escape_ascii());
                return;
            }
            (METHOD, [0, 60, 0, 60, tag_length, rest @ ..]) => {
                let tag = rest[usize::from(*tag_length)..].first_chunk().expect("it was read as a delivery");
                let generation = generations.get(&channel).copied().unwrap_or(0);
                let delivery = (channel, generation, u64::from_be_bytes(*tag));
                current.insert(channel, delivery);
                // A tag is used once; whoever uses it again mixes up two messages.
                if !delivered.insert(delivery) {
                    return;
                }
            }
            (METHOD, [0, 60, 0, 50 | 71, ..]) => drop(current.remove(&channel)),
            (METHOD, [0, 20, 0, 11, ..]) => {
                current.remove(&channel);
                *generations.entry(channel).or_default() += 1;
            }
            (METHOD, [0, 20, 0, 40 | 41, ..]) => drop(current.remove(&channel)),
            (METHOD, _) => {}
            (HEADER, payload) => {
                assert!(is_readable(payload), "{}", payload.escape_ascii());
                assert!(came == left || !is_readable(came.payload), "what can be read is not touched");
                let lost = payload.len() < came.payload.len();
                shortened.extend(current.get(&channel).filter(|_| lost));
            }
            _ => assert!(came == left, "bodies and heartbeats are not touched"),
        }
    }
    let Some(seen) = seen else { return };
    for delivery @ (channel, generation, tag) in delivered {
        let flaw = seen.flaw_of(channel, generation, tag);
        assert!(flaw.is_none() || came != left, "{flaw:?} of a stream without any");
        assert!(flaw.is_some() || !shortened.contains(&delivery), "delivery {tag} on {channel} lost something unsaid");
    }
}

fn is_method(frame: &Frame<'_>) -> bool {
    let bytes = self::frame(frame.kind, frame.channel, frame.payload);
    matches!(parse_frame(&bytes), Ok(([], AMQPFrame::Method(..))))
}

/// What RabbitMQ sends to a worker: `s` is a short string, a number so many bytes (AMQP 0-9-1, chapter 1 of the reference).
const METHODS: [(u16, u16, &str); 22] = [
    (10, 30, "242"),
    (10, 41, "s"),
    (10, 50, "2s22"),
    (10, 51, ""),
    (10, 60, "s"),
    (10, 61, ""),
    (20, 20, "1"),
    (20, 40, "2s22"),
    (20, 41, ""),
    (40, 11, ""),
    (50, 11, "s44"),
    (50, 21, ""),
    (50, 31, "4"),
    (60, 11, ""),
    (60, 21, "s"),
    (60, 30, "s1"),
    (60, 31, "s"),
    (60, 50, "2sss"),
    (60, 60, "s81ss"),
    (60, 71, "81ss4"),
    (60, 80, "81"),
    (60, 120, "81"),
];

/// Whether this is a method of which every field is there.
fn has_known_fields(payload: &[u8]) -> bool {
    let Some((&[c0, c1, m0, m1], mut rest)) = payload.split_first_chunk() else { return false };
    let (class, method) = (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1]));
    let Some((.., fields)) = METHODS.iter().find(|known| (known.0, known.1) == (class, method)) else { return false };
    fields.bytes().all(|field| match field {
        b's' => short_string(&mut rest).is_some(),
        digit => take(&mut rest, usize::from(digit - b'0')).is_some(),
    })
}

/// Whether a content header is read whole, and its table as another reader reads it: nothing is left out.
fn is_readable(payload: &[u8]) -> bool {
    let Some((fixed, mut rest)) = payload.split_first_chunk::<14>() else { return false };
    let flags = u16::from_be_bytes([fixed[12], fixed[13]]);
    // The flags of the two texts that stand before the table.
    let texts = (flags >> 14).count_ones();
    let has_texts = (0..texts).all(|_| short_string(&mut rest).is_some());
    let has_table = flags & (1 << 13) != 0;
    let ours = if has_table { long(&mut rest).and_then(|bytes| table(bytes, 1)) } else { Some(Table::new()) };
    // Only now, because theirs goes down as deep as it is told to.
    let (Some(ours), true, 0) = (ours, has_texts, flags & 0b11) else { return false };
    let Ok(([], header)) = parse_content_header(payload) else { return false };
    // A property that cannot be read is left out without a word, and what follows is taken for the next.
    if header.properties.bitmask() != flags {
        return false;
    }
    let theirs = header.properties.headers().as_ref().map(convert::table_from).unwrap_or_default();
    // What is no number is not equal to itself, but looks the same.
    assert!(ours == theirs || format!("{ours:?}") == format!("{theirs:?}"), "{ours:?} and {theirs:?}");
    header.body_size <= BODY_MAX
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    take(rest, BYTES)?.try_into().ok()
}

fn short_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [length] = number(rest)?;
    take(rest, length.into())
}

fn long<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(number(rest)?);
    take(rest, length as usize)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn table(mut rest: &[u8], depth: usize) -> Option<Table> {
    let mut table = (depth <= DEPTH_MAX).then(Table::new)?;
    while !rest.is_empty() {
        table.insert(text(short_string(&mut rest)?)?, value(&mut rest, depth)?);
    }
    Some(table)
}

fn array(mut rest: &[u8], depth: usize) -> Option<Vec<Value>> {
    let mut values = (depth <= DEPTH_MAX).then(Vec::new)?;
    while !rest.is_empty() {
        values.push(value(&mut rest, depth)?);
    }
    Some(values)
}

fn value(rest: &mut &[u8], depth: usize) -> Option<Value> {
    let [kind] = number(rest)?;
    Some(match kind {
        b't' => Value::Bool(number(rest)? != [0]),
        b'b' => Value::I8(i8::from_be_bytes(number(rest)?)),
        b'B' => Value::U8(u8::from_be_bytes(number(rest)?)),
        b's' | b'U' => Value::I16(i16::from_be_bytes(number(rest)?)),
        b'u' => Value::U16(u16::from_be_bytes(number(rest)?)),
        b'I' => Value::I32(i32::from_be_bytes(number(rest)?)),
        b'i' => Value::U32(u32::from_be_bytes(number(rest)?)),
        b'l' | b'L' => Value::I64(i64::from_be_bytes(number(rest)?)),
        b'f' => Value::F32(f32::from_be_bytes(number(rest)?)),
        b'd' => Value::F64(f64::from_be_bytes(number(rest)?)),
        b'D' => Value::Decimal { scale: u8::from_be_bytes(number(rest)?), value: u32::from_be_bytes(number(rest)?) },
        b'T' => Value::Timestamp(u64::from_be_bytes(number(rest)?)),
        b'V' => Value::Null,
        b'S' => Value::Text(text(long(rest)?)?),
        b'x' => Value::Bytes(long(rest)?.to_vec()),
        b'A' => Value::Array(array(long(rest)?, depth + 1)?),
        b'F' => Value::Table(table(long(rest)?, depth + 1)?),
        _ => return None,
    })
}

/// The frames by which a broker would deliver this message with tag 1 on channel 1.
pub(crate) fn delivered(publication: &Publication) -> Vec<u8> {
    let short = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let (exchange, key) = (short(&publication.exchange), short(&publication.routing_key));
    let method = [&[0, 60, 0, 60][..], &short("consumer"), &1u64.to_be_bytes(), &[0], &exchange, &key].concat();
    [frame(METHOD, 1, &method), header_frame(publication)].concat()
}

/// The content header as amiquip writes it, which must be as long as it was taken to be, and read the same.
pub(crate) fn header_frame(publication: &Publication) -> Vec<u8> {
    let theirs = convert::properties_to(&publication.properties);
    let frame = generated(&theirs);
    let (rest, parsed) = parse_frame(&frame).expect("amiquip reads what it writes");
    let AMQPFrame::Header(1, 60, header) = parsed else { panic!("another frame") };
    assert!(rest.is_empty() && convert::properties_from(&header.properties) == publication.properties);
    let mut measured = publication.clone();
    measured.mandatory = false;
    check_length(&measured, frame.len());
    measured.mandatory = true;
    let mut headers = theirs.headers().clone().unwrap_or_default();
    if headers.insert(PUBLISH_ID.into(), AmqpValue::LongLongInt(1)).is_none() {
        check_length(&measured, generated(&theirs.with_headers(headers)).len());
    }
    frame
}

fn generated(properties: &AmqpProperties) -> Vec<u8> {
    // Hardly any is long, and clearing memory takes most of the time.
    for room in [2_000, 300_000] {
        let mut buffer = vec![0; room];
        if let Ok((_, length)) = gen_content_header_frame((&mut buffer, 0), 1, 60, 3, properties) {
            buffer.truncate(length);
            return buffer;
        }
    }
    panic!("a frame is never that long")
}

fn check_length(publication: &Publication, length: usize) {
    let fits_into = |length: usize| obstacle(publication, u32::try_from(length).expect("it is a frame")).is_none();
    assert!(fits_into(length) && !fits_into(length - 1), "{length} bytes were expected otherwise");
}
