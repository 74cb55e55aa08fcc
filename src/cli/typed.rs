//! Headers and properties as they are typed on a command line.

use crate::message::{Properties, Value};
use crate::message_json::{from_exact, set_property};
use serde_json::{json, Value as Json};

/// Reads `name=text`, or `name:=5` with a value in JSON.
pub(crate) fn header(text: &str) -> Result<(String, Value), String> {
    let like = "write `name=text`, or `name:=5` for a number and `name:=true` for a truth";
    let (name, value) = text.split_once('=').ok_or_else(|| format!("it has no `=`; {like}"))?;
    let (name, value) = match name.strip_suffix(':') {
        None => (name, Value::Text(value.to_owned())),
        Some(name) => {
            let json = serde_json::from_str(value).map_err(|_| format!("`{value}` is not JSON; {like}"))?;
            (name, narrowed(from_exact(json)?))
        }
    };
    match name.is_empty() {
        true => Err(format!("it has no name; {like}")),
        false => Ok((name.to_owned(), value)),
    }
}

/// A whole number is an int32 if it has room there, which every client reads.
fn narrowed(value: Value) -> Value {
    match value {
        Value::I64(number) => i32::try_from(number).map_or(Value::I64(number), Value::I32),
        other => other,
    }
}

/// One property that was typed: its name and a value that it can have.
#[derive(Clone, Debug)]
pub(crate) struct Property(String, Json);

impl Property {
    pub fn set(&self, properties: &mut Properties) {
        set_property(properties, &self.0, self.1.clone()).expect("it was tried when it was read");
    }
}

/// Reads `name=value`, with a name of AMQP.
pub(crate) fn property(text: &str) -> Result<Property, String> {
    let (name, value) = text.split_once('=').ok_or("it has no `=`; write `name=value`, such as `message_id=o-7`")?;
    let name = name.replace('-', "_");
    if name == "headers" {
        return Err("headers have an option of their own: `--header name=value`".into());
    }
    let is_number = matches!(name.as_str(), "delivery_mode" | "priority" | "timestamp");
    let json = match value.parse::<u64>() {
        Ok(number) if is_number => json!(number),
        _ => json!(value),
    };
    set_property(&mut Properties::default(), &name, json.clone())
        .map(|()| Property(name, json))
        .map_err(|err| format!("{err}; write `name=value`, such as `priority=5`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_type_that_was_typed() {
        let check = |text: &str, name: &str, value: Value| assert_eq!(header(text), Ok((name.into(), value)), "{text}");
        check("a=5", "a", "5".into());
        check("a=", "a", "".into());
        check("a=b=c:=5", "a", "b=c:=5".into());
        check("a:=5", "a", Value::I32(5));
        check("a:=5000000000", "a", Value::I64(5_000_000_000));
        check("a:=-1.5", "a", Value::F64(-1.5));
        check("a:=true", "a", Value::Bool(true));
        check("a:=null", "a", Value::Null);
        check(r#"a:={"$timestamp": 7}"#, "a", Value::Timestamp(7));
        for wrong in ["a", "", "=5", ":=5", "a:=five", "a:="] {
            assert!(header(wrong).unwrap_err().contains("write `name=text`"), "{wrong}");
        }
    }

    #[test]
    fn every_property_of_amqp_can_be_typed() {
        let mut properties = Properties::default();
        let texts = ["content-type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id", "type"];
        for text in texts.into_iter().chain(["user_id", "app_id", "cluster_id"]) {
            property(&format!("{text}=7=8")).unwrap().set(&mut properties);
        }
        for number in ["delivery_mode", "priority", "timestamp"] {
            property(&format!("{number}=7")).unwrap().set(&mut properties);
        }
        assert!(properties.texts().iter().all(|text| text.as_deref() == Some("7=8")), "{properties:?}");
        assert_eq!((properties.delivery_mode, properties.priority, properties.timestamp), (Some(7), Some(7), Some(7)));
        for wrong in ["colour=red", "priority=256", "priority=high", "timestamp=-1", "message_id", "headers=x"] {
            assert!(property(wrong).is_err(), "{wrong}");
        }
    }
}
