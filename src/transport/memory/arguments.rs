//! The arguments of a queue: what they mean here, and which ones are not modelled.

use super::checks::Arguments;
use super::refusal::{precondition, queue_in_full, unsupported, Refusal};
pub(super) use super::sameness::{assert_same, assert_same_arguments};
use crate::topology::Queue;
use std::time::Duration;

/// What the arguments of a queue mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub is_quorum: bool,
    pub ttl: Option<Duration>,
    /// The queue goes when nobody has used it for so long.
    pub expires: Option<Duration>,
    pub dead_letter: Option<DeadLetter>,
    /// A dead letter that nobody takes is kept and tried again, where RabbitMQ can keep that promise.
    pub is_at_least_once: bool,
    pub max_length: Option<usize>,
    /// Of the bodies of ready messages together.
    pub max_bytes: Option<usize>,
    pub overflow: Overflow,
    /// Messages have priorities from 0 to this.
    pub max_priority: Option<u8>,
    /// How often a message may come back.
    pub delivery_limit: Option<u32>,
    pub is_single_active: bool,
    /// In place of the broker's own.
    pub consumer_timeout: Option<Duration>,
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

/// The arguments that a classic queue may have, in the order in which RabbitMQ compares them.
pub(super) const CLASSIC: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
];

/// The same of a quorum queue.
pub(super) const QUORUM: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    // RabbitMQ 3.10 does not know this one, and would ignore it.
    "x-consumer-timeout",
];

/// What the arguments mean, or why RabbitMQ (or this model of it) would refuse them.
pub(super) fn policy_of(queue: &Queue) -> Result<Policy, Refusal> {
    all_modelled(queue)?;
    let arguments = Arguments::of(queue);
    arguments.dead_letter_exchange_is_text()?;
    let is_quorum = arguments.queue_type()? == "quorum";
    // In RabbitMQ's order: of several that are wrong, the same one is told.
    let expires = arguments.expiry("x-expires", 1)?;
    let ttl = arguments.expiry("x-message-ttl", 0)?;
    let dead_letter = arguments.dead_letter()?;
    let strategy =
        arguments.one_of("x-dead-letter-strategy", &["at-most-once", "at-least-once"], |_| "invalid_dlx_strategy".into())?;
    let max_length = arguments.size("x-max-length")?;
    let max_bytes = arguments.size("x-max-length-bytes")?;
    let overflow = overflow_of(&arguments, is_quorum)?;
    let policy = Policy {
        is_quorum,
        ttl,
        expires,
        // RabbitMQ accepts the strategy without these two, and falls back to at-most-once.
        is_at_least_once: strategy == Some("at-least-once") && dead_letter.is_some() && overflow == Overflow::RejectPublish,
        dead_letter,
        max_length,
        max_bytes,
        overflow,
        max_priority: arguments.max_priority()?,
        delivery_limit: arguments.delivery_limit()?,
        is_single_active: arguments.flag("x-single-active-consumer")?,
        consumer_timeout: arguments.number("x-consumer-timeout")?.map(Duration::from_millis),
    };
    arguments.mean_nothing_in_one_process()?;
    if !is_quorum {
        arguments.fit_the_type(CLASSIC, "classic")?;
        return Ok(policy);
    }
    arguments.fit_the_type(QUORUM, "quorum")?;
    fits_a_quorum_queue(queue)?;
    Ok(policy)
}

/// An argument that nobody here knows is told as such, where RabbitMQ would ignore it.
pub(super) fn all_modelled(queue: &Queue) -> Result<(), Refusal> {
    let is_unknown = |name: &&String| !CLASSIC.contains(&name.as_str()) && !QUORUM.contains(&name.as_str());
    match queue.arguments.keys().find(is_unknown) {
        Some(name) => Err(unsupported(format!("the memory broker does not model the queue argument `{name}`"))),
        None => Ok(()),
    }
}

fn overflow_of(arguments: &Arguments<'_>, is_quorum: bool) -> Result<Overflow, Refusal> {
    let known = ["drop-head", "reject-publish", "reject-publish-dlx"];
    Ok(match arguments.one_of("x-overflow", &known, |_| "invalid_overflow".into())? {
        Some("reject-publish") => Overflow::RejectPublish,
        // A quorum queue cannot do this, and takes the default without a word.
        Some("reject-publish-dlx") if !is_quorum => Overflow::RejectPublishToDeadLetters,
        _ => Overflow::DropHead,
    })
}

fn fits_a_quorum_queue(queue: &Queue) -> Result<(), Refusal> {
    let unfit = [(queue.auto_delete, "auto-delete"), (queue.exclusive, "exclusive-owner"), (!queue.durable, "non-durable")];
    match unfit.iter().find(|(is_so, _)| *is_so) {
        Some((_, property)) => Err(precondition(format!("invalid property '{property}' for {}", queue_in_full(&queue.name)))),
        None => Ok(()),
    }
}
