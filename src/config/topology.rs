//! `[exchanges]` and `[queues]`: what is declared, or must be there.

use super::fields::{unknown, Fields};
use super::retry::delayed;
use crate::topology::{Binding, Exchange, ExchangeKind, Queue, Topology};
use std::time::Duration;

pub(super) const EXCHANGE_KEYS: [&str; 8] =
    ["type", "existing", "durable", "auto_delete", "internal", "alternate", "arguments", "bind"];
pub(super) const QUEUE_KEYS: [&str; 18] = [
    "type",
    "existing",
    "durable",
    "exclusive",
    "auto_delete",
    "max_length",
    "max_length_bytes",
    "message_ttl",
    "expires",
    "overflow",
    "dead_letter",
    "delivery_limit",
    "delayed_retry",
    "single_active_consumer",
    "max_priority",
    "arguments",
    "bind",
    "lazy",
];
pub(super) const BINDING_KEYS: [&str; 3] = ["exchange", "routing_key", "arguments"];
pub(super) const DEAD_LETTER_KEYS: [&str; 2] = ["exchange", "routing_key"];

const KINDS: [&str; 4] = ["direct", "fanout", "topic", "headers"];
const OVERFLOWS: [&str; 3] = ["drop-head", "reject-publish", "reject-publish-dlx"];
/// So begin the names that the broker gives, and nobody else may (AMQP 0-9-1, `queue-name` and `exchange-name`).
pub(super) const RESERVED: &str = "amq.";
pub(super) const RESERVED_WHY: &str = "whose name the broker keeps for its own (`amq.`); if it is there, say `existing = true`";
/// They are there, and declaring them as they are is allowed.
const IN_EVERY_VHOST: [&str; 6] = ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match", "amq.rabbitmq.trace"];
/// RabbitMQ counts times in 32 bits of milliseconds.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

/// All exchanges and queues of the file.
pub(super) fn read(exchanges: Option<&Fields<'_>>, queues: Option<&Fields<'_>>) -> Topology {
    let mut topology = Topology::default();
    for (name, fields) in exchanges.iter().flat_map(|fields| fields.entries()) {
        topology = topology.exchange(exchange(name, &fields));
    }
    for (name, fields) in queues.iter().flat_map(|fields| fields.entries()) {
        topology = topology.queue(queue(name, &fields));
    }
    doubt_unknown_exchanges(&topology, exchanges, queues);
    topology
}

fn exchange(name: String, fields: &Fields<'_>) -> Exchange {
    fields.only(&EXCHANGE_KEYS);
    check_name(&name, fields);
    if fields.truth("existing") != Some(true) && name.starts_with(RESERVED) && !IN_EVERY_VHOST.contains(&name.as_str()) {
        fields.wrong_at_all(&format!("would declare an exchange {RESERVED_WHY} here"));
    }
    let mut exchange = match fields.truth("existing") {
        Some(true) => {
            fields.none_of(
                &declaring(&EXCHANGE_KEYS),
                "says how it is declared, and an `existing` exchange is declared by others; leave it out",
            );
            Exchange::existing(name)
        }
        _ => Exchange::new(name, kind(fields)),
    };
    exchange.durable = fields.truth("durable").unwrap_or(true);
    exchange.auto_delete = fields.truth("auto_delete").unwrap_or(false);
    exchange.internal = fields.truth("internal").unwrap_or(false);
    exchange.arguments = fields.arguments("arguments");
    if let Some(alternate) = fields.text("alternate") {
        exchange = exchange.alternate(alternate);
    }
    exchange.bindings = bindings(fields);
    exchange
}

