//! A body as kombu hands it to a handler: JSON where the content type says so, text or bytes where there is none.

use bootstep::{Decode, DecodeError, Json, Message, Publication};
use serde::de::value::{BytesDeserializer, Error as ValueError, StrDeserializer};
use serde::de::DeserializeOwned;

/// A body by kombu's rules, which go by the content type alone, letter for letter:
///
/// | content type | what the handler gets |
/// |---|---|
/// | `application/json` | the JSON value; an empty body is an empty text |
/// | none, `application/data`, `application/text` | text, not parsed; with the content encoding `binary`, bytes |
/// | any other | nothing: the message is archived |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T>(pub T);

impl<T: DeserializeOwned> Decode for Decoded<T> {
    fn decode(message: &Message) -> Result<Self, DecodeError> {
        let properties = message.properties();
        let encoding = properties.content_encoding.as_deref().unwrap_or("utf-8").to_ascii_lowercase();
        match properties.content_type.as_deref().unwrap_or_default() {
            "application/json" if message.body().is_empty() => text(""),
            "application/json" if encoding == "utf-8" => Json::decode(message).map(|Json(value)| value),
            "application/json" => Json::decode(&without_encoding(message)).map(|Json(value)| value),
            "" | "application/data" | "application/text" => match encoding.as_str() {
                "binary" | "ascii-8bit" => wanted(T::deserialize(BytesDeserializer::<ValueError>::new(message.body()))),
                "" | "utf-8" | "utf8" | "us-ascii" | "ascii" => String::decode(message).and_then(|body| text(&body)),
                other => Err(DecodeError::new(format!("the content encoding `{other}` is not known"))),
            },
            other => Err(DecodeError::new(format!(
                "the content type `{other}` is not accepted here; accepted is `application/json`, or none"
            ))),
        }
        .map(Decoded)
    }
}

fn text<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    wanted(T::deserialize(StrDeserializer::<ValueError>::new(text)))
}

/// What serde says may quote the body, which no reason must.
fn wanted<T>(decoded: Result<T, ValueError>) -> Result<T, DecodeError> {
    decoded.map_err(|_| DecodeError::new("the body is text or bytes, and the handler wants another kind of value"))
}

/// JSON says itself how it is encoded, and kombu reads it so.
fn without_encoding(message: &Message) -> Message {
    let mut properties = message.properties().clone();
    properties.content_encoding = None;
    Message::from_publication(Publication::new("", message.queue(), message.body()).with(properties))
}
