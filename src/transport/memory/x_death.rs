//! The headers of a dead letter: why a message left which queue, how often (<https://www.rabbitmq.com/docs/dlx#effects>).

use super::arguments::DeadLetter;
use super::copies;
use crate::message::{Parts, Properties, Table, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a message left its queue otherwise than by an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLength => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// The message as its dead-letter exchange gets it.
pub(super) fn dead_lettered(parts: &Parts, queue: &str, reason: Reason, letter: &DeadLetter) -> Parts {
    let mut properties = parts.properties.clone();
    let mut headers = properties.headers.take().unwrap_or_default();
    let info = event(parts, queue, reason, &headers);
    record(&mut headers, info);
    for (name, value) in [("queue", queue), ("reason", reason.as_str()), ("exchange", &parts.exchange)] {
        headers.entry(format!("x-first-death-{name}")).or_insert_with(|| value.into());
    }
    if letter.routing_key.is_some() {
        copies::forget(&mut headers);
    }
    // Taken off, or the message would expire in the queue of the dead as well.
    properties.expiration = None;
    properties.headers = Some(headers);
    let routing_key = letter.routing_key.as_ref().unwrap_or(&parts.routing_key).clone();
    Parts { exchange: letter.exchange.clone(), routing_key, properties, body: parts.body.clone() }
}

fn event(parts: &Parts, queue: &str, reason: Reason, headers: &Table) -> Table {
    let keys = std::iter::once(parts.routing_key.as_str()).chain(copies::open(headers));
    let mut event = Table::from([
        ("count".into(), Value::I64(1)),
        ("reason".into(), reason.as_str().into()),
        ("queue".into(), queue.into()),
        ("time".into(), Value::Timestamp(seconds_since_1970())),
        ("exchange".into(), parts.exchange.as_str().into()),
        ("routing-keys".into(), Value::Array(keys.map(Value::from).collect())),
    ]);
    if let Properties { expiration: Some(expiration), .. } = &parts.properties {
        event.insert("original-expiration".into(), expiration.as_str().into());
    }
    event
}

/// Puts the event in front; one of the same queue and reason counts up and keeps what it said the first time.
fn record(headers: &mut Table, info: Table) {
    let mut deaths = match headers.remove("x-death") {
        Some(Value::Array(deaths)) => deaths,
        _ => Vec::new(),
    };
    let is_same = |death: &Value| match death {
        Value::Table(death) => death.get("queue") == info.get("queue") && death.get("reason") == info.get("reason"),
        _ => false,
    };
    let earlier = deaths.iter().position(is_same).map(|place| deaths.remove(place));
    let event = match earlier {
        Some(Value::Table(mut earlier)) => {
            let count = earlier.get("count").and_then(Value::as_i64).unwrap_or(0);
            earlier.insert("count".into(), Value::I64(count + 1));
            earlier
        }
        _ => info,
    };
    deaths.insert(0, Value::Table(event));
    headers.insert("x-death".into(), Value::Array(deaths));
}

/// Whether the message has been on this queue before and came back without any consumer rejecting it on the way: it would go
/// round for ever.
pub(super) fn is_cycle(properties: &Properties, queue: &str) -> bool {
    let Some(Value::Array(deaths)) = properties.headers.as_ref().and_then(|headers| headers.get("x-death")) else {
        return false;
    };
    let says = |death: &Value, name: &str, what: &str| match death {
        Value::Table(death) => death.get(name).and_then(Value::as_str) == Some(what),
        _ => false,
    };
    let Some(last_time) = deaths.iter().position(|death| says(death, "queue", queue)) else { return false };
    !deaths[..=last_time].iter().any(|death| says(death, "reason", "rejected"))
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