fn kind(fields: &Fields<'_>) -> ExchangeKind {
    match fields.text("type").as_deref() {
        Some("direct") => ExchangeKind::Direct,
        Some("fanout") => ExchangeKind::Fanout,
        Some("topic") => ExchangeKind::Topic,
        Some("headers") => ExchangeKind::Headers,
        // Plugins name theirs so, `x-consistent-hash` and the like.
        Some(plugin) if plugin.starts_with("x-") => ExchangeKind::Other(plugin.to_owned()),
        Some(other) => {
            fields.wrong("type", &format!("is `{other}`, and a plugin's begins with `x-`; {}", unknown(other, &KINDS)));
            ExchangeKind::Direct
        }
        None => {
            if !fields.has("type") {
                fields.wrong_at_all(&format!("has no `type`; it is one of `{}`, or say `existing = true`", KINDS.join("`, `")));
            }
            ExchangeKind::Direct
        }
    }
}

fn queue(name: String, fields: &Fields<'_>) -> Queue {
    fields.only(&QUEUE_KEYS);
    check_name(&name, fields);
    if fields.truth("existing") == Some(true) {
        fields.none_of(
            &declaring(&QUEUE_KEYS),
            "says how it is declared, and an `existing` queue is declared by others; leave it out",
        );
        let mut queue = Queue::existing(name);
        queue.bindings = bindings(fields);
        return queue;
    }
    if name.starts_with(RESERVED) {
        fields.wrong_at_all(&format!("would declare a queue {RESERVED_WHY} here"));
    }
    let mut queue = Queue::new(name);
    queue.arguments = fields.arguments("arguments");
    queue = match fields.one_of("type", &["classic", "quorum"]) {
        Some("quorum") => queue.quorum(),
        Some(_) => queue.classic(),
        None => queue,
    };
    queue.durable = fields.truth("durable").unwrap_or(true);
    queue.exclusive = fields.truth("exclusive").unwrap_or(false);
    queue.auto_delete = fields.truth("auto_delete").unwrap_or(false);
    queue = with_limits(queue, fields);
    if let Some(dead) = fields.table("dead_letter") {
        dead.only(&DEAD_LETTER_KEYS);
        queue = with_dead_letters(queue, &dead);
    }
    if let Some(delays) = fields.table("delayed_retry") {
        queue = delayed(queue, &delays);
    }
    queue.bindings = bindings(fields);
    check_type(&queue, fields);
    queue
}

