//! What a message's headers cost on their way to a handler, and on the way to the next attempt.

use super::{body, case, Case};
use crate::delivered::{headers, Message};
use crate::layout::{Archive, Chosen, Layout, RetryLayout};
use crate::message::{Delivery, Parts, Properties, Table, Value};
use crate::retry::RetryPolicy;
use crate::topology::{Queue, Topology};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

pub fn cases() -> Vec<Case> {
    vec![
        case("headers: a message from a delivery", 20_000, make),
        case("headers: retries and one header, of none", 20_000, |times| look(0, times)),
        case("headers: retries and one header, of 3", 20_000, |times| look(3, times)),
        case("headers: retries and one header, of 30", 20_000, |times| look(30, times)),
        case("headers: a copy for a retry, of none", 1_000, |times| retry(properties(0), times)),
        case("headers: a copy for a retry, of 3", 1_000, |times| retry(properties(3), times)),
        case("headers: a copy for a retry, of 30", 1_000, |times| retry(properties(30), times)),
        case("headers: a copy for a second retry, with the broker's history", 1_000, |times| retry(retried(), times)),
    ]
}

/// With so many headers, of every common type.
pub fn properties(headers: usize) -> Properties {
    let properties = Properties::persistent("application/json");
    (0..headers).fold(properties, |properties, at| {
        let name = format!("x-header-{at}");
        match at % 3 {
            0 => properties.header(name, format!("value {at}")),
            1 => properties.header(name, i64::try_from(at).expect("there are few")),
            _ => properties.header(name, at % 2 == 0),
        }
    })
}

/// As a message comes back from its first wait.
fn retried() -> Properties {
    let death = Table::from([
        ("count".to_owned(), Value::I64(1)),
        ("exchange".to_owned(), "".into()),
        ("queue".to_owned(), "orders.retry.1000".into()),
        ("reason".to_owned(), "expired".into()),
        ("routing-keys".to_owned(), Value::Array(vec!["orders.retry.1000".into()])),
        ("time".to_owned(), Value::Timestamp(1_700_000_000)),
    ]);
    let mut retried = properties(3)
        .header(headers::RETRIES, 1)
        .header(headers::FIRST_FAILED, Value::Timestamp(1_700_000_000))
        .header(headers::REASON, "the database is away")
        .header(headers::QUEUE, "orders")
        .header(headers::EXCHANGE, "")
        .header(headers::ROUTING_KEY, "orders");
    for name in ["exchange", "queue", "reason"] {
        retried = retried.header(format!("x-first-death-{name}"), "orders.retry.1000");
    }
    retried.header("x-death", Value::Array(vec![Value::Table(death)]))
}

fn delivery(properties: Properties) -> Delivery {
    let parts = Parts { exchange: String::new(), routing_key: "orders".into(), properties, body: body(1).into() };
    Delivery { tag: 1, redelivered: false, parts: Arc::new(parts), flaw: None }
}

fn make(times: usize) {
    let (delivery, queue) = (delivery(properties(3)), Arc::from("orders"));
    for _ in 0..times {
        black_box(Message::new(black_box(&delivery), &queue));
    }
}

fn look(headers: usize, times: usize) {
    let message = Message::new(&delivery(properties(headers)), &"orders".into());
    for _ in 0..times {
        black_box((black_box(&message).retries(), black_box(&message).header("x-header-1")));
    }
}

fn retry(properties: Properties, times: usize) {
    let policy = RetryPolicy::fixed(Duration::from_secs(1), 5);
    let chosen = Chosen::Shipped(RetryLayout::Levels);
    let layout = Layout::of(&Queue::new("orders"), &policy, &chosen, Archive::default(), &Topology::default());
    let message = Message::new(&delivery(properties), &"orders".into());
    for _ in 0..times {
        black_box(layout.retry(black_box(&message), None, "the database is away", 0.5));
    }
}
