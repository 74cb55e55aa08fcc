//! When two declarations say the same, and how RabbitMQ tells that they do not.

use super::arguments::{CLASSIC, QUORUM};
use super::refusal::{inequivalent, locked, queue_in_full, type_name, Refusal};
use crate::message::{Table, Value};
use crate::topology::Queue;

/// Refuses a declaration that does not say the same as the one that made the queue.
pub(super) fn assert_same(current: &Queue, received: &Queue) -> Result<(), Refusal> {
    if received.exclusive != current.exclusive {
        return Err(locked(&current.name));
    }
    let whom = queue_in_full(&current.name);
    // What goes with its connection survives no restart, whatever its declaration says.
    let is_durable = |queue: &Queue| queue.durable && !queue.exclusive;
    for (name, now, was) in
        [("durable", is_durable(received), is_durable(current)), ("auto_delete", received.auto_delete, current.auto_delete)]
    {
        if now != was {
            return Err(inequivalent(name, &whom, &format!("'{now}'"), &format!("'{was}'")));
        }
    }
    let known = if current.queue_type() == Some("quorum") { QUORUM } else { CLASSIC };
    known
        .iter()
        .try_for_each(|name| assert_same_value(&whom, name, current.arguments.get(*name), received.arguments.get(*name)))
}

/// Refuses arguments that differ; the width of a number does not count.
pub(super) fn assert_same_arguments(whom: &str, current: &Table, received: &Table) -> Result<(), Refusal> {
    let mut names = current.keys().chain(received.keys().filter(|name| !current.contains_key(*name)));
    names.try_for_each(|name| assert_same_value(whom, name, current.get(name), received.get(name)))
}

fn assert_same_value(whom: &str, name: &str, was: Option<&Value>, now: Option<&Value>) -> Result<(), Refusal> {
    match (now, was) {
        (None, None) => Ok(()),
        (Some(now), Some(was)) if is_same(now, was) => Ok(()),
        (Some(now), Some(was)) => Err(inequivalent(name, whom, &format!("'{now}'"), &format!("'{was}'"))),
        // A queue that does not say so is a classic one.
        (Some(only), None) | (None, Some(only)) if name == "x-queue-type" && only.as_str() == Some("classic") => Ok(()),
        _ => Err(inequivalent(name, whom, &in_full(now), &in_full(was))),
    }
}

fn is_same(left: &Value, right: &Value) -> bool {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn in_full(value: Option<&Value>) -> String {
    match value {
        None => "none".into(),
        Some(value) => format!("the value '{value}' of type '{}'", type_name(value)),
    }
}
