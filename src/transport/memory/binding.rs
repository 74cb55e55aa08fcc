//! A binding: where an exchange sends what meets it, and what that takes.

use super::headers;
use super::refusal::Refusal;
use crate::message::Table;
use crate::topology::{Binding, ExchangeKind};

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Queue(u64),
    Exchange(String),
}

/// A destination bound to an exchange.
pub(super) struct Bound {
    pub destination: Destination,
    routing_key: String,
    /// The routing key as a topic pattern; empty on other exchanges.
    pattern: Vec<String>,
    arguments: Table,
}

impl Bound {
    pub fn new(kind: &ExchangeKind, destination: Destination, binding: &Binding) -> Self {
        let is_topic = *kind == ExchangeKind::Topic;
        let pattern = if is_topic { words(&binding.routing_key).map(str::to_owned).collect() } else { Vec::new() };
        let (routing_key, arguments) = (binding.routing_key.clone(), binding.arguments.clone());
        Bound { destination, routing_key, pattern, arguments }
    }

    /// Whether this is the binding that was asked for: one with another key or other arguments is another.
    pub fn is(&self, destination: &Destination, binding: &Binding) -> bool {
        self.destination == *destination && self.routing_key == binding.routing_key && self.arguments == binding.arguments
    }
}

/// What is compared of a message, as the kind of the exchange has it.
pub(super) enum Compared<'a> {
    Nothing,
    Keys(&'a [&'a str]),
    Words(Vec<Vec<&'a str>>),
    Headers(&'a Table),
}

impl<'a> Compared<'a> {
    pub fn of(kind: &ExchangeKind, keys: &'a [&'a str], headers: &'a Table) -> Self {
        match kind {
            ExchangeKind::Fanout => Compared::Nothing,
            ExchangeKind::Topic => Compared::Words(keys.iter().map(|key| words(key).collect()).collect()),
            ExchangeKind::Headers => Compared::Headers(headers),
            _ => Compared::Keys(keys),
        }
    }

    pub fn meets(&self, bound: &Bound) -> bool {
        match self {
            Compared::Nothing => true,
            Compared::Keys(keys) => keys.contains(&bound.routing_key.as_str()),
            Compared::Words(keys) => keys.iter().any(|key| matches(&bound.pattern, key)),
            Compared::Headers(headers) => headers::meet(headers, &bound.arguments),
        }
    }
}

/// Refuses a binding that an exchange of this kind cannot read.
pub(super) fn check(kind: &ExchangeKind, binding: &Binding) -> Result<(), Refusal> {
    match kind {
        ExchangeKind::Headers => headers::check(&binding.arguments),
        _ => Ok(()),
    }
}

/// Whether a routing key meets a topic pattern.
#[cfg(feature = "cli")]
pub(crate) fn topic_meets(pattern: &str, key: &str) -> bool {
    let pattern: Vec<String> = words(pattern).map(str::to_owned).collect();
    matches(&pattern, &words(key).collect::<Vec<_>>())
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
