//! Headers and arguments between AMQP's values and JSON's.

use bootstep::Value;
use serde_json::json;

/// A value of JSON as a header: whole numbers as 32 bits where they fit, as Python's clients write them.
pub fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        serde_json::Value::Object(items) => {
            Value::Table(items.iter().map(|(name, value)| (name.clone(), from_json(value))).collect())
        }
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Value::I64(whole), Value::I32),
            None => Value::F64(number.as_f64().unwrap_or_default()),
        },
    }
}

/// A header as a value of JSON. What JSON does not have comes close: bytes as text, a timestamp as its seconds.
pub fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(truth) => json!(truth),
        Value::F32(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::Decimal { scale, value } => json!(f64::from(*value) / 10_f64.powi(i32::from(*scale))),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Timestamp(seconds) => json!(seconds),
        Value::Table(items) => items.iter().map(|(name, value)| (name.clone(), to_json(value))).collect(),
        number => number.as_i64().map_or(serde_json::Value::Null, |number| json!(number)),
    }
}
