//! An exchange: what is bound to it, and which bindings a routing key meets.

use super::refusal::{inequivalent, unsupported, Refusal};
use crate::message::Table;
use crate::topology::{Binding, Exchange, ExchangeKind};

/// A declared exchange with its bindings.
pub(super) struct Exchanging {
    pub declared: Exchange,
    bindings: Vec<Bound>,
}

struct Bound {
    queue: u64,
    routing_key: String,
    /// The routing key as a topic pattern; empty on other exchanges.
    pattern: Vec<String>,
    arguments: Table,
}

impl Exchanging {
    pub fn new(declared: Exchange) -> Result<Self, Refusal> {
        match &declared.kind {
            ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic => {}
            other => {
                let kind = other.as_str();
                return Err(unsupported(format!("the memory broker does not model exchanges of the type `{kind}`")));
            }
        }
        if let Some(name) = declared.arguments.keys().next() {
            return Err(unsupported(format!("the memory broker does not model the exchange argument `{name}`")));
        }
        Ok(Exchanging { declared, bindings: Vec::new() })
    }

    /// Binding twice is binding once.
    pub fn bind(&mut self, queue: u64, binding: &Binding) {
        if self.place_of(queue, binding).is_some() {
            return;
        }
        let is_topic = self.declared.kind == ExchangeKind::Topic;
        let pattern = if is_topic { words(&binding.routing_key).map(str::to_owned).collect() } else { Vec::new() };
        let (routing_key, arguments) = (binding.routing_key.clone(), binding.arguments.clone());
        self.bindings.push(Bound { queue, routing_key, pattern, arguments });
    }

    /// Says whether there was such a binding.
    pub fn unbind(&mut self, queue: u64, binding: &Binding) -> bool {
        let place = self.place_of(queue, binding);
        if let Some(place) = place {
            self.bindings.remove(place);
        }
        place.is_some()
    }

    /// Says whether the queue had any binding here.
    pub fn unbind_all(&mut self, queue: u64) -> bool {
        let before = self.bindings.len();
        self.bindings.retain(|bound| bound.queue != queue);
        self.bindings.len() < before
    }

    pub fn is_unbound(&self) -> bool {
        self.bindings.is_empty()
    }

    fn place_of(&self, queue: u64, binding: &Binding) -> Option<usize> {
        self.bindings.iter().position(|bound| {
            bound.queue == queue && bound.routing_key == binding.routing_key && bound.arguments == binding.arguments
        })
    }

    /// Adds the queues that the key meets, each once.
    pub fn route(&self, key: &str, targets: &mut Vec<u64>) {
        let is_topic = self.declared.kind == ExchangeKind::Topic;
        let key_words: Vec<&str> = words(key).filter(|_| is_topic).collect();
        let is_met: &dyn Fn(&Bound) -> bool = match self.declared.kind {
            ExchangeKind::Fanout => &|_| true,
            ExchangeKind::Topic => &|bound| matches(&bound.pattern, &key_words),
            _ => &|bound| bound.routing_key == key,
        };
        for bound in &self.bindings {
            if !targets.contains(&bound.queue) && is_met(bound) {
                targets.push(bound.queue);
            }
        }
    }

    /// Refuses a declaration that does not say the same as the one that made the exchange.
    pub fn assert_same(&self, received: &Exchange) -> Result<(), Refusal> {
        let current = &self.declared;
        let whom = format!("exchange '{}' in vhost '/'", current.name);
        let fail = |name: &str, now: &str, was: &str| Err(inequivalent(name, &whom, &format!("'{now}'"), &format!("'{was}'")));
        if received.kind != current.kind {
            return fail("type", received.kind.as_str(), current.kind.as_str());
        }
        for (name, now, was) in [
            ("durable", received.durable, current.durable),
            ("auto_delete", received.auto_delete, current.auto_delete),
            ("internal", received.internal, current.internal),
        ] {
            if now != was {
                return fail(name, &now.to_string(), &was.to_string());
            }
        }
        super::arguments::assert_same_arguments(&whom, &current.arguments, &received.arguments)
    }
}

/// The words of a key; an empty key has none.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

/// Whether a topic pattern meets the words of a key: `*` is one word, `#` any number of them.
///
/// Goes back only to the last `#`, so that no pattern makes it exponential.
fn matches(pattern: &[String], key: &[&str]) -> bool {
    let (mut at, mut word) = (0, 0);
    let mut last_hash: Option<(usize, usize)> = None;
    while word < key.len() {
        match pattern.get(at).map(String::as_str) {
            Some("#") => {
                last_hash = Some((at, word));
                at += 1;
                continue;
            }
            Some(expected) if expected == "*" || expected == key[word] => {
                at += 1;
                word += 1;
                continue;
            }
            _ => {}
        }
        let Some((hash, taken)) = last_hash else { return false };
        last_hash = Some((hash, taken + 1));
        (at, word) = (hash + 1, taken + 1);
    }
    pattern[at..].iter().all(|rest| rest == "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, key: &str, expected: bool) {
        let pattern_words: Vec<String> = words(pattern).map(str::to_owned).collect();
        let key_words: Vec<&str> = words(key).collect();
        assert_eq!(matches(&pattern_words, &key_words), expected, "`{pattern}` and `{key}`");
    }

    #[test]
    fn a_star_is_one_word_and_a_hash_any_number_of_them() {
        check("order.*", "order.paid", true);
        check("order.*", "order", false);
        check("order.*", "order.paid.late", false);
        check("order.#", "order", true);
        check("order.#", "order.paid.late", true);
        check("#", "", true);
        check("", "", true);
        check("*", "", false);
        check("*.b", ".b", true);
        check("#.late", "order.paid.late", true);
        check("#.a.#.b", "x.a.y.a.z.b", true);
        check("#.a.#.b", "x.a.y.a.z.c", false);
        check("a.#.#.b", "a.b", true);
    }
}
