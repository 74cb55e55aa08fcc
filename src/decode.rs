//! From bytes to what a handler wants: `Json<T>`, `String`, `Vec<u8>`; what cannot be decoded goes to the dead letters.

use crate::delivered::Message;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Why a message is not for this handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

impl DecodeError {
    /// This is an error with the given reason, in lower case.
    pub fn new(reason: impl Into<String>) -> Self {
        DecodeError(reason.into())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

/// What a handler can take as its body. It borrows the message, because a retry needs the bytes.
pub trait Decode: Sized {
    /// This reads the body.
    ///
    /// # Errors
    /// When the bytes are not what the handler wants; the message then goes to the dead letters as it came.
    fn decode(message: &Message) -> Result<Self, DecodeError>;
}

/// A JSON body; dereferences to what it holds. An empty body is an error, and so is anything after the value.
///
/// ```
/// use bootstep::{Decode, Json, Message, Publication};
///
/// let message = Message::from_publication(Publication::new("", "numbers", "[1, 2, 3]"));
/// let numbers = Json::<Vec<u32>>::decode(&message)?;
/// assert_eq!(numbers.iter().sum::<u32>(), 6);
/// # Ok::<(), bootstep::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: DeserializeOwned> Decode for Json<T> {
    fn decode(message: &Message) -> Result<Self, DecodeError> {
        check_encoding(message)?;
        let body = message.body();
        // One check of the whole costs less than one of each string in it; what is no text gets the error that names the place.
        let decoded = std::str::from_utf8(body).map_or_else(|_| serde_json::from_slice(body), serde_json::from_str);
        decoded.map(Json).map_err(|err| DecodeError(format!("the body is not the JSON that is wanted: {}", without_body(&err))))
    }
}

/// What serde_json says, without the pieces of the body that it quotes: the reason is logged, a body never is.
pub(crate) fn without_body(err: &serde_json::Error) -> String {
    let text = err.to_string();
    // A value that is read already has no lines.
    let place = if err.line() == 0 { String::new() } else { format!(", at line {} column {}", err.line(), err.column()) };
    if !err.is_data() || text.starts_with("missing field `") {
        return text;
    }
    let kind = text.split([':', '`']).next().unwrap_or_default().trim();
    match (kind, text.rsplit_once(", expected ")) {
        ("invalid type" | "invalid value" | "invalid length" | "unknown field" | "unknown variant", Some((_, wanted))) => {
            format!("{kind}, expected {wanted}")
        }
        _ => format!("a value of another kind{place}"),
    }
}

/// A body that is text in UTF-8.
impl Decode for String {
    fn decode(message: &Message) -> Result<Self, DecodeError> {
        check_encoding(message)?;
        let text = std::str::from_utf8(message.body());
        text.map(str::to_owned).map_err(|err| DecodeError(format!("the body is not UTF-8: {err}")))
    }
}

/// The bytes as they are, in whatever encoding they are.
impl Decode for Vec<u8> {
    fn decode(message: &Message) -> Result<Self, DecodeError> {
        Ok(message.body().to_vec())
    }
}

/// No body at all: the handler reads what it wants from the message.
impl Decode for () {
    fn decode(_message: &Message) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// Text is read as UTF-8 and nothing else: another encoding, or a compressed body, is refused rather than misread.
fn check_encoding(message: &Message) -> Result<(), DecodeError> {
    let known = |name: &str| {
        let names = ["", "utf-8", "utf8", "us-ascii", "ascii", "identity"];
        names.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let properties = message.properties();
    if let Some(encoding) = properties.content_encoding.as_deref().filter(|encoding| !known(encoding)) {
        return Err(DecodeError(format!("the content encoding `{encoding}` is not known")));
    }
    match properties.content_type.as_deref().and_then(charset).filter(|charset| !known(charset)) {
        Some(charset) => Err(DecodeError(format!("the charset `{charset}` is not known"))),
        None => Ok(()),
    }
}

/// The `charset` parameter of a media type (RFC 9110, section 8.3.1).
fn charset(content_type: &str) -> Option<&str> {
    // Nearly always there is none, and one search says so.
    let (_, parameters) = content_type.split_once(';')?;
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

/// The media type without its parameters.
pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
