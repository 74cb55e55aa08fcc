//! What a message says of its past: why it failed, when first, how often, where; from the worker's headers, else from the broker's
//! `x-death` (<https://www.rabbitmq.com/docs/dlx#effects>).

use super::fingerprint::Fingerprint;
use crate::delivered::{headers, Message};
use crate::message::{Table, Value};
use std::borrow::Cow;

/// What is known of how a message came to where it is.
pub(crate) struct Past<'a> {
    /// Why it is here: the worker's reason, else the broker's.
    pub reason: Cow<'a, str>,
    /// The queue that it was consumed from, or died on, last.
    pub queue: &'a str,
    /// The exchange and the routing key that it first came by.
    pub exchange: &'a str,
    pub routing_key: &'a str,
    /// When it first failed, in seconds since 1970.
    pub first_failed: Option<u64>,
    /// Seconds since 1970 by which its age counts: when it first failed, else when it was made.
    pub since: Option<u64>,
    /// How many attempts there were, as far as the worker counted.
    pub attempts: u32,
    /// How often its quorum queue has had it back.
    pub deliveries: Option<i64>,
    /// Whether the broker moved it here, not a worker.
    pub is_by_broker: bool,
}

impl<'a> Past<'a> {
    pub fn of(message: &'a Message) -> Self {
        let text = |name: &str| message.header(name).and_then(Value::as_str);
        let number = |name: &str| message.header(name).and_then(Value::as_i64);
        let (last, first) = deaths(message);
        let reason = text(headers::REASON);
        let by_broker = last.map(|death| format!("{} on `{}`", cause(death), text_of(death, "queue").unwrap_or_default()));
        let first_failed = seconds(message.header(headers::FIRST_FAILED)).or_else(|| seconds(first?.get("time")));
        let original_key = || match first?.get("routing-keys")? {
            Value::Array(keys) => keys.first()?.as_str(),
            _ => None,
        };
        Past {
            is_by_broker: reason.is_none() && by_broker.is_some(),
            reason: reason.map(Cow::from).or(by_broker.map(Cow::from)).unwrap_or(Cow::Borrowed("no reason is known")),
            queue: text(headers::QUEUE).or_else(|| text_of(last?, "queue")).unwrap_or_else(|| message.queue()),
            exchange: text(headers::EXCHANGE).or_else(|| text_of(first?, "exchange")).unwrap_or_else(|| message.exchange()),
            routing_key: text(headers::ROUTING_KEY).or_else(original_key).unwrap_or_else(|| message.routing_key()),
            first_failed,
            since: first_failed.or(message.properties().timestamp),
            attempts: attempts(message.attempt(), number(headers::RETRY_COUNT)),
            deliveries: number(headers::DELIVERY_COUNT),
        }
    }

    /// What this failure has in common with others of its sort.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.queue, &self.reason)
    }

    /// Seconds since it first failed, at this time.
    pub fn age(&self, now: u64) -> Option<u64> {
        self.since.map(|since| now.saturating_sub(since))
    }
}

/// The last death and the first; the broker puts the last in front.
fn deaths(message: &Message) -> (Option<&Table>, Option<&Table>) {
    let table = |value: &'static str| match message.header(value) {
        Some(Value::Array(deaths)) => Some(deaths),
        _ => None,
    };
    let Some(deaths) = table("x-death") else { return (None, None) };
    let tables = || deaths.iter().filter_map(|death| if let Value::Table(table) = death { Some(table) } else { None });
    (tables().next(), tables().next_back())
}

fn text_of<'a>(death: &'a Table, name: &str) -> Option<&'a str> {
    death.get(name).and_then(Value::as_str)
}

/// The broker's reason in words.
fn cause(death: &Table) -> Cow<'_, str> {
    match text_of(death, "reason").unwrap_or("dead-lettered") {
        "maxlen" => "pushed out by newer ones".into(),
        "delivery_limit" => "returned more often than its delivery limit allows".into(),
        other => other.to_owned().into(),
    }
}

fn attempts(counted: u32, shared: Option<i64>) -> u32 {
    let shared = shared.and_then(|retries| u32::try_from(retries).ok()).map_or(0, |retries| retries.saturating_add(1));
    counted.max(shared)
}

fn seconds(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Timestamp(seconds) => Some(*seconds),
        other => other.as_i64().and_then(|seconds| u64::try_from(seconds).ok()),
    }
}
