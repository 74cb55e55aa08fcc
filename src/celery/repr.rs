//! Values as Python's `repr` writes them: Celery sends them along for people to read in monitors.

use serde_json::{Map, Number, Value};

/// Celery cuts off what is longer.
const LONGEST_CHARS: usize = 1024;

/// Positional arguments, as a tuple.
pub(super) fn of_tuple(values: &[Value]) -> String {
    cut(match values {
        [one] => format!("({},)", of(one)),
        values => format!("({})", joined(values.iter().map(of))),
    })
}

/// Keyword arguments, as a dict.
pub(super) fn of_dict(entries: &Map<String, Value>) -> String {
    cut(dict(entries))
}

fn of(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => of_number(number),
        Value::String(text) => of_text(text),
        Value::Array(values) => format!("[{}]", joined(values.iter().map(of))),
        Value::Object(entries) => dict(entries),
    }
}

fn dict(entries: &Map<String, Value>) -> String {
    format!("{{{}}}", joined(entries.iter().map(|(name, value)| format!("{}: {}", of_text(name), of(value)))))
}

/// `1e16` is `1e+16` there, and what is smaller has all its digits.
fn of_number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let exponential = format!("{float:e}");
    let (digits, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        exponent @ -4..=15 if exponent >= 0 || float != 0.0 => format!("{float:?}"),
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

fn of_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut repr = String::from(quote);
    for char in text.chars() {
        match char {
            '\\' => repr.push_str("\\\\"),
            '\n' => repr.push_str("\\n"),
            '\r' => repr.push_str("\\r"),
            '\t' => repr.push_str("\\t"),
            char if char == quote => repr.extend(['\\', quote]),
            char if char.is_control() => repr.push_str(&format!("\\x{:02x}", u32::from(char))),
            char => repr.push(char),
        }
    }
    repr.push(quote);
    repr
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn cut(repr: String) -> String {
    match repr.char_indices().nth(LONGEST_CHARS) {
        None => repr,
        Some((end, _)) => format!("{}...", &repr[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_python_writes_them() {
        #[track_caller]
        fn check(value: Value, expected: &str) {
            assert_eq!(of(&value), expected);
        }
        check(json!([null, true, false]), "[None, True, False]");
        check(json!([1, -7, u64::MAX]), "[1, -7, 18446744073709551615]");
        check(json!([1.0, 0.5, -0.0, 1e15, 1e16, 1.5e300]), "[1.0, 0.5, -0.0, 1000000000000000.0, 1e+16, 1.5e+300]");
        check(json!([0.0001, 0.00001, 1.25e-7, 1e-300]), "[0.0001, 1e-05, 1.25e-07, 1e-300]");
        check(json!(["it's", "\"", "'\"", "a\\b\n\u{7f}é"]), r#"["it's", '"', '\'"', 'a\\b\n\x7fé']"#);
        check(json!({"a": {"b": []}}), "{'a': {'b': []}}");
        assert_eq!(of_tuple(&[]), "()");
        assert_eq!(of_tuple(&[json!("x")]), "('x',)");
        assert_eq!(of_tuple(&[json!(1), json!(2)]), "(1, 2)");
        assert_eq!(of_tuple(&[json!("ä".repeat(5_000))]).chars().count(), LONGEST_CHARS + 3);
    }
}
