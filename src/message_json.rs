//! Messages as JSON: plainly, for whoever reads them, and exactly, for files that are to be read back.

use crate::delivered::Message;
use crate::message::{Properties, Publication, Table, Value};
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use serde_json::{json, Map, Value as Json};

/// How a header's value is written.
pub(crate) type Writing = fn(&Value) -> Json;

/// A value as a reader wants it: numbers as numbers, bytes as base64. What width a number had is not said.
pub(crate) fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => json!(truth),
        Value::Text(text) => json!(text),
        Value::F32(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::Decimal { scale, value } => json!(f64::from(*value) / 10f64.powi((*scale).into())),
        Value::Timestamp(seconds) => json!(seconds),
        Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Table(table) => Json::Object(object(table, plain)),
        whole => json!(whole.as_i64()),
    }
}

/// A value that [`from_exact`] gives back as it was. What JSON has no word for is an object whose one name begins with `$`.
pub(crate) fn exact(value: &Value) -> Json {
    match value {
        Value::I8(number) => json!({ "$i8": number }),
        Value::U8(number) => json!({ "$u8": number }),
        Value::I16(number) => json!({ "$i16": number }),
        Value::U16(number) => json!({ "$u16": number }),
        Value::I32(number) => json!({ "$i32": number }),
        Value::U32(number) => json!({ "$u32": number }),
        // By its bits: neither a NaN nor the last digit gets lost.
        Value::F32(number) => json!({ "$f32": number.to_bits() }),
        Value::F64(number) if !is_read_back(*number) => json!({ "$f64": number.to_bits() }),
        Value::Decimal { scale, value } => json!({ "$decimal": [scale, value] }),
        Value::Timestamp(seconds) => json!({ "$timestamp": seconds }),
        Value::Bytes(bytes) => json!({ "$bytes": STANDARD.encode(bytes) }),
        Value::Array(values) => values.iter().map(exact).collect(),
        Value::Table(table) => match tag_of(table.keys()) {
            None => Json::Object(object(table, exact)),
            Some(_) => json!({ "$table": object(table, exact) }),
        },
        other => plain(other),
    }
}

/// Whether JSON has a word for this number, and a reader gets all of it: ours reads some a last digit off.
fn is_read_back(number: f64) -> bool {
    let read = serde_json::from_str::<f64>(&json!(number).to_string());
    read.is_ok_and(|read| read.to_bits() == number.to_bits())
}

/// The value that [`exact`] has written.
///
/// # Errors
/// When it is not of that writing; the error says what is wrong.
pub(crate) fn from_exact(json: Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::String(text) => Value::Text(text),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::I64(whole),
            None if number.is_f64() => Value::F64(number.as_f64().unwrap_or_default()),
            None => return Err(format!("the number {number} does not fit into 64 bits with a sign")),
        },
        Json::Array(values) => Value::Array(values.into_iter().map(from_exact).collect::<Result<_, _>>()?),
        Json::Object(mut object) => match tag_of(object.keys()).map(str::to_owned) {
            Some(tag) => tagged(&tag, object.remove(&tag).unwrap_or_default())?,
            None => Value::Table(table_from(object)?),
        },
    })
}

/// The one name of an object that is no table but a value with its type.
fn tag_of<'a>(mut names: impl ExactSizeIterator<Item = &'a String>) -> Option<&'a str> {
    if names.len() == 1 {
        names.next().filter(|name| name.starts_with('$')).map(String::as_str)
    } else {
        None
    }
}

fn tagged(tag: &str, json: Json) -> Result<Value, String> {
    fn number<T: TryFrom<i64>>(json: &Json) -> Option<T> {
        json.as_i64().and_then(|number| T::try_from(number).ok())
    }
    let read = match tag {
        "$i8" => number(&json).map(Value::I8),
        "$u8" => number(&json).map(Value::U8),
        "$i16" => number(&json).map(Value::I16),
        "$u16" => number(&json).map(Value::U16),
        "$i32" => number(&json).map(Value::I32),
        "$u32" => number(&json).map(Value::U32),
        "$f32" => number(&json).map(|bits| Value::F32(f32::from_bits(bits))),
        "$f64" => json.as_u64().map(|bits| Value::F64(f64::from_bits(bits))),
        "$timestamp" => json.as_u64().map(Value::Timestamp),
        "$bytes" => json.as_str().and_then(|text| STANDARD.decode(text).ok()).map(Value::Bytes),
        "$decimal" => match json.as_array().map(Vec::as_slice) {
            Some([scale, value]) => number(scale).zip(number(value)).map(|(scale, value)| Value::Decimal { scale, value }),
            _ => None,
        },
        "$table" => match json {
            Json::Object(object) => Some(Value::Table(table_from(object)?)),
            _ => None,
        },
        _ => return Err(format!("`{tag}` is not the name of a type")),
    };
    read.ok_or_else(|| format!("what stands under `{tag}` is not one"))
}

