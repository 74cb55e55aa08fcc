//! The arguments of a queue: which ones are modelled, what they must look like, and when two declarations are the same.

use super::refusal::{inequivalent, precondition, type_name, unsupported, Refusal};
use crate::message::{Table, Value};
use crate::topology::Queue;
use std::time::Duration;

/// What the arguments of a queue mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub is_quorum: bool,
    pub ttl: Option<Duration>,
    pub dead_letter: Option<DeadLetter>,
    /// A dead letter that nobody takes is kept and tried again, where RabbitMQ can keep that promise.
    pub is_at_least_once: bool,
    pub max_length: Option<usize>,
    pub overflow: Overflow,
}

/// Where a queue's dead letters go.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    pub exchange: String,
    /// In place of the message's own routing keys.
    pub routing_key: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Overflow {
    #[default]
    DropHead,
    RejectPublish,
    RejectPublishToDeadLetters,
}

/// What the arguments mean, or why RabbitMQ (or this model of it) would refuse them.
pub(super) fn policy_of(queue: &Queue) -> Result<Policy, Refusal> {
    let arguments = Arguments { queue: &queue.name, table: &queue.arguments };
    let is_quorum = arguments.queue_type()? == "quorum";
    arguments.all_known(is_quorum)?;
    if is_quorum {
        fits_a_quorum_queue(queue)?;
    }
    let overflow = arguments.overflow(is_quorum)?;
    let strategy = arguments.one_of("x-dead-letter-strategy", &["at-most-once", "at-least-once"])?;
    let dead_letter = arguments.dead_letter()?;
    // RabbitMQ accepts the strategy without these two, and falls back to at-most-once.
    let is_safe = dead_letter.is_some() && overflow == Overflow::RejectPublish;
    arguments.one_of("x-queue-mode", &["default", "lazy"])?;
    Ok(Policy {
        is_quorum,
        ttl: arguments.number("x-message-ttl")?.map(Duration::from_millis),
        dead_letter,
        is_at_least_once: is_safe && strategy == Some("at-least-once"),
        max_length: arguments.number("x-max-length")?.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        overflow,
    })
}

fn fits_a_quorum_queue(queue: &Queue) -> Result<(), Refusal> {
    let unfit = [(!queue.durable, "non-durable"), (queue.auto_delete, "auto-delete"), (queue.exclusive, "exclusive")];
    match unfit.iter().find(|(is_so, _)| *is_so) {
        Some((_, property)) => Err(precondition(format!("invalid property '{property}' for {}", whom(&queue.name)))),
        None => Ok(()),
    }
}

fn whom(queue: &str) -> String {
    format!("queue '{queue}' in vhost '/'")
}

struct Arguments<'a> {
    queue: &'a str,
    table: &'a Table,
}

impl<'a> Arguments<'a> {
    fn invalid(&self, name: &str, why: impl AsRef<str>) -> Refusal {
        precondition(format!("invalid arg '{name}' for {}: {}", whom(self.queue), why.as_ref()))
    }

    fn all_known(&self, is_quorum: bool) -> Result<(), Refusal> {
        for name in self.table.keys() {
            match name.as_str() {
                "x-queue-type" | "x-message-ttl" | "x-dead-letter-exchange" | "x-dead-letter-routing-key" => {}
                "x-max-length" | "x-overflow" => {}
                "x-dead-letter-strategy" if is_quorum => {}
                "x-queue-mode" if !is_quorum => {}
                "x-dead-letter-strategy" => return Err(self.not_for_type(name, "rabbit_classic_queue")),
                "x-queue-mode" => return Err(self.not_for_type(name, "rabbit_quorum_queue")),
                other => return Err(unsupported(format!("the memory broker does not model the queue argument `{other}`"))),
            }
        }
        Ok(())
    }

    fn not_for_type(&self, name: &str, queue_type: &str) -> Refusal {
        precondition(format!("invalid arg '{name}' for {} of queue type {queue_type}", whom(self.queue)))
    }

    fn queue_type(&self) -> Result<&'a str, Refusal> {
        match self.text("x-queue-type")? {
            None => Ok("classic"),
            Some(known @ ("classic" | "quorum")) => Ok(known),
            Some("stream") => Err(unsupported("the memory broker does not model queues of the type `stream`")),
            Some(other) => Err(self.invalid("x-queue-type", format!("unsupported queue type '{other}'"))),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.table.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.invalid(name, format!("{{unacceptable_type,{}}}", type_name(other)))),
        }
    }

    fn one_of(&self, name: &str, known: &[&str]) -> Result<Option<&'a str>, Refusal> {
        match self.text(name)? {
            Some(other) if !known.contains(&other) => Err(self.invalid(name, format!("invalid value '{other}'"))),
            fine => Ok(fine),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.table.get(name) else { return Ok(None) };
        let Some(number) = value.as_i64() else {
            return Err(self.invalid(name, format!("{{unacceptable_type,{}}}", type_name(value))));
        };
        match u64::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.invalid(name, format!("{{value_negative,{number}}}"))),
        }
    }

    fn dead_letter(&self) -> Result<Option<DeadLetter>, Refusal> {
        let routing_key = self.text("x-dead-letter-routing-key")?.map(str::to_owned);
        match self.text("x-dead-letter-exchange")? {
            Some(exchange) => Ok(Some(DeadLetter { exchange: exchange.to_owned(), routing_key })),
            None if routing_key.is_some() => Err(self.invalid("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")),
            None => Ok(None),
        }
    }

    fn overflow(&self, is_quorum: bool) -> Result<Overflow, Refusal> {
        match self.one_of("x-overflow", &["drop-head", "reject-publish", "reject-publish-dlx"])? {
            Some("reject-publish") => Ok(Overflow::RejectPublish),
            Some("reject-publish-dlx") if is_quorum => Err(self.invalid("x-overflow", "invalid value 'reject-publish-dlx'")),
            Some("reject-publish-dlx") => Ok(Overflow::RejectPublishToDeadLetters),
            _ => Ok(Overflow::DropHead),
        }
    }
}

/// Refuses a declaration that does not say the same as the one that made the queue.
pub(super) fn assert_same(current: &Queue, received: &Queue) -> Result<(), Refusal> {
    let whom = whom(&current.name);
    for (name, now, was) in
        [("durable", received.durable, current.durable), ("auto_delete", received.auto_delete, current.auto_delete)]
    {
        if now != was {
            return Err(inequivalent(name, &whom, &format!("'{now}'"), &format!("'{was}'")));
        }
    }
    assert_same_arguments(&whom, &current.arguments, &received.arguments)
}

/// Refuses arguments that differ; the width of a number does not count.
pub(super) fn assert_same_arguments(whom: &str, current: &Table, received: &Table) -> Result<(), Refusal> {
    let names = current.keys().chain(received.keys().filter(|name| !current.contains_key(*name)));
    for name in names {
        let (was, now) = (current.get(name), received.get(name));
        match (now, was) {
            (Some(now), Some(was)) if is_same(now, was) => {}
            (Some(now), Some(was)) => return Err(inequivalent(name, whom, &format!("'{now}'"), &format!("'{was}'"))),
            // A queue that does not say so is a classic one.
            (Some(only), None) | (None, Some(only)) if name == "x-queue-type" && only.as_str() == Some("classic") => {}
            _ => return Err(inequivalent(name, whom, &in_full(now), &in_full(was))),
        }
    }
    Ok(())
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