/// Of these keys, those that say how something is declared.
fn declaring(keys: &[&'static str]) -> Vec<&'static str> {
    keys.iter().copied().filter(|key| !["existing", "bind"].contains(key)).collect()
}

fn with_limits(mut queue: Queue, fields: &Fields<'_>) -> Queue {
    let whole = |name: &str, most: i64| fields.whole(name, 0..=most);
    let number = |name: &str| whole(name, i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok());
    let time = |name: &str, least: u64| {
        let allowed = Duration::from_millis(least)..=LONGEST;
        fields.time(name).filter(|time| {
            if !allowed.contains(time) {
                fields.wrong(name, &format!("has to be from {least}ms to 49d, which is what RabbitMQ can count"));
            }
            allowed.contains(time)
        })
    };
    if let Some(messages) = number("max_length") {
        queue = queue.max_length(messages);
    }
    if let Some(bytes) = number("max_length_bytes") {
        queue = queue.max_length_bytes(bytes);
    }
    if let Some(ttl) = time("message_ttl", 0) {
        queue = queue.message_ttl(ttl);
    }
    if let Some(after) = time("expires", 1) {
        queue = queue.expires(after);
    }
    if let Some(behaviour) = fields.one_of("overflow", &OVERFLOWS) {
        queue = queue.overflow(behaviour);
    }
    if let Some(deliveries) = fields.whole("delivery_limit", -1..=i64::from(u32::MAX)) {
        queue = queue.argument("x-delivery-limit", deliveries);
    }
    if fields.truth("single_active_consumer") == Some(true) {
        queue = queue.single_active_consumer();
    }
    if let Some(priority) = fields.whole("max_priority", 1..=255) {
        queue = queue.argument("x-max-priority", priority);
    }
    if fields.truth("lazy") == Some(true) {
        queue = queue.argument("x-queue-mode", "lazy");
    }
    queue
}

fn with_dead_letters(queue: Queue, fields: &Fields<'_>) -> Queue {
    let Some(exchange) = fields.text("exchange") else {
        if !fields.has("exchange") {
            fields.wrong_at_all("has no `exchange`; \"\" is the default one, which routes by the queue's name");
        }
        return queue;
    };
    let queue = queue.argument("x-dead-letter-exchange", exchange);
    match fields.text("routing_key") {
        Some(key) => queue.argument("x-dead-letter-routing-key", key),
        None => queue,
    }
}

/// What RabbitMQ refuses (<https://www.rabbitmq.com/docs/quorum-queues#feature-matrix>).
fn check_type(queue: &Queue, fields: &Fields<'_>) {
    if queue.queue_type() == Some("quorum") {
        let why = "is not for a quorum queue, which is durable and shared; leave it out, or let the `type` be \"classic\"";
        for name in ["exclusive", "max_priority", "lazy"] {
            if fields.has(name) && fields.truth(name) != Some(false) {
                fields.wrong(name, why);
            }
        }
        if !queue.durable {
            fields.wrong("durable", why);
        }
    } else if fields.has("delivery_limit") {
        fields.wrong("delivery_limit", "is for quorum queues; add `type = \"quorum\"`, or use the consumer's `poison_after`");
    }
}

/// Where messages come from.
fn bindings(fields: &Fields<'_>) -> Vec<Binding> {
    let binding = |fields: Fields<'_>| {
        fields.only(&BINDING_KEYS);
        let Some(exchange) = fields.text("exchange") else {
            if !fields.has("exchange") {
                fields.wrong_at_all("has no `exchange`; name the one that messages come from");
            }
            return None;
        };
        if exchange.is_empty() {
            fields.wrong("exchange", "is empty, and nothing can be bound to the default exchange; leave the binding out");
        }
        let mut binding = Binding::new(exchange, fields.text("routing_key").unwrap_or_default());
        binding.arguments = fields.arguments("arguments");
        Some(binding)
    };
    fields.tables("bind").into_iter().filter_map(binding).collect()
}

fn check_name(name: &str, fields: &Fields<'_>) {
    if name.len() > 230 {
        fields.wrong_at_all("has a name of more than 230 bytes; AMQP carries 255, and queues around it have longer names");
    }
}

/// Declaring such a binding ends the boot, unless somebody else has declared the exchange.
fn doubt_unknown_exchanges(topology: &Topology, exchanges: Option<&Fields<'_>>, queues: Option<&Fields<'_>>) {
    let is_known = |name: &str| {
        name.is_empty() || name.starts_with("amq.") || topology.exchanges.iter().any(|exchange| exchange.name == name)
    };
    let doubt = |fields: Option<Fields<'_>>, key: &str, exchange: &str| {
        if let Some(fields) = fields.filter(|_| !is_known(exchange)) {
            let known: Vec<&str> = topology.exchanges.iter().map(|exchange| exchange.name.as_str()).collect();
            let near = super::fields::nearest(exchange, known.into_iter());
            let meant = near.map_or("if".to_owned(), |near| format!("did you mean `{near}`? If"));
            fields.doubt(
                key,
                &format!(
                    "names the exchange `{exchange}`, which is not under `exchanges`; {meant} others declare it, say so with \
                     `[exchanges.{exchange}]` and `existing = true`"
                ),
            );
        }
    };
    for exchange in &topology.exchanges {
        let fields = || exchanges.and_then(|fields| fields.table(&exchange.name));
        exchange.bindings.iter().for_each(|binding| doubt(fields(), "bind", &binding.exchange));
    }
    for queue in &topology.queues {
        let fields = || queues.and_then(|fields| fields.table(&queue.name));
        queue.bindings.iter().for_each(|binding| doubt(fields(), "bind", &binding.exchange));
        doubt(fields(), "dead_letter", queue.dead_letter_exchange().unwrap_or_default());
    }
}