fn object(table: &Table, writing: Writing) -> Map<String, Json> {
    table.iter().map(|(name, value)| (name.clone(), writing(value))).collect()
}

fn table_from(object: Map<String, Json>) -> Result<Table, String> {
    object.into_iter().map(|(name, json)| Ok((name, from_exact(json)?))).collect()
}

/// What the publisher set, by the names of AMQP; headers among them.
pub(crate) fn properties(properties: &Properties, writing: Writing) -> Map<String, Json> {
    let mut map = Map::new();
    for ((name, _), text) in TEXTS.iter().zip(properties.texts()) {
        if let Some(text) = text {
            map.insert((*name).to_owned(), json!(text));
        }
    }
    for (name, number) in [("delivery_mode", properties.delivery_mode), ("priority", properties.priority)] {
        if let Some(number) = number {
            map.insert(name.to_owned(), json!(number));
        }
    }
    if let Some(timestamp) = properties.timestamp {
        map.insert("timestamp".into(), json!(timestamp));
    }
    if let Some(headers) = &properties.headers {
        map.insert("headers".into(), Json::Object(object(headers, writing)));
    }
    map
}

type TextOf = fn(&mut Properties) -> &mut Option<String>;

/// The ten properties that are texts, in the order of [`Properties::texts`].
const TEXTS: [(&str, TextOf); 10] = [
    ("content_type", |it| &mut it.content_type),
    ("content_encoding", |it| &mut it.content_encoding),
    ("correlation_id", |it| &mut it.correlation_id),
    ("reply_to", |it| &mut it.reply_to),
    ("expiration", |it| &mut it.expiration),
    ("message_id", |it| &mut it.message_id),
    ("type", |it| &mut it.kind),
    ("user_id", |it| &mut it.user_id),
    ("app_id", |it| &mut it.app_id),
    ("cluster_id", |it| &mut it.cluster_id),
];

/// The names of those that are texts, in the order of [`Properties::texts`].
pub(crate) fn text_names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

/// The properties that [`properties`] has written exactly.
///
/// # Errors
/// When a name is not a property's, or its value is not of its type.
pub(crate) fn properties_from(map: Map<String, Json>) -> Result<Properties, String> {
    let mut read = Properties::default();
    map.into_iter().try_for_each(|(name, json)| set_property(&mut read, &name, json))?;
    Ok(read)
}

/// This sets one property, by its name in AMQP.
///
/// # Errors
/// As [`properties_from`].
pub(crate) fn set_property(properties: &mut Properties, name: &str, json: Json) -> Result<(), String> {
    let wrong = |wanted: &str| format!("the property `{name}` is not {wanted}");
    let small = || json.as_u64().and_then(|number| u8::try_from(number).ok()).ok_or_else(|| wrong("a number up to 255"));
    match name {
        "delivery_mode" => properties.delivery_mode = Some(small()?),
        "priority" => properties.priority = Some(small()?),
        "timestamp" => properties.timestamp = Some(json.as_u64().ok_or_else(|| wrong("a number of seconds"))?),
        "headers" => match json {
            Json::Object(object) => properties.headers = Some(table_from(object)?),
            _ => return Err(wrong("an object")),
        },
        _ => match TEXTS.iter().find(|(known, _)| *known == name) {
            Some((_, text_of)) => *text_of(properties) = Some(json.as_str().ok_or_else(|| wrong("a text"))?.to_owned()),
            None => return Err(format!("`{name}` is not a property of AMQP")),
        },
    }
    Ok(())
}

/// A body as one field: `body` if it is text, `body_base64` if it is not.
pub(crate) fn body(bytes: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(bytes)),
    }
}

/// A message for whoever handles it or looks at it: where it first came by, which attempt this is, and all the rest plainly.
pub(crate) fn message(message: &Message) -> Json {
    let mut json = json!({
        "queue": message.queue(),
        "exchange": message.exchange(),
        "routing_key": message.routing_key(),
        "redelivered": message.is_redelivered(),
        "attempt": message.attempt(),
        "properties": properties(message.properties(), plain),
    });
    let (name, text) = body(message.body());
    json[name] = Json::String(text);
    json
}

/// A message for a file, exactly as it came from its queue.
pub(crate) fn record(message: &Message) -> Json {
    let mut json = json!({
        "queue": message.queue(),
        "exchange": message.parts.exchange,
        "routing_key": message.parts.routing_key,
        "properties": properties(message.properties(), exact),
    });
    let (name, text) = body(message.body());
    json[name] = Json::String(text);
    json
}

