//! Our values, properties and publications to amiquip's, and back; nothing is lost either way.

use crate::message::{Parts, Properties, Table, Value};
use amiquip::{AmqpProperties, AmqpValue, Delivery, FieldTable};
use bytes::Bytes;

/// Takes the contents out of a delivery; the empty shell is still needed to settle it.
pub(super) fn parts_of(delivery: &mut Delivery) -> Parts {
    Parts {
        exchange: std::mem::take(&mut delivery.exchange),
        routing_key: std::mem::take(&mut delivery.routing_key),
        properties: properties_from(&std::mem::take(&mut delivery.properties)),
        body: Bytes::from(std::mem::take(&mut delivery.body)),
    }
}

pub(super) fn properties_from(theirs: &AmqpProperties) -> Properties {
    Properties {
        content_type: theirs.content_type().clone(),
        content_encoding: theirs.content_encoding().clone(),
        headers: theirs.headers().as_ref().map(table_from),
        delivery_mode: *theirs.delivery_mode(),
        priority: *theirs.priority(),
        correlation_id: theirs.correlation_id().clone(),
        reply_to: theirs.reply_to().clone(),
        expiration: theirs.expiration().clone(),
        message_id: theirs.message_id().clone(),
        timestamp: *theirs.timestamp(),
        kind: theirs.type_().clone(),
        user_id: theirs.user_id().clone(),
        app_id: theirs.app_id().clone(),
        cluster_id: theirs.cluster_id().clone(),
    }
}

pub(super) fn properties_to(ours: &Properties) -> AmqpProperties {
    let mut theirs = AmqpProperties::default();
    macro_rules! carry {
        ($($field:ident => $with:ident),* $(,)?) => {
            $(if let Some(value) = &ours.$field {
                theirs = theirs.$with(value.clone());
            })*
        };
    }
    carry!(
        content_type => with_content_type, content_encoding => with_content_encoding, delivery_mode => with_delivery_mode,
        priority => with_priority, correlation_id => with_correlation_id, reply_to => with_reply_to,
        expiration => with_expiration, message_id => with_message_id, timestamp => with_timestamp, kind => with_type_,
        user_id => with_user_id, app_id => with_app_id, cluster_id => with_cluster_id,
    );
    match &ours.headers {
        Some(headers) => theirs.with_headers(table_to(headers)),
        None => theirs,
    }
}

pub(super) fn table_from(theirs: &FieldTable) -> Table {
    theirs.iter().map(|(name, value)| (name.clone(), value_from(value))).collect()
}

pub(super) fn table_to(ours: &Table) -> FieldTable {
    ours.iter().map(|(name, value)| (name.clone(), value_to(value))).collect()
}

fn value_from(theirs: &AmqpValue) -> Value {
    match theirs {
        AmqpValue::Boolean(truth) => Value::Bool(*truth),
        AmqpValue::ShortShortInt(number) => Value::I8(*number),
        AmqpValue::ShortShortUInt(number) => Value::U8(*number),
        AmqpValue::ShortInt(number) => Value::I16(*number),
        AmqpValue::ShortUInt(number) => Value::U16(*number),
        AmqpValue::LongInt(number) => Value::I32(*number),
        AmqpValue::LongUInt(number) => Value::U32(*number),
        AmqpValue::LongLongInt(number) => Value::I64(*number),
        AmqpValue::Float(number) => Value::F32(*number),
        AmqpValue::Double(number) => Value::F64(*number),
        AmqpValue::DecimalValue(number) => Value::Decimal { scale: number.scale, value: number.value },
        AmqpValue::LongString(text) => Value::Text(text.clone()),
        AmqpValue::FieldArray(values) => Value::Array(values.iter().map(value_from).collect()),
        AmqpValue::Timestamp(seconds) => Value::Timestamp(*seconds),
        AmqpValue::FieldTable(table) => Value::Table(table_from(table)),
        AmqpValue::ByteArray(bytes) => Value::Bytes(bytes.clone()),
        AmqpValue::Void => Value::Null,
    }
}

fn value_to(ours: &Value) -> AmqpValue {
    match ours {
        Value::Bool(truth) => AmqpValue::Boolean(*truth),
        Value::I8(number) => AmqpValue::ShortShortInt(*number),
        Value::U8(number) => AmqpValue::ShortShortUInt(*number),
        Value::I16(number) => AmqpValue::ShortInt(*number),
        Value::U16(number) => AmqpValue::ShortUInt(*number),
        Value::I32(number) => AmqpValue::LongInt(*number),
        Value::U32(number) => AmqpValue::LongUInt(*number),
        Value::I64(number) => AmqpValue::LongLongInt(*number),
        Value::F32(number) => AmqpValue::Float(*number),
        Value::F64(number) => AmqpValue::Double(*number),
        Value::Decimal { scale, value } => decimal(*scale, *value),
        Value::Text(text) => AmqpValue::LongString(text.clone()),
        Value::Bytes(bytes) => AmqpValue::ByteArray(bytes.clone()),
        Value::Array(values) => AmqpValue::FieldArray(values.iter().map(value_to).collect()),
        Value::Timestamp(seconds) => AmqpValue::Timestamp(*seconds),
        Value::Table(table) => AmqpValue::FieldTable(table_to(table)),
        Value::Null => AmqpValue::Void,
    }
}

/// amiquip does not export its decimal type, but its value type is made by serde like any other.
fn decimal(scale: u8, value: u32) -> AmqpValue {
    let json = serde_json::json!({ "DecimalValue": { "scale": scale, "value": value } });
    serde_json::from_value(json).unwrap_or(AmqpValue::Void)
}
