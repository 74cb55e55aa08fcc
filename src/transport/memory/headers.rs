//! What a headers exchange compares: the arguments of a binding and the headers of a message.

use super::refusal::{precondition, type_name, Refusal};
use crate::message::{Table, Value};

/// How many of the binding's arguments the headers must meet.
const MATCH: &str = "x-match";

/// Refuses a binding whose `x-match` says nothing that RabbitMQ knows.
pub(super) fn check(arguments: &Table) -> Result<(), Refusal> {
    match arguments.get(MATCH) {
        None => Ok(()),
        Some(Value::Text(rule)) if rule_of(rule).is_some() => Ok(()),
        Some(Value::Text(other)) => Err(precondition(format!(
            "Invalid x-match field value <<\"{other}\">>; expected all, any, all-with-x, or any-with-x"
        ))),
        Some(other) => {
            let kind = type_name(other);
            let value = if *other == Value::Null { "undefined".into() } else { other.to_string() };
            Err(precondition(format!("Invalid x-match field type {kind} (value {value}); expected longstr")))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    All { with_x: bool },
    Any { with_x: bool },
}

fn rule_of(text: &str) -> Option<Rule> {
    Some(match text {
        "all" => Rule::All { with_x: false },
        "any" => Rule::Any { with_x: false },
        "all-with-x" => Rule::All { with_x: true },
        "any-with-x" => Rule::Any { with_x: true },
        _ => return None,
    })
}

/// Whether a message with these headers meets a binding with these arguments.
pub(super) fn meet(headers: &Table, arguments: &Table) -> bool {
    let rule = arguments.get(MATCH).and_then(Value::as_str).and_then(rule_of).unwrap_or(Rule::All { with_x: false });
    let (Rule::All { with_x } | Rule::Any { with_x }) = rule;
    let counts = |name: &str| name != MATCH && (with_x || !name.starts_with("x-"));
    let mut compared = arguments.iter().filter(|(name, _)| counts(name)).map(|(name, expected)| {
        // The void asks only that the header is there, and blind copies are gone before anybody compares.
        let value = headers.get(name).filter(|_| name != "BCC");
        value.is_some_and(|value| *expected == Value::Null || is_equal(value, expected))
    });
    match rule {
        Rule::All { .. } => compared.all(|is_met| is_met),
        Rule::Any { .. } => compared.any(|is_met| is_met),
    }
}

/// RabbitMQ compares values and not their types: numbers by size, texts by bytes. Inside arrays and tables types count; an empty
/// one is as empty as the other.
fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(values), Value::Table(table)) | (Value::Table(table), Value::Array(values)) => {
            values.is_empty() && table.is_empty()
        }
        _ => match (number(left), number(right), bytes(left), bytes(right)) {
            (Some(left), Some(right), ..) => left == right,
            (.., Some(left), Some(right)) => left == right,
            _ => left == right,
        },
    }
}

/// A number of any width, as a whole one where it is whole by its type.
enum Number {
    Whole(i128),
    Broken(f64),
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Number::Whole(left), Number::Whole(right)) => left == right,
            (Number::Broken(left), Number::Broken(right)) => left == right,
            (Number::Whole(whole), Number::Broken(broken)) | (Number::Broken(broken), Number::Whole(whole)) => {
                *whole as f64 == *broken
            }
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    Some(match value {
        Value::F32(number) => Number::Broken((*number).into()),
        Value::F64(number) => Number::Broken(*number),
        Value::Timestamp(seconds) => Number::Whole((*seconds).into()),
        other => Number::Whole(other.as_i64()?.into()),
    })
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}
