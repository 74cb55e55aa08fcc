//! A message of fedora-messaging: a topic, a severity and a JSON object, read from AMQP and written to it as the Python package does.

use bootstep::steps::fedora_messaging::{from_json, to_json, About, Severity};
use bootstep::{Decode, DecodeError, Error, Fault, Message, Properties, Publication, Table, Value};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Map;
use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The schema of a message that has none of its own.
pub const BASE_SCHEMA: &str = "base.message";

const SCHEMA: &str = "fedora_messaging_schema";
const SCHEMA_PACKAGE: &str = "fedora_messaging_schema_package";
const SEVERITY: &str = "fedora_messaging_severity";
const SENT_AT: &str = "sent-at";
const PRIORITY: &str = "priority";

/// What AMQP's short strings hold, in bytes: topics, ids, names of headers.
const SHORT_STRING: usize = 255;

/// A message of fedora-messaging.
///
/// ```
/// use bootstep::steps::fedora_messaging::{About, FedoraMessage, Severity};
/// use serde_json::json;
///
/// let message = FedoraMessage::new("bodhi.update.comment", &json!({"update": "FEDORA-2026-1"}))?
///     .severity(Severity::Warning)
///     .about(About::Rpm, "kernel");
/// assert_eq!(message.names(About::Rpm).collect::<Vec<_>>(), ["kernel"]);
/// assert_eq!(FedoraMessage::from_json_line(&message.to_json_line())?, message);
/// # Ok::<(), bootstep::BoxError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct FedoraMessage {
    /// The routing key: words with dots between them, the application first.
    pub topic: String,
    /// The JSON object.
    pub body: Map<String, serde_json::Value>,
    /// How important it is.
    pub severity: Severity,
    /// Its identifier, a UUID; empty if it came without one.
    pub id: String,
    /// The name of its schema; empty if it came without one.
    pub schema: String,
    /// All headers, as they came. What the other fields say is written over them when it is published.
    pub headers: Table,
    /// The queue it came by, if it came by one.
    pub queue: Option<String>,
    /// 0 to 255; only a queue with `x-max-priority` looks at it. `None` leaves it to the publisher's settings.
    pub priority: Option<u8>,
}

impl FedoraMessage {
    /// This is a message with an id of its own, sent now, of severity [`Severity::Info`] and without a schema of its own.
    ///
    /// # Errors
    /// When the body is no JSON object.
    pub fn new<B: Serialize + ?Sized>(topic: impl Into<String>, body: &B) -> Result<Self, Error> {
        let body = match serde_json::to_value(body) {
            Ok(serde_json::Value::Object(body)) => body,
            Ok(_) => return Err(Error::new(Fault::Config, "the body of a message has to be a JSON object")),
            Err(err) => return Err(Error::new(Fault::Config, "the body of a message cannot be written as JSON").because(err)),
        };
        Ok(FedoraMessage {
            topic: topic.into(),
            body,
            severity: Severity::default(),
            id: random_id(),
            schema: BASE_SCHEMA.into(),
            headers: Table::from([(SENT_AT.to_owned(), now().into())]),
            queue: None,
            priority: None,
        })
    }

    /// This sets how important it is.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// This names the schema of its body (`fedora_messaging_schema`), and the package of the Python world that brings it.
    pub fn schema(mut self, name: impl Into<String>, package: Option<&str>) -> Self {
        self.schema = name.into();
        match package {
            Some(package) => self.headers.insert(SCHEMA_PACKAGE.into(), package.into()),
            None => self.headers.remove(SCHEMA_PACKAGE),
        };
        self
    }

    /// This says what it is about, for receivers that filter by headers; call it again for more.
    pub fn about(mut self, what: About, name: &str) -> Self {
        self.headers.insert(format!("{}{name}", what.prefix()), true.into());
        self
    }

    /// What it is about.
    pub fn names(&self, what: About) -> impl Iterator<Item = &str> {
        let is_set = |value: &Value| *value != Value::Bool(false);
        self.headers
            .iter()
            .filter(move |(_, value)| is_set(value))
            .filter_map(move |(name, _)| name.strip_prefix(what.prefix()))
    }

    /// When it was sent, as its publisher says (`sent-at`, ISO 8601).
    pub fn sent_at(&self) -> Option<&str> {
        self.headers.get(SENT_AT)?.as_str()
    }

