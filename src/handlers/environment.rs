//! A message as environment variables: only what every system can hand to a program, and no more than it takes.

use crate::delivered::Message;
use crate::message::Value;
use crate::message_json;
use std::collections::BTreeMap;
use std::process::Command;

/// Longer values are left out: Linux takes 128 KiB in one string, and other systems less.
const LONGEST_BYTES: usize = 32 * 1024;

/// All variables together: far below the least that a system grants (256 KiB for these, the arguments and the rest).
const MOST_BYTES: usize = 128 * 1024;

/// What one variable takes beside its characters: `=`, NUL, and a pointer.
const EACH_BYTES: usize = 10;

/// Set for each message, so never inherited from a worker around this one.
const OWN: [&str; 14] = [
    "MESSAGE_QUEUE",
    "MESSAGE_EXCHANGE",
    "MESSAGE_ROUTING_KEY",
    "MESSAGE_ATTEMPT",
    "MESSAGE_REDELIVERED",
    "MESSAGE_CONTENT_TYPE",
    "MESSAGE_CONTENT_ENCODING",
    "MESSAGE_CORRELATION_ID",
    "MESSAGE_REPLY_TO",
    "MESSAGE_ID",
    "MESSAGE_TIMESTAMP",
    "MESSAGE_TYPE",
    "MESSAGE_APP_ID",
    "MESSAGE_PRIORITY",
];

const HEADER: &str = "MESSAGE_HEADER_";

/// Takes out what a program is not to see: what may hold the broker's password, and another message's variables.
pub(super) fn withhold(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_secret = text == "AMQP_URL" || text.starts_with("BOOTSTEP_");
        if is_secret || text.starts_with(HEADER) || OWN.contains(&text.as_ref()) {
            command.env_remove(name);
        }
    }
}

/// Names and values.
pub(super) type Variables = BTreeMap<String, String>;

/// The variables that tell of a message.
pub(super) fn of(message: &Message) -> Variables {
    let properties = message.properties();
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let values = [
        Some(message.queue().to_owned()),
        Some(message.exchange().to_owned()),
        Some(message.routing_key().to_owned()),
        Some(message.attempt().to_string()),
        Some(message.is_redelivered().to_string()),
        properties.content_type.clone(),
        properties.content_encoding.clone(),
        properties.correlation_id.clone(),
        properties.reply_to.clone(),
        properties.message_id.clone(),
        number(properties.timestamp),
        properties.kind.clone(),
        properties.app_id.clone(),
        number(properties.priority.map(u64::from)),
    ];
    let own = OWN.into_iter().zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let headers = message.headers().into_iter().flatten().map(|(name, value)| (variable(name), text(value)));
    fitting(own.chain(headers))
}

fn variable(header: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' };
    HEADER.chars().chain(header.chars().map(plain)).collect()
}

fn text(value: &Value) -> String {
    match message_json::plain(value) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn fitting(all: impl Iterator<Item = (String, String)>) -> Variables {
    let (mut taken, mut bytes) = (Variables::new(), 0);
    for (name, value) in all {
        let more = name.len() + value.len() + EACH_BYTES;
        let is_possible = !value.contains('\0') && more <= LONGEST_BYTES;
        // Two headers can come out as one name: the first one counts, so that a later one cannot take its place.
        if is_possible && bytes + more <= MOST_BYTES && !taken.contains_key(&name) {
            bytes += more;
            taken.insert(name, value);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Properties, Publication, Table};

    fn of_headers(headers: &[(&str, Value)]) -> Vec<(String, String)> {
        let headers: Table = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let properties = Properties { headers: Some(headers), ..Properties::default() };
        let variables = of(&Message::from_publication(Publication::new("", "q", "").with(properties)));
        variables.into_iter().filter(|(name, _)| name.starts_with(HEADER)).collect()
    }

    fn check(name: &str, value: impl Into<Value>, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(of_headers(&[(name, value.into())]), expected, "{name}");
    }

    #[test]
    fn a_header_is_a_variable_that_any_program_can_read() {
        check("x-trace.id", "7", &[("MESSAGE_HEADER_X_TRACE_ID", "7")]);
        check("größe=", 3, &[("MESSAGE_HEADER_GR__E_", "3")]);
        check("list", Value::Array(vec![1.into(), "a".into()]), &[("MESSAGE_HEADER_LIST", "[1,\"a\"]")]);
        check("nul", "a\0b", &[]);
        check("long", "x".repeat(LONGEST_BYTES), &[]);
        assert_eq!(of_headers(&[("a-b", 1.into()), ("a_b", 2.into())]), [("MESSAGE_HEADER_A_B".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn all_variables_together_are_bounded() {
        let headers: Vec<_> = (0..20_000).map(|number| format!("h{number}")).collect();
        let headers: Vec<_> = headers.iter().map(|name| (name.as_str(), Value::from("x".repeat(20)))).collect();
        let bytes: usize = of_headers(&headers).iter().map(|(name, value)| name.len() + value.len() + EACH_BYTES).sum();
        assert!((MOST_BYTES / 2..=MOST_BYTES).contains(&bytes), "{bytes}");
    }
}
