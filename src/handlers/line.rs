//! A message as one line of JSON, written without a detour: a persistent child gets many in a second.

use crate::delivered::Message;
use crate::message::Properties;
use crate::message_json::{self, plain};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The whole message and a line end, with its number for a program that takes many.
pub(super) fn of(message: &Message, number: Option<u64>) -> Vec<u8> {
    let room = message.body().len() + message.body().len() / 8 + 512;
    let mut line = Vec::with_capacity(room);
    if serde_json::to_writer(&mut line, &Line { message, number }).is_err() {
        // Nothing of a message has no JSON, and memory takes all: this is for the compiler.
        line.clear();
    }
    line.push(b'\n');
    line
}

/// What [`message_json::message`] has, in the order in which a person reads it.
struct Line<'a> {
    message: &'a Message,
    number: Option<u64>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Line { message, number } = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(number) = number {
            map.serialize_entry("number", number)?;
        }
        map.serialize_entry("queue", message.queue())?;
        map.serialize_entry("exchange", message.exchange())?;
        map.serialize_entry("routing_key", message.routing_key())?;
        map.serialize_entry("redelivered", &message.is_redelivered())?;
        map.serialize_entry("attempt", &message.attempt())?;
        map.serialize_entry("properties", &Plain(message.properties()))?;
        match std::str::from_utf8(message.body()) {
            Ok(text) => map.serialize_entry("body", text)?,
            Err(_) => {
                let (name, text) = message_json::body(message.body());
                map.serialize_entry(name, &text)?;
            }
        }
        map.end()
    }
}

struct Plain<'a>(&'a Properties);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let properties = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, text) in message_json::text_names().zip(properties.texts()) {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        for (name, number) in [("delivery_mode", properties.delivery_mode), ("priority", properties.priority)] {
            if let Some(number) = number {
                map.serialize_entry(name, &number)?;
            }
        }
        if let Some(timestamp) = properties.timestamp {
            map.serialize_entry("timestamp", &timestamp)?;
        }
        if let Some(headers) = &properties.headers {
            let headers: serde_json::Map<_, _> = headers.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
            map.serialize_entry("headers", &headers)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Publication, Value};

    #[track_caller]
    fn check(properties: Properties, body: &[u8]) {
        let message = Message::from_publication(Publication::new("shop", "order.\"web\"", body).with(properties));
        let line = of(&message, None);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read, message_json::message(&message));
        let numbered: serde_json::Value = serde_json::from_slice(&of(&message, Some(7))).unwrap();
        assert_eq!(numbered["number"], 7);
    }

    #[test]
    fn a_line_has_what_the_message_has_as_json() {
        let text = |text: &str| Some(text.to_owned());
        let full = Properties {
            content_type: text("a"),
            content_encoding: text("b"),
            headers: Some([("list".into(), Value::Array(vec![1.into(), "x\n".into()]))].into()),
            delivery_mode: Some(2),
            priority: Some(3),
            correlation_id: text("c"),
            reply_to: text("d"),
            expiration: text("e"),
            message_id: text("f"),
            timestamp: Some(u64::MAX),
            kind: text("g"),
            user_id: text("h"),
            app_id: text("i"),
            cluster_id: text("j"),
        };
        check(Properties::default(), b"");
        check(full.clone(), "two\nlines, \"quoted\", \u{0}".as_bytes());
        check(full, b"\xff\x00\n");
    }
}
