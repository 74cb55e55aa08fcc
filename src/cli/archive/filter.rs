//! Which of a queue's messages are meant: as it is typed, and as it is matched.

use super::past::Past;
use crate::cli::failure::Failure;
use crate::delivered::Message;
use crate::message::Value;
use crate::message_json::plain;
use crate::transport::memory::topic_meets;
use serde_json::Value as Json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Filters, as they are typed; a message has to meet all of them.
#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Filters: all that are given must be met")]
pub(crate) struct Filter {
    /// First failed longer ago than this, such as 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse)]
    older_than: Option<Duration>,
    /// First failed within this time
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse)]
    newer_than: Option<Duration>,
    /// The reason has this in it, in small letters or capitals
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The reason is of this sort: an id that `archive group` tells
    #[arg(long, value_name = "ID")]
    fingerprint: Option<String>,
    /// Has this header, with this value if one is given; may be given again
    #[arg(long, value_name = "NAME[=VALUE]")]
    header: Vec<String>,
    /// The routing key that it first came by; `*` stands for one word, `#` for any number of them
    #[arg(long, value_name = "PATTERN")]
    routing_key: Option<String>,
    /// The exchange that it first came by; '' is the default exchange
    #[arg(long, value_name = "NAME")]
    exchange: Option<String>,
    /// The property `message_id`
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// The JSON body has this value at this JSON pointer, such as /order/id=4711; may be given again
    #[arg(long, value_name = "POINTER=VALUE")]
    body: Vec<String>,
    /// No more than so many messages, the oldest of those that are meant
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Filter {
    /// This finds what cannot be meant before any message is looked at.
    ///
    /// # Errors
    /// Exit code 2, with what to write instead.
    pub fn prepare(&self) -> Result<Matcher, Failure> {
        let fingerprint = self.fingerprint.as_deref().map(read_fingerprint).transpose()?;
        let headers = self.header.iter().map(|text| read_header(text)).collect::<Result<_, _>>()?;
        let body = self.body.iter().map(|text| read_pointer(text)).collect::<Result<_, _>>()?;
        if let (Some(older), Some(newer)) = (self.older_than, self.newer_than) {
            if older >= newer {
                return Err(Failure::usage(
                    "nothing is older than `--older-than` and newer than `--newer-than`: exchange the times",
                ));
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let reason = self.reason.as_ref().map(|reason| reason.to_lowercase());
        Ok(Matcher { typed: Filter { reason, ..self.clone() }, fingerprint, headers, body, now })
    }

    /// How many messages are meant at the most.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }
}

/// Filters that can be met.
pub(crate) struct Matcher {
    typed: Filter,
    fingerprint: Option<String>,
    headers: Vec<(String, Option<String>)>,
    body: Vec<(String, String)>,
    now: u64,
}

impl Matcher {
    /// Whether a message meets all filters.
    pub fn matches(&self, message: &Message) -> bool {
        let past = Past::of(message);
        self.meets_past(&past)
            && self.headers.iter().all(|(name, value)| has_header(message, name, value.as_deref()))
            && self.typed.message_id.as_ref().is_none_or(|id| message.properties().message_id.as_ref() == Some(id))
            && self.meets_body(message)
    }

    /// Whether every message meets them.
    pub fn is_empty(&self) -> bool {
        let Filter { older_than, newer_than, reason, fingerprint, header, routing_key, exchange, message_id, body, limit: _ } =
            &self.typed;
        older_than.is_none()
            && newer_than.is_none()
            && [reason, fingerprint, routing_key, exchange, message_id].iter().all(|it| it.is_none())
            && header.is_empty()
            && body.is_empty()
    }

    /// Seconds since 1970 that ages count from, the same for all messages.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Whether it is asked for an age that this message has none of: neither a failure nor a time of making is known.
    pub fn is_without_age(&self, message: &Message) -> bool {
        (self.typed.older_than.is_some() || self.typed.newer_than.is_some()) && Past::of(message).since.is_none()
    }

    fn meets_past(&self, past: &Past<'_>) -> bool {
        let typed = &self.typed;
        let age = past.age(self.now);
        typed.older_than.is_none_or(|least| age.is_some_and(|age| age >= least.as_secs()))
            && typed.newer_than.is_none_or(|most| age.is_some_and(|age| age <= most.as_secs()))
            && typed.exchange.as_ref().is_none_or(|exchange| past.exchange == exchange)
            && typed.routing_key.as_ref().is_none_or(|pattern| topic_meets(pattern, past.routing_key))
            && typed.reason.as_ref().is_none_or(|text| past.reason.to_lowercase().contains(text))
            && self.fingerprint.as_ref().is_none_or(|id| past.fingerprint().id == *id)
    }

    fn meets_body(&self, message: &Message) -> bool {
        if self.body.is_empty() {
            return true;
        }
        let Ok(body) = serde_json::from_slice::<Json>(message.body()) else { return false };
        self.body.iter().all(|(pointer, value)| body.pointer(pointer).is_some_and(|found| is_json(found, value)))
    }
}

fn read_fingerprint(id: &str) -> Result<String, Failure> {
    let is_one = id.len() == 8 && id.chars().all(|it| it.is_ascii_hexdigit());
    is_one.then(|| id.to_ascii_lowercase()).ok_or_else(|| {
        Failure::usage(format!("`{id}` is not a fingerprint: those are eight hexadecimal digits; `archive group` tells them"))
    })
}

fn read_header(text: &str) -> Result<(String, Option<String>), Failure> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
    match name.is_empty() {
        true => {
            Err(Failure::usage(format!("`--header {text}` names no header: write `--header NAME` or `--header NAME=VALUE`")))
        }
        false => Ok((name.to_owned(), value)),
    }
}

fn read_pointer(text: &str) -> Result<(String, String), Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("`--body {text}` {why}: write a JSON pointer and a value, such as `/order/id=4711`"))
    };
    let (pointer, value) = text.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(wrong("does not begin with `/`"));
    }
    // RFC 6901: `~0` is a `~`, `~1` a `/`, and there is no other.
    if pointer.split('~').skip(1).any(|behind| !behind.starts_with(['0', '1'])) {
        return Err(wrong("has a `~` without `0` or `1` behind it"));
    }
    Ok((pointer.to_owned(), value.to_owned()))
}

fn has_header(message: &Message, name: &str, value: Option<&str>) -> bool {
    match (message.header(name), value) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(Value::Text(text)), Some(value)) => text == value,
        (Some(found), Some(value)) => is_json(&plain(found), value),
    }
}

/// Whether this is the value that was typed: a text as it is, all else as JSON writes it.
fn is_json(found: &Json, typed: &str) -> bool {
    match found {
        Json::String(text) => text == typed || serde_json::from_str::<String>(typed).is_ok_and(|typed| typed == *text),
        other => serde_json::from_str::<Json>(typed).is_ok_and(|typed| typed == *other),
    }
}

#[cfg(test)]
mod tests;