    /// The body as a type of one's own.
    ///
    /// # Errors
    /// When it is something else.
    pub fn body_as<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        // Without the words of serde_json, which quote the body.
        T::deserialize(serde_json::Value::Object(self.body.clone()))
            .map_err(|_| DecodeError::new("the body is not what is wanted"))
    }

    /// This reads a message as it came from a broker.
    ///
    /// # Errors
    /// When it is none: in another encoding, not JSON, no object, with a header that is not what the contract says.
    pub fn read(message: &Message) -> Result<Self, DecodeError> {
        let headers = message.headers().cloned().unwrap_or_default();
        let text = text_of(message.body(), message.properties().content_encoding.as_deref())?;
        let body = match serde_json::from_str(&text) {
            Ok(serde_json::Value::Object(body)) => body,
            Ok(_) => return Err(DecodeError::new("the body is JSON, and no object")),
            Err(err) => {
                let (line, column) = (err.line(), err.column());
                return Err(DecodeError::new(format!("the body is not JSON: line {line} column {column}")));
            }
        };
        let (severity, schema) = checked(&headers)?;
        Ok(FedoraMessage {
            topic: message.routing_key().to_owned(),
            body,
            severity,
            id: message.properties().message_id.clone().unwrap_or_default(),
            schema,
            headers,
            queue: Some(message.queue().to_owned()),
            priority: message.properties().priority,
        })
    }

    /// This is the message as it is published: persistent, `application/json` in `utf-8`.
    ///
    /// # Errors
    /// When the topic, the id or the name of a header is longer than AMQP's 255 bytes.
    pub fn to_publication(&self, exchange: &str) -> Result<Publication, Error> {
        let headers = self.written_headers();
        let texts = [("topic", &self.topic), ("id", &self.id)].into_iter();
        let too_long =
            texts.chain(headers.keys().map(|name| ("name of a header", name))).find(|(_, it)| it.len() > SHORT_STRING);
        if let Some((what, text)) = too_long {
            let start: String = text.chars().take(40).collect();
            let what = format!("the {what} `{start}…` is longer than {SHORT_STRING} bytes, which is all that AMQP holds");
            return Err(Error::new(Fault::Config, what));
        }
        let mut properties = Properties::persistent("application/json");
        properties.content_encoding = Some("utf-8".into());
        properties.message_id = Some(self.id.clone());
        properties.priority = self.priority;
        properties.headers = Some(headers);
        let body = serde_json::Value::Object(self.body.clone()).to_string();
        Ok(Publication::new(exchange, self.topic.as_str(), body).with(properties))
    }

    /// The headers with what the other fields say.
    pub fn written_headers(&self) -> Table {
        let mut headers = self.headers.clone();
        let schema = if self.schema.is_empty() { BASE_SCHEMA } else { &self.schema };
        headers.insert(SCHEMA.into(), schema.into());
        headers.insert(SEVERITY.into(), self.severity.number().into());
        // For people who debug; the broker goes by the property.
        headers.insert(PRIORITY.into(), i32::from(self.priority.unwrap_or(0)).into());
        headers
    }

    /// This is the message on one line of JSON, without a line end: as `fedora-messaging record` writes it.
    pub fn to_json_line(&self) -> String {
        let headers: Map<_, _> = self.written_headers().iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
        let line = serde_json::json!({
            "topic": self.topic,
            "headers": headers,
            "id": self.id,
            "body": self.body,
            "queue": self.queue,
            "priority": self.priority,
        });
        line.to_string()
    }

    /// This reads a message from a line of JSON, as `fedora-messaging publish` does: an object with `topic` and `body`, and if you
    /// like `headers`, `id`, `queue` and `priority`. What is not there is as in a new message.
    ///
    /// # Errors
    /// When the line is none; the error names what is wrong with it, and quotes nothing.
    pub fn from_json_line(line: &str) -> Result<Self, DecodeError> {
        let not = |what: &str| DecodeError::new(format!("the line is no message: {what}"));
        let Ok(serde_json::Value::Object(mut line)) = serde_json::from_str(line) else {
            return Err(not("it is no JSON object"));
        };
        let mut take = |name: &str| line.remove(name).filter(|value| !value.is_null());
        let text = |name: &str, value: Option<serde_json::Value>| match value {
            None => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(not(&format!("its `{name}` is not a text"))),
        };
        let topic = text("topic", take("topic"))?.ok_or_else(|| not("it has no `topic`"))?;
        let Some(serde_json::Value::Object(body)) = take("body") else { return Err(not("its `body` is no object")) };
        let headers = match take("headers") {
            None => Table::from([(SENT_AT.to_owned(), now().into())]),
            Some(serde_json::Value::Object(headers)) => {
                headers.iter().map(|(name, value)| (name.clone(), from_json(value))).collect()
            }
            Some(_) => return Err(not("its `headers` are no object")),
        };
        let priority = take("priority").map(|priority| priority.as_u64().and_then(|number| u8::try_from(number).ok()));
        let priority = priority.map(|number| number.ok_or_else(|| not("its `priority` is none of 0 to 255"))).transpose()?;
        let (severity, schema) = checked(&headers)?;
        let id = text("id", take("id"))?.unwrap_or_else(random_id);
        Ok(FedoraMessage { topic, body, severity, id, schema, headers, queue: text("queue", take("queue"))?, priority })
    }
}

