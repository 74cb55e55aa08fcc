//! What AMQP cannot carry: found out before it is sent, because a broker answers by closing the connection, and everybody's
//! publishes with it.

use crate::message::{Properties, Publication, Table, Value};

/// The largest frame, as RabbitMQ proposes it unless told otherwise (<https://www.rabbitmq.com/docs/configure>, `frame_max`).
pub(crate) const FRAME_MAX: u32 = 131_072;

/// The largest frame that this end agrees to, and that it believes a peer: anything RabbitMQ is sensibly set to.
pub(crate) const FRAME_LIMIT: u32 = 16 * 1024 * 1024;

/// Tables and arrays in one another, at the most: they are read and written by recursion, on a stack that has an end.
pub(crate) const DEPTH_MAX: usize = 64;

/// Around the properties in their frame: its own eight bytes, class, weight, size of the body, and flags.
const AROUND: usize = 8 + 14;

/// The header by which a returned message is known again.
pub(crate) const PUBLISH_ID: &str = "x-bootstep-publish-id";

/// Its name with its length, its type, and an int64.
const PUBLISH_ID_LENGTH: usize = 1 + PUBLISH_ID.len() + 1 + 8;

/// Why this message cannot be sent in frames of this size, if so: all its headers are in one.
pub(crate) fn obstacle(publication: &Publication, frame_max: u32) -> Option<String> {
    let properties = &publication.properties;
    let named = [
        ("exchange", Some(&publication.exchange)),
        ("routing key", Some(&publication.routing_key)),
        ("content type", properties.content_type.as_ref()),
        ("content encoding", properties.content_encoding.as_ref()),
        ("correlation id", properties.correlation_id.as_ref()),
        ("reply-to", properties.reply_to.as_ref()),
        ("expiration", properties.expiration.as_ref()),
        ("message id", properties.message_id.as_ref()),
        ("type", properties.kind.as_ref()),
        ("user id", properties.user_id.as_ref()),
        ("app id", properties.app_id.as_ref()),
        ("cluster id", properties.cluster_id.as_ref()),
    ];
    if let Some((name, text)) = named.into_iter().find_map(|(name, text)| Some((name, text.filter(|text| text.len() > 255)?))) {
        return Some(format!("its {name} has {} bytes, and AMQP carries 255", text.len()));
    }
    if let Some(what) = properties.headers.as_ref().and_then(|headers| unfit(headers.values(), DEPTH_MAX - 1)) {
        return Some(format!("its headers {what}"));
    }
    if let Some(name) = properties.headers.as_ref().and_then(long_name) {
        return Some(format!("a header's name has {} bytes, and AMQP carries 255", name.len()));
    }
    let length = AROUND + properties_length(properties) + publish_id_length(publication);
    (length > frame_max as usize)
        .then(|| format!("its properties and headers have {length} bytes, and a frame holds {frame_max}"))
}

/// What of these values cannot be sent, if they may have so many more levels of tables and arrays within them.
fn unfit<'a>(mut values: impl Iterator<Item = &'a Value>, levels: usize) -> Option<String> {
    values.find_map(|value| match value {
        Value::Table(_) | Value::Array(_) if levels == 0 => Some(format!("are nested more than {DEPTH_MAX} deep")),
        Value::Table(table) => unfit(table.values(), levels - 1),
        Value::Array(values) => unfit(values.iter(), levels - 1),
        // RabbitMQ has no such numbers, and closes the connection over them.
        Value::F32(number) if !number.is_finite() => Some(format!("hold {number}, which is not a finite number")),
        Value::F64(number) if !number.is_finite() => Some(format!("hold {number}, which is not a finite number")),
        _ => None,
    })
}

/// Whether a name is one that AMQP can carry.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    match name.len() {
        0..=255 => Ok(()),
        length => Err(format!("the name of the {what} has {length} bytes, and AMQP carries 255")),
    }
}

/// The first name in the table, or in one inside it, that is too long.
pub(crate) fn long_name(table: &Table) -> Option<&String> {
    table.iter().find_map(|(name, value)| if name.len() > 255 { Some(name) } else { long_name_within(value) })
}

fn long_name_within(value: &Value) -> Option<&String> {
    match value {
        Value::Table(table) => long_name(table),
        Value::Array(values) => values.iter().find_map(long_name_within),
        _ => None,
    }
}

fn properties_length(properties: &Properties) -> usize {
    let texts: usize = properties.texts().into_iter().flatten().map(|text| 1 + text.len()).sum();
    let headers = properties.headers.as_ref().map_or(0, table_length);
    let bytes = usize::from(properties.delivery_mode.is_some()) + usize::from(properties.priority.is_some());
    texts + headers + bytes + if properties.timestamp.is_some() { 8 } else { 0 }
}

/// What a mandatory message gets on its way, so that it is known again when it is returned.
fn publish_id_length(publication: &Publication) -> usize {
    match (publication.mandatory, &publication.properties.headers) {
        (false, _) => 0,
        (true, Some(_)) => PUBLISH_ID_LENGTH,
        (true, None) => 4 + PUBLISH_ID_LENGTH,
    }
}

fn table_length(table: &Table) -> usize {
    4 + table.iter().map(|(name, value)| 1 + name.len() + 1 + value_length(value)).sum::<usize>()
}

fn value_length(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) | Value::I8(_) | Value::U8(_) => 1,
        Value::I16(_) | Value::U16(_) => 2,
        Value::I32(_) | Value::U32(_) | Value::F32(_) => 4,
        Value::Decimal { .. } => 5,
        Value::I64(_) | Value::F64(_) | Value::Timestamp(_) => 8,
        Value::Text(text) => 4 + text.len(),
        Value::Bytes(bytes) => 4 + bytes.len(),
        Value::Array(values) => 4 + values.iter().map(|value| 1 + value_length(value)).sum::<usize>(),
        Value::Table(table) => table_length(table),
    }
}
