//! A message's properties, there and back, whole and damaged, and moved to the queues around the one it came from.

use super::input::Input;
use crate::delivered::{headers as names, Message};
use crate::layout::{Archive, Chosen, Departure, Layout, Next, RetryLayout};
use crate::limits::{obstacle, FRAME_MAX};
use crate::message::{Delivery, Flaw, Parts, Publication, Table, Value};
use crate::retry::RetryPolicy;
use crate::topology::{Queue, Topology};
use crate::transport::amqp::fuzzing::{check_stream, delivered, header_frame};
use std::sync::Arc;
use std::time::Duration;

/// Whatever can be sent comes back the same, and can be moved on; what is damaged on its way is mended and told.
pub fn headers(data: &[u8]) {
    let mut input = Input::new(data);
    let mut publication = input.publication();
    if let Some(why) = obstacle(&publication, FRAME_MAX) {
        return assert!(why.len() < 200, "{why}");
    }
    if input.flag() {
        pad(&mut publication, input.u8().into());
    }
    let flaw = input.flag().then(|| Flaw { why: input.text(), originals: input.table(1) });
    check_moved(&publication, flaw, &input.text());
    let mut stream = delivered(&publication);
    assert!(check_stream(&stream, stream.len() / 2 + 1) == stream, "what was sent comes as it was");
    let at_once = input.at_once() * stream.len().div_ceil(1000);
    while !input.is_empty() {
        let at = usize::from(input.u16()) % stream.len();
        stream[at] = input.u8();
    }
    check_stream(&stream, at_once);
}

/// Adds a header, so that only so many bytes of a frame are left.
fn pad(publication: &mut Publication, left: usize) {
    let headers = publication.properties.headers.get_or_insert_default();
    headers.insert("pad".into(), Value::Text(String::new()));
    let length = header_frame(publication).len();
    let room = (FRAME_MAX as usize - left).saturating_sub(length);
    let headers = publication.properties.headers.get_or_insert_default();
    headers.insert("pad".into(), Value::Text("x".repeat(room)));
}

/// A message that came in a frame goes on in a frame, with all that it brought.
fn check_moved(publication: &Publication, flaw: Option<Flaw>, reason: &str) {
    let parts = Parts {
        exchange: publication.exchange.clone(),
        routing_key: publication.routing_key.clone(),
        properties: publication.properties.clone(),
        body: publication.body.clone(),
    };
    let delivery = Delivery { tag: 1, redelivered: false, parts: Arc::new(parts), flaw: flaw.map(Arc::new) };
    for layout in [RetryLayout::Levels, RetryLayout::Shared] {
        check_moved_in(layout, publication, &delivery, reason);
    }
}

fn check_moved_in(layout: RetryLayout, publication: &Publication, delivery: &Delivery, reason: &str) {
    let policy = RetryPolicy::fixed(Duration::from_secs(1), 3);
    let layout = Layout::of(&Queue::new("orders"), &policy, &Chosen::Shipped(layout), Archive::default(), &Topology::default());
    let message = Message::new(delivery, &"orders".into()).counted_by(layout.counted_by());
    let retried = match layout.retry(&message, None, reason, 0.5) {
        Next::Depart(departure) => Some(published(*departure)),
        _ => None,
    };
    let (archived, dead) = (published(layout.archive(&message, reason)), published(layout.dead(&message, reason)));
    if let Some(retried) = &retried {
        let retries = retried.header(&layout.counted_by());
        assert_eq!(retries.and_then(Value::as_i64), Some(message.attempt().into()), "it would come for ever");
    }
    for moved in retried.iter().chain([&archived, &dead]) {
        assert_eq!(obstacle(moved, FRAME_MAX), None);
        assert!(moved.body() == publication.body() && moved.routing_key.starts_with("orders."));
        header_frame(moved);
    }
    check_kept(publication, &dead);
}

fn published(departure: Departure) -> Publication {
    match departure {
        Departure::Publish(publication) => publication,
        other => panic!("neither layout leaves a message to the broker: {other:?}"),
    }
}

/// Whether this says the same: the shared layout writes small integers with more bits.
fn is_same(came: &Value, kept: &Value) -> bool {
    match (came, kept) {
        (Value::I8(_) | Value::I16(_), Value::I32(_)) => came.as_i64() == kept.as_i64(),
        (Value::Array(came), Value::Array(kept)) => {
            came.len() == kept.len() && came.iter().zip(kept).all(|(came, kept)| is_same(came, kept))
        }
        (Value::Table(came), Value::Table(kept)) => {
            came.len() == kept.len() && came.iter().all(|(name, came)| kept.get(name).is_some_and(|kept| is_same(came, kept)))
        }
        _ => came == kept,
    }
}

fn check_kept(publication: &Publication, dead: &Publication) {
    let none = Table::new();
    let [came, kept] = [publication, dead].map(|publication| publication.properties.headers.as_ref().unwrap_or(&none));
    let is_ours = |name: &str| [names::QUEUE, names::REASON, "CC", "BCC"].contains(&name);
    // Where both do not fit, the bytes of all headers stand for what was mended of them.
    let originals = ["headers", "properties"].map(|name| format!("{}{name}", names::ORIGINAL));
    let has_originals = originals.iter().any(|name| kept.contains_key(name) && !came.contains_key(name));
    for (name, value) in came.iter().filter(|(name, _)| !is_ours(name)) {
        assert!(kept.get(name).is_some_and(|kept| is_same(value, kept)) || has_originals, "{name}");
    }
    let rest = |publication: &Publication| {
        let mut rest = publication.properties.clone();
        (rest.headers, rest.delivery_mode, rest.expiration, rest.user_id) = (None, None, None, None);
        rest
    };
    assert_eq!(rest(publication), rest(dead));
}