impl Decode for FedoraMessage {
    fn decode(message: &Message) -> Result<Self, DecodeError> {
        FedoraMessage::read(message)
    }
}

/// Whether both are the same when they are published, and came by the same queue.
impl PartialEq for FedoraMessage {
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.priority, it.severity, it.written_headers());
        (&self.topic, &self.body, &self.id, &self.queue) == (&other.topic, &other.body, &other.id, &other.queue)
            && parts(self) == parts(other)
    }
}

impl fmt::Debug for FedoraMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the body: it may hold what must not be logged.
        write!(f, "FedoraMessage({:?}, topic {:?}, schema {:?})", self.id, self.topic, self.schema)
    }
}

/// Severity and schema; the four headers that the contract knows are checked, whatever the schema.
fn checked(headers: &Table) -> Result<(Severity, String), DecodeError> {
    for name in [SCHEMA, SCHEMA_PACKAGE, SENT_AT] {
        if headers.get(name).is_some_and(|value| value.as_str().is_none()) {
            return Err(DecodeError::new(format!("the header `{name}` is not a text")));
        }
    }
    let severity = match headers.get(SEVERITY) {
        None => Severity::default(),
        Some(value) => Severity::of(value)
            .ok_or_else(|| DecodeError::new(format!("the header `{SEVERITY}` is none of 10, 20, 30 and 40")))?,
    };
    let schema = headers.get(SCHEMA).and_then(Value::as_str).unwrap_or_default();
    Ok((severity, schema.to_owned()))
}

/// The body as text. An encoding that is not known is the message's fault, and no reason to stop for.
fn text_of<'a>(body: &'a [u8], encoding: Option<&str>) -> Result<Cow<'a, str>, DecodeError> {
    let name = encoding.unwrap_or("utf-8").to_ascii_lowercase().replace('_', "-");
    let utf8 = || std::str::from_utf8(body).map(Cow::Borrowed);
    match name.as_str() {
        "utf-8" | "utf8" | "u8" => utf8().map_err(|err| DecodeError::new(format!("the body is not UTF-8: {err}"))),
        "us-ascii" | "ascii" if body.is_ascii() => {
            utf8().map_err(|err| DecodeError::new(format!("the body is not UTF-8: {err}")))
        }
        "us-ascii" | "ascii" => Err(DecodeError::new("the body is not ASCII")),
        // Its first 256 characters are those of Unicode.
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => Ok(body.iter().map(|byte| char::from(*byte)).collect()),
        _ => Err(DecodeError::new("its content encoding is not known; known are `utf-8`, `us-ascii` and `iso-8859-1`")),
    }
}

/// The moment in ISO 8601, in seconds and with the offset, as Python writes it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// A UUID of version 4 (RFC 9562): 122 bits from a hash that the system's random numbers key.
fn random_id() -> String {
    let random = RandomState::new();
    let bits = u128::from(random.hash_one(0_u8)) << 64 | u128::from(random.hash_one(1_u8));
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use bootstep::steps::fedora_messaging::FedoraMessage;

    #[test]
    fn an_id_is_a_random_uuid() {
        let [one, other] = [0, 1].map(|_| FedoraMessage::new("t", &serde_json::json!({})).expect("it is an object").id);
        assert_ne!(one, other);
        let groups: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!((&one[14..15], "89ab".contains(&one[19..20])), ("4", true));
    }
}
