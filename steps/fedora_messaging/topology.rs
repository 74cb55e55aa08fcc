//! The exchanges, queues and bindings of fedora-messaging's configuration.

use bootstep::steps::fedora_messaging::Fields;
use bootstep::{Binding, Exchange, ExchangeKind, Queue};

/// Every queue has to say these.
const OF_A_QUEUE: [&str; 4] = ["durable", "auto_delete", "exclusive", "arguments"];

/// The exchanges that the file names, or the default ones.
pub fn exchanges_in(fields: &Fields<'_>, passive: bool) -> Vec<Exchange> {
    let Some(table) = fields.table("exchanges") else { return vec![Exchange::existing("amq.topic")] };
    table.entries().into_iter().map(|(name, fields)| exchange(name, &fields, passive)).collect()
}

fn exchange(name: &str, fields: &Fields<'_>, passive: bool) -> Exchange {
    fields.rather(&["type", "durable", "auto_delete", "arguments", "passive"]);
    let kind = match fields.text("type").as_deref() {
        None | Some("direct") => ExchangeKind::Direct,
        Some("topic") => ExchangeKind::Topic,
        Some("fanout") => ExchangeKind::Fanout,
        Some("headers") => ExchangeKind::Headers,
        Some(other) => ExchangeKind::Other(other.into()),
    };
    let mut exchange = Exchange::new(name, kind);
    exchange.durable = fields.truth("durable").unwrap_or(false);
    exchange.auto_delete = fields.truth("auto_delete").unwrap_or(false);
    exchange.arguments = fields.arguments("arguments");
    // Those that the broker brings are there, and to declare them wants a permission that nobody needs to bind to them.
    exchange.passive = fields.truth("passive").unwrap_or(passive) || name.starts_with("amq.");
    exchange
}

/// The queues that the file names, or the default one, with their bindings.
pub fn queues_in(fields: &Fields<'_>, passive: bool) -> Vec<Queue> {
    let mut queues: Vec<Queue> = match fields.table("queues") {
        None => vec![Queue::new("").transient().auto_delete().exclusive()],
        Some(table) => table.entries().into_iter().map(|(name, fields)| queue(name, &fields, passive)).collect(),
    };
    if queues.is_empty() {
        fields.wrong("queues", "is empty: there is nothing to consume");
    }
    if !fields.raw().contains_key("bindings") {
        let unnamed = queues.iter_mut().filter(|queue| queue.name.is_empty());
        unnamed.for_each(|queue| queue.bindings.push(Binding::new("amq.topic", "#")));
    }
    for (queue, bound) in bindings(fields) {
        match queues.iter_mut().find(|other| other.name == queue) {
            Some(queue) => queue.bindings.extend(bound),
            // As in Python, where such a binding is never made.
            None => {
                log::warn!("a binding in `bindings` is of the queue `{queue}`, which is not among `queues`: it does nothing")
            }
        }
    }
    queues
}

fn queue(name: &str, fields: &Fields<'_>, passive: bool) -> Queue {
    fields.only(&[OF_A_QUEUE.as_slice(), &["passive"]].concat());
    fields.needs(&OF_A_QUEUE);
    let mut queue = Queue::new(name);
    queue.durable = fields.truth("durable").unwrap_or(true);
    queue.auto_delete = fields.truth("auto_delete").unwrap_or(false);
    queue.exclusive = fields.truth("exclusive").unwrap_or(false);
    queue.arguments = fields.arguments("arguments");
    // What the broker is yet to name cannot be checked for.
    queue.passive = fields.truth("passive").unwrap_or(passive) && !name.is_empty();
    queue
}

/// The bindings by queue, one for each routing key; without a queue they are of the one that the broker names.
fn bindings(fields: &Fields<'_>) -> Vec<(String, Vec<Binding>)> {
    fields.tables("bindings").unwrap_or_default().iter().map(bound).collect()
}

fn bound(fields: &Fields<'_>) -> (String, Vec<Binding>) {
    fields.only(&["queue", "exchange", "routing_keys", "arguments"]);
    fields.needs(&["exchange", "routing_keys"]);
    let exchange = fields.text("exchange").unwrap_or_default();
    let arguments = fields.arguments("arguments");
    let binding = |key: String| {
        let mut binding = Binding::new(exchange.as_str(), key);
        binding.arguments = arguments.clone();
        binding
    };
    let keys = fields.texts("routing_keys").unwrap_or_default();
    (fields.text("queue").unwrap_or_default(), keys.into_iter().map(binding).collect())
}
