//! From bytes to what a handler wants.

use super::{body, case, Case, Order};
use bootstep::{Decode, Json, Message, Publication};
use std::hint::black_box;

pub fn cases() -> Vec<Case> {
    vec![
        case("decode: JSON of 100 bytes", 10_000, |times| decode::<Json<Order>>(&small(), times)),
        case("decode: JSON of 10 KB", 200, |times| decode::<Json<Vec<Order>>>(&large(), times)),
        case("decode: text of 100 bytes", 10_000, |times| decode::<String>(&small(), times)),
        case("decode: 100 bytes as they are", 10_000, |times| decode::<Vec<u8>>(&small(), times)),
        case("decode: JSON of another type, refused", 5_000, refuse),
    ]
}

fn message(body: Vec<u8>) -> Message {
    Message::from_publication(Publication::new("", "orders", body).content_type("application/json"))
}

fn small() -> Message {
    message(body(1))
}

fn large() -> Message {
    let orders: Vec<Vec<u8>> = (0..100).map(body).collect();
    message([&b"["[..], &orders.join(&b","[..]), b"]"].concat())
}

fn decode<B: Decode>(message: &Message, times: usize) {
    for _ in 0..times {
        let decoded = B::decode(black_box(message));
        assert!(black_box(decoded).is_ok());
    }
}

fn refuse(times: usize) {
    let message = small();
    for _ in 0..times {
        let decoded = Json::<Vec<u64>>::decode(black_box(&message));
        assert!(black_box(decoded).is_err());
    }
}
