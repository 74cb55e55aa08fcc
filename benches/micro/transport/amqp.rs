//! What lies between the socket and the intake, and its cases: only this module may see it.

#[path = "../../../src/transport/amqp/convert.rs"]
#[allow(dead_code, unused_imports)]
mod convert;
#[path = "../../../src/transport/amqp/fuzzing.rs"]
#[allow(dead_code, unused_imports)]
mod fuzzing;
#[path = "../../../src/transport/amqp/wire/mod.rs"]
#[allow(dead_code, unused_imports)]
mod wire;

use crate::cases::{body, case, properties, Case};
use crate::limits::FRAME_MAX;
use crate::message::Publication;
use std::hint::black_box;
use std::io::Read;

/// Type 3 is a frame of a body.
const BODY: u8 = 3;

pub fn cases() -> Vec<Case> {
    vec![
        case("screen: a delivery of 100 bytes, without headers", 10_000, |times| screen(0, times)),
        case("screen: a delivery of 100 bytes, 3 headers", 10_000, |times| screen(3, times)),
        case("screen: a delivery of 100 bytes, 30 headers", 4_000, |times| screen(30, times)),
        case("properties: from amiquip's, without headers", 10_000, |times| from_theirs(0, times)),
        case("properties: from amiquip's, 3 headers", 10_000, |times| from_theirs(3, times)),
        case("properties: from amiquip's, 30 headers", 2_000, |times| from_theirs(30, times)),
        case("properties: to amiquip's, 3 headers", 5_000, |times| to_theirs(3, times)),
    ]
}

/// A broker that has always more of the same to send.
struct Canned {
    delivery: Vec<u8>,
    sent: usize,
    left: usize,
}

impl Read for Canned {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() && self.left > 0 {
            let count = (self.delivery.len() - self.sent).min(into.len() - filled);
            into[filled..filled + count].copy_from_slice(&self.delivery[self.sent..self.sent + count]);
            (filled, self.sent) = (filled + count, self.sent + count);
            if self.sent == self.delivery.len() {
                (self.sent, self.left) = (0, self.left - 1);
            }
        }
        Ok(filled)
    }
}

fn screen(headers: usize, times: usize) {
    let publication = Publication::new("", "orders", body(1)).with(properties(headers));
    let delivery = [fuzzing::delivered(&publication), fuzzing::frame(BODY, 1, &body(1))].concat();
    let mut stream = wire::Screened::new(Canned { delivery, sent: 0, left: times }, FRAME_MAX);
    // amiquip reads so much at once.
    let mut some = [0; 4096];
    while black_box(stream.read(&mut some).expect("nothing is wrong with these deliveries")) > 0 {}
}

fn from_theirs(headers: usize, times: usize) {
    let theirs = convert::properties_to(&properties(headers));
    for _ in 0..times {
        black_box(convert::properties_from(black_box(&theirs)));
    }
}

fn to_theirs(headers: usize, times: usize) {
    let ours = properties(headers);
    for _ in 0..times {
        black_box(convert::properties_to(black_box(&ours)));
    }
}