/// The message of a [`record`], on its way to the exchange that it came by.
///
/// # Errors
/// When it is no record; the error says what is wrong with it.
pub(crate) fn publication_from(json: Json) -> Result<Publication, String> {
    let Json::Object(mut object) = json else { return Err("it is not an object".into()) };
    let mut text = |name: &str| match object.remove(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a text")),
    };
    let (exchange, routing_key) = (text("exchange")?.unwrap_or_default(), text("routing_key")?.unwrap_or_default());
    let body = match (text("body")?, text("body_base64")?) {
        (Some(_), Some(_)) => return Err("it has both `body` and `body_base64`".into()),
        (Some(body), None) => body.into_bytes(),
        (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|_| "`body_base64` is not base64".to_owned())?,
        (None, None) => return Err("it has neither `body` nor `body_base64`".into()),
    };
    let properties = match object.remove("properties") {
        None => Properties::default(),
        Some(Json::Object(map)) => properties_from(map)?,
        Some(_) => return Err("`properties` is not an object".into()),
    };
    Ok(Publication::new(exchange, routing_key, body).with(properties))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_kind() -> Table {
        let inner = Table::from([("$i32".into(), Value::Text("a table with this name".into()))]);
        [
            Value::Bool(true),
            Value::I8(-8),
            Value::U8(8),
            Value::I16(-16),
            Value::U16(16),
            Value::I32(-32),
            Value::U32(u32::MAX),
            Value::I64(i64::MIN),
            Value::F32(0.1),
            Value::F64(1.0),
            Value::F64(f64::NEG_INFINITY),
            Value::Decimal { scale: 2, value: 314 },
            Value::Text("ä\n\0".into()),
            Value::Bytes(vec![0, 255]),
            Value::Timestamp(u64::MAX),
            Value::Null,
            Value::Array(vec![Value::I32(1), Value::Table(inner)]),
            Value::Table(Table::new()),
        ]
        .into_iter()
        .enumerate()
        .map(|(place, value)| (format!("h{place}"), value))
        .collect()
    }

    #[test]
    fn what_is_written_exactly_comes_back_as_it_was() {
        let mut properties = Properties::default();
        for (name, text_of) in TEXTS {
            *text_of(&mut properties) = Some(name.to_owned());
        }
        (properties.delivery_mode, properties.priority, properties.timestamp) = (Some(2), Some(255), Some(7));
        properties.headers = Some(every_kind());
        for body in [&b"text"[..], b"\xff\x00", b""] {
            let publication = Publication::new("shop", "order.paid", body).with(properties.clone());
            let text = record(&Message::from_publication(publication.clone())).to_string();
            assert_eq!(publication_from(serde_json::from_str(&text).unwrap()), Ok(publication), "{text}");
        }
    }

    #[test]
    fn no_number_loses_its_last_digit() {
        for _ in 0..100_000 {
            let value = Value::F64(f64::from_bits(fastrand::u64(..)));
            let text = exact(&value).to_string();
            let Ok(Value::F64(read)) = from_exact(serde_json::from_str(&text).unwrap()) else { panic!("{text}") };
            let Value::F64(number) = value else { unreachable!() };
            assert_eq!(read.to_bits(), number.to_bits(), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        let check = |text: &str, expected: &str| {
            assert_eq!(publication_from(serde_json::from_str(text).unwrap()).unwrap_err(), expected);
        };
        check("[]", "it is not an object");
        check("{}", "it has neither `body` nor `body_base64`");
        check(r#"{"body": 1}"#, "`body` is not a text");
        check(r#"{"body_base64": "?"}"#, "`body_base64` is not base64");
        check(r#"{"body": "", "properties": {"contenttype": "x"}}"#, "`contenttype` is not a property of AMQP");
        check(r#"{"body": "", "properties": {"priority": 256}}"#, "the property `priority` is not a number up to 255");
        check(r#"{"body": "", "properties": {"headers": {"n": {"$i8": 200}}}}"#, "what stands under `$i8` is not one");
        check(r#"{"body": "", "properties": {"headers": {"n": {"$x": 1}}}}"#, "`$x` is not the name of a type");
    }

    #[test]
    fn a_reader_gets_numbers_as_numbers_and_bytes_as_base64() {
        let check = |value: Value, expected: Json| assert_eq!(plain(&value), expected);
        check(Value::I32(3), json!(3));
        check(Value::Bytes(vec![1]), json!("AQ=="));
        check(Value::Decimal { scale: 2, value: 275 }, json!(2.75));
        check(Value::F64(f64::NAN), Json::Null);
    }
}
