//! What the screen lets through, mends and refuses, byte by byte.

use super::screen::Screen;
use crate::message::{Flaw, Value};
use proptest::prelude::*;
use std::io::{self, Read};

/// A frame of this type on this channel.
fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(0xce);
    frame
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// `basic.deliver` of tag 7.
fn deliver(channel: u16, routing_key: &[u8]) -> Vec<u8> {
    let parts = [vec![0, 60, 0, 60], short(b"tag"), 7u64.to_be_bytes().to_vec(), vec![0], short(b"shop"), short(routing_key)];
    frame(1, channel, &parts.concat())
}

/// A content header of a message of three bytes, with these flags and properties.
fn header(channel: u16, flags: u16, properties: &[u8]) -> Vec<u8> {
    let parts = [&[0, 60, 0, 0][..], &3u64.to_be_bytes(), &flags.to_be_bytes(), properties];
    frame(2, channel, &parts.concat())
}

const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const PRIORITY: u16 = 1 << 11;
const MESSAGE_ID: u16 = 1 << 7;

/// Gives so many bytes a read, then nothing for now, then the next.
struct Drip<'a> {
    bytes: &'a [u8],
    at_once: usize,
    is_dry: bool,
}

impl Read for Drip<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.is_dry = !self.is_dry;
        if self.is_dry || self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.at_once.min(self.bytes.len()).min(into.len());
        into[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

/// All that comes out, and the screen, or why it refuses.
fn screened(bytes: &[u8], at_once: usize) -> Result<(Vec<u8>, Screen), String> {
    let (mut screen, mut drip) = (Screen::new(4096), Drip { bytes, at_once, is_dry: true });
    let mut out = Vec::new();
    let mut some = [0; 100];
    loop {
        match screen.read(&mut drip, &mut some) {
            Ok(count) => out.extend(&some[..count]),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock && drip.bytes.is_empty() => return Ok((out, screen)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            Err(err) => return Err(err.to_string()),
        }
    }
}

/// What comes out of these frames, and the flaw of delivery 7 on channel 1.
#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[Vec<u8>], why: Option<&str>) -> Option<Flaw> {
    let (bytes, expected) = (frames.concat(), expected.concat());
    let mut flaw = None;
    for at_once in [1, 7, bytes.len()] {
        let (out, screen) = screened(&bytes, at_once).unwrap();
        assert!(out == expected, "{}\n{}", out.escape_ascii(), expected.escape_ascii());
        flaw = screen.seen().flaw_of(1, 0, 7);
        assert_eq!(flaw.as_ref().map(|flaw| flaw.why.as_str()), why);
        assert_eq!(screen.seen().flaw_of(1, 0, 7), None, "once");
    }
    flaw
}

#[test]
fn what_is_readable_passes_as_it_is() {
    let table = [short("größe".as_bytes()), vec![b'S'], long("12 €".as_bytes()), short(b"n"), vec![b'V']].concat();
    let properties = [short(b"text/plain"), long(&table), vec![9]].concat();
    let frames = [
        deliver(1, "straße".as_bytes()),
        header(1, CONTENT_TYPE | HEADERS | PRIORITY, &properties),
        frame(3, 1, b"\xff\0\x01"),
        frame(8, 0, b""),
    ];
    check(&frames, &frames, None);
}

#[test]
fn a_routing_key_that_is_not_utf_8_is_mended_and_kept() {
    let rest = [header(1, 0, b""), frame(3, 1, b"abc")];
    let [bad, good] = [deliver(1, b"caf\xe9.\xff\xfe"), deliver(1, b"caf?.??")];
    let flaw = check(
        &[vec![bad], rest.to_vec()].concat(),
        &[vec![good], rest.to_vec()].concat(),
        Some("its routing key is not UTF-8"),
    );
    assert_eq!(flaw.unwrap().originals["routing-key"], Value::Bytes(b"caf\xe9.\xff\xfe".to_vec()));
}

#[test]
fn properties_that_are_not_utf_8_are_mended_and_kept() {
    let properties = |text: &[u8]| [short(text), vec![5]].concat();
    let frames = |text: &[u8]| [deliver(1, b"key"), header(1, CONTENT_TYPE | PRIORITY, &properties(text))];
    let flaw = check(&frames(b"\xe9"), &frames(b"?"), Some("its content-type is not UTF-8"));
    assert_eq!(flaw.unwrap().originals["content-type"], Value::Bytes(b"\xe9".to_vec()));
}

#[test]
fn a_text_in_the_headers_that_is_not_utf_8_is_told_to_be_bytes() {
    let table = |kind: u8| {
        let inner = [short(b"deep"), vec![kind], long(b"\xff")].concat();
        let array = [vec![b'S'], long(b"fine"), vec![kind], long(b"\xfe"), vec![b'F'], long(&inner)].concat();
        [short(b"a"), vec![kind], long(b"\xe9"), short(b"b"), vec![b'A'], long(&array), short(b"c"), vec![b't', 1]].concat()
    };
    let frames = |kind: u8| [deliver(1, b"key"), header(1, HEADERS, &long(&table(kind)))];
    check(&frames(b'S'), &frames(b'x'), None);
}

#[test]
fn a_headers_name_that_is_not_utf_8_is_mended_and_the_table_kept() {
    let table = |name: &[u8]| [short(name), vec![b't', 1], short(b"after"), vec![b'I', 0, 0, 0, 1]].concat();
    let frames = |name: &[u8]| [deliver(1, b"key"), header(1, HEADERS, &long(&table(name)))];
    let flaw = check(&frames(b"n\xff"), &frames(b"n?"), Some("a header's name is not UTF-8"));
    assert_eq!(flaw.unwrap().originals["headers"], Value::Bytes(table(b"n\xff")));
}

#[test]
fn headers_that_cannot_be_read_are_taken_out_and_kept() {
    let unknown = [short(b"name"), vec![b'?', 1, 2, 3]].concat();
    let overrun = [short(b"name"), vec![b'S', 0, 0, 1, 0]].concat();
    let mut deep = Vec::new();
    for _ in 0..65 {
        deep = [vec![b'A'], long(&deep)].concat();
    }
    let deep = [short(b"name"), deep].concat();
    for (table, why) in [
        (unknown, "its headers break the rules of AMQP"),
        (overrun, "its headers break the rules of AMQP"),
        (deep, "its headers are nested too deep"),
    ] {
        let flags = CONTENT_TYPE | PRIORITY | MESSAGE_ID;
        let properties = [short(b"a/b"), long(&table), vec![4], short(b"id")].concat();
        let frames = [deliver(1, b"key"), header(1, flags | HEADERS, &properties), frame(3, 1, b"abc")];
        let without = [short(b"a/b"), vec![4], short(b"id")].concat();
        let expected = [deliver(1, b"key"), header(1, flags, &without), frame(3, 1, b"abc")];
        let flaw = check(&frames, &expected, Some(why));
        assert_eq!(flaw.unwrap().originals["headers"], Value::Bytes(table));
    }
}

#[test]
fn properties_that_cannot_be_told_apart_are_taken_out_and_kept() {
    for (flags, properties) in [
        (CONTENT_TYPE, b"\x09short".to_vec()),
        (CONTENT_TYPE, [short(b"a/b"), vec![1]].concat()),
        (HEADERS, vec![0, 0, 1, 0, 1]),
        // What could be mended is kept as it came as well.
        (CONTENT_TYPE, [short(b"\xff"), vec![1]].concat()),
        (1, Vec::new()),
    ] {
        let rest = [frame(3, 1, b"abc"), deliver(2, b"next")];
        let frames = [vec![deliver(1, b"key"), header(1, flags, &properties)], rest.to_vec()].concat();
        let expected = [vec![deliver(1, b"key"), header(1, 0, b"")], rest.to_vec()].concat();
        let flaw = check(&frames, &expected, Some("its properties break the rules of AMQP"));
        assert_eq!(flaw.unwrap().originals["properties"], Value::Bytes(properties));
    }
}

#[test]
fn all_that_is_wrong_with_a_message_is_told() {
    let frames = |byte: u8| [deliver(1, &[byte]), header(1, CONTENT_TYPE, &short(&[byte]))];
    let why = "its routing key is not UTF-8, its content-type is not UTF-8";
    let flaw = check(&frames(0xff), &frames(b'?'), Some(why));
    assert_eq!(flaw.unwrap().originals.len(), 2);
}

#[test]
fn what_stands_behind_headers_that_are_taken_out_is_mended_too() {
    let broken = [short(b"n"), vec![b'?']].concat();
    let properties = [long(&broken), short(b"\xfe")].concat();
    let frames = [deliver(1, b"key"), header(1, HEADERS | MESSAGE_ID, &properties)];
    let expected = [deliver(1, b"key"), header(1, MESSAGE_ID, &short(b"?"))];
    check(&frames, &expected, Some("its headers break the rules of AMQP, its message-id is not UTF-8"));
}

#[test]
fn a_returned_message_is_nobodys_delivery() {
    let returned = [vec![0, 60, 0, 50, 1, 56], short(b"NO_ROUTE"), short(b""), short(b"\xff")].concat();
    let mended = [vec![0, 60, 0, 50, 1, 56], short(b"NO_ROUTE"), short(b""), short(b"?")].concat();
    let rest = header(1, CONTENT_TYPE, &short(b"\xff"));
    let (out, screen) = screened(&[deliver(1, b"k"), frame(1, 1, &returned), rest].concat(), 9).unwrap();
    assert_eq!(out, [deliver(1, b"k"), frame(1, 1, &mended), header(1, CONTENT_TYPE, &short(b"?"))].concat());
    assert_eq!(screen.seen().flaw_of(1, 0, 7), None);
}

#[test]
fn a_flaw_is_of_its_channel_and_no_other_of_that_number() {
    let (open, closed) = (frame(1, 1, &[0, 20, 0, 11, 0, 0, 0, 0]), frame(1, 1, &[0, 20, 0, 41]));
    let frames = [open.clone(), deliver(1, b"\xff"), closed, open, deliver(1, b"fine"), deliver(2, b"\xff")].concat();
    let (_, screen) = screened(&frames, 1000).unwrap();
    let seen = screen.seen();
    assert_eq!((seen.generation(1), seen.generation(2)), (2, 0));
    assert_eq!(seen.flaw_of(1, 2, 7), None);
    assert!(seen.flaw_of(1, 1, 7).is_some());
    seen.forget(2, 0);
    assert_eq!(seen.flaw_of(2, 0, 7), None);
}

#[test]
fn a_delivery_ends_where_its_channel_begins_anew() {
    let open = frame(1, 1, &[0, 20, 0, 11, 0, 0, 0, 0]);
    let frames = [deliver(1, b"k"), open, header(1, CONTENT_TYPE, &short(b"\xff")), deliver(1, b"fine")].concat();
    let (_, screen) = screened(&frames, 1000).unwrap();
    assert_eq!(screen.seen().flaw_of(1, 1, 7), None);
}

#[test]
fn a_body_is_handed_on_as_it_comes() {
    let mut screen = Screen::new(4096);
    let body = frame(3, 1, &[7; 3000]);
    let mut half = Drip { bytes: &body[..1000], at_once: 1000, is_dry: true };
    assert_eq!(screen.read(&mut half, &mut [0; 4096]).unwrap(), 1000);
    let mut rest = Drip { bytes: &body[1000..], at_once: 5000, is_dry: true };
    assert_eq!(screen.read(&mut rest, &mut [0; 4096]).unwrap(), body.len() - 1000);
}

#[test]
fn what_amiquip_would_log_is_refused_unread() {
    check_refused(&frame(3, 0, b"s3cret"), "a message on channel 0");
    check_refused(&frame(2, 0, &[0; 14]), "a message on channel 0");
    check_refused(&frame(1, 0, &[0, 60, 0, 60]), "a method of the wrong channel (60.60 on 0)");
    check_refused(&frame(1, 3, &[0, 10, 0, 60]), "a method of the wrong channel (10.60 on 3)");
}

#[test]
fn a_reason_cut_within_a_character_is_read() {
    let close = |text: &[u8]| frame(1, 1, &[vec![0, 20, 0, 40, 1, 150], short(text), vec![0, 0, 0, 0]].concat());
    let (out, _) = screened(&close(b"no queue 'caf\xc3"), 3).unwrap();
    assert_eq!(out, close(b"no queue 'caf?"));
}

#[track_caller]
fn check_refused(bytes: &[u8], why: &str) {
    for at_once in [1, 1000] {
        let refused = screened(bytes, at_once).map(|(out, _)| out.escape_ascii().to_string()).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn a_peer_is_not_believed_whatever_it_says() {
    check_refused(
        &[3, 0, 1, 0xff, 0xff, 0xff, 0xff],
        "a frame of 4294967295 bytes, and no broker agrees to more than 16777216",
    );
    let mut huge = header(1, 0, b"");
    huge[11] = 1;
    check_refused(&huge, "a message of 72057594037927939 bytes");
    let mut endless = frame(8, 0, b"");
    endless[7] = 0;
    check_refused(&endless, "does not end where it says");
    let mut deep = Vec::new();
    for _ in 0..100 {
        deep = [short(b"n"), vec![b'F'], long(&deep)].concat();
    }
    check_refused(&frame(1, 0, &[vec![0, 10, 0, 10, 0, 9], long(&deep)].concat()), "nested too deep");
    // An echo of our login, which would be logged.
    let login = [vec![0, 10, 0, 11, 0, 0, 0, 0], short(b"PLAIN"), long(b"\0user\0s3cret"), short(b"en_US")].concat();
    check_refused(&frame(1, 0, &login), "a method that only clients send (10.11)");
}

#[test]
fn the_smaller_frame_is_agreed_and_none_is_no_limit() {
    let tune = |frame_max: u32| frame(1, 0, &[&[0, 10, 0, 30, 0, 0][..], &frame_max.to_be_bytes(), &[0, 60]].concat());
    for (theirs, agreed) in [(2000, 2000), (0, 4096), (u32::MAX, 4096)] {
        let (_, screen) = screened(&tune(theirs), 5).unwrap();
        assert_eq!(screen.seen().frame_max(), agreed);
    }
}

#[test]
fn who_answers_in_another_language_is_told_apart() {
    check_refused(b"HTTP/1.1 400 Bad Request", "it does not speak AMQP 0-9-1: it sent `HTTP/1.");
    check_refused(b"AMQP\0\x01\0\0", "another version of AMQP");
    check_refused(b"\x15\x03\x01\0\x02\x02\x0a", "write `amqps://`");
}

proptest! {
    #[test]
    fn whatever_comes_in_the_chunks_do_not_matter(
        frames in prop::collection::vec((1u8..4, 0u16..3, prop::collection::vec(any::<u8>(), 0..80)), 0..8),
        class in prop::sample::select(vec![[0, 60, 0, 60], [0, 60, 0, 50], [0, 10, 0, 10], [0, 60, 0, 0]]),
        at_once in 1usize..50,
    ) {
        let with_class = |(kind, channel, payload): &(u8, u16, Vec<u8>)| {
            frame(*kind, *channel, &[&class[..if *kind == 3 { 0 } else { 4 }], payload].concat())
        };
        let bytes: Vec<u8> = frames.iter().flat_map(with_class).collect();
        let (whole, drips) = (screened(&bytes, bytes.len().max(1)), screened(&bytes, at_once));
        match (whole, drips) {
            (Ok((whole, _)), Ok((drips, _))) => prop_assert_eq!(whole, drips),
            (Err(whole), Err(drips)) => prop_assert_eq!(whole, drips),
            (whole, drips) => prop_assert!(false, "{:?} {:?}", whole.is_ok(), drips.is_ok()),
        }
    }
}
