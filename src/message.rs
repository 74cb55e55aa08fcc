//! Messages as the rest of the crate sees them: body, properties, headers, and where they came from.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A header table or an argument table of AMQP.
pub type Table = BTreeMap<String, Value>;

/// One value of a [`Table`]: every field type that RabbitMQ speaks
/// (<https://www.rabbitmq.com/amqp-0-9-1-errata#section_3>).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`; py-amqp up to 5.3 misreads it, prefer [`Value::I32`].
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// How many of the digits stand behind the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`, when it is UTF-8.
    Text(String),
    /// `x`; and `S` that came and is not UTF-8, which is sent on as `x`.
    Bytes(Vec<u8>),
    /// `A`
    Array(Vec<Value>),
    /// `T`, in seconds since 1970.
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `V`
    Null,
}

impl Value {
    /// This is the number, whatever its width on the wire.
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Value::I8(number) => number.into(),
            Value::U8(number) => number.into(),
            Value::I16(number) => number.into(),
            Value::U16(number) => number.into(),
            Value::I32(number) => number.into(),
            Value::U32(number) => number.into(),
            Value::I64(number) => number,
            _ => return None,
        })
    }

    /// This gives an integer 32 bits where it has fewer, and where it is a negative one of 64 that has room in them; so also inside
    /// arrays and tables. py-amqp up to 5.3 loses its connection over 16 bits with a sign, and takes what is negative in 8 or 64
    /// bits for positive.
    pub fn widen(&mut self) {
        match self {
            Value::I8(number) => *self = Value::I32((*number).into()),
            Value::I16(number) => *self = Value::I32((*number).into()),
            Value::I64(number) if *number < 0 => *self = i32::try_from(*number).map_or(Value::I64(*number), Value::I32),
            Value::Array(values) => values.iter_mut().for_each(Value::widen),
            Value::Table(table) => table.values_mut().for_each(Value::widen),
            _ => {}
        }
    }

    /// This is the text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text}"),
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::F32(number) => write!(f, "{number}"),
            Value::F64(number) => write!(f, "{number}"),
            other => match other.as_i64() {
                Some(number) => write!(f, "{number}"),
                None => write!(f, "{other:?}"),
            },
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Value::$variant(value.into())
            }
        })*
    };
}
value_from!(bool => Bool, i32 => I32, u32 => I64, i64 => I64, f64 => F64, &str => Text, String => Text, Table => Table);

/// The fourteen properties of an AMQP message; none is set by default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Properties {
    /// The media type of the body, such as `application/json`.
    pub content_type: Option<String>,
    /// How the body is encoded beyond its type, such as `utf-8` or `gzip`.
    pub content_encoding: Option<String>,
    /// Free headers.
    pub headers: Option<Table>,
    /// 2 survives a restart of the broker on a durable queue, 1 does not.
    pub delivery_mode: Option<u8>,
    /// 0 to 255; only a queue with `x-max-priority` looks at it.
    pub priority: Option<u8>,
    /// Which request this answers.
    pub correlation_id: Option<String>,
    /// Where the answer should go.
    pub reply_to: Option<String>,
    /// How long the message may wait on a queue: milliseconds, as decimal text.
    pub expiration: Option<String>,
    /// The publisher's own identifier.
    pub message_id: Option<String>,
    /// When it was made: seconds since 1970.
    pub timestamp: Option<u64>,
    /// The name of the message's type.
    pub kind: Option<String>,
    /// The user that published it; the broker checks it.
    pub user_id: Option<String>,
    /// The application that published it.
    pub app_id: Option<String>,
    /// Reserved by AMQP; carried along.
    pub cluster_id: Option<String>,
}

impl Properties {
    /// This is a persistent message of the given media type.
    pub fn persistent(content_type: impl Into<String>) -> Self {
        Properties { content_type: Some(content_type.into()), delivery_mode: Some(2), ..Properties::default() }
    }

    /// The ten that are texts, in the order of AMQP.
    pub(crate) fn texts(&self) -> [&Option<String>; 10] {
        [
            &self.content_type,
            &self.content_encoding,
            &self.correlation_id,
            &self.reply_to,
            &self.expiration,
            &self.message_id,
            &self.kind,
            &self.user_id,
            &self.app_id,
            &self.cluster_id,
        ]
    }

    /// This sets one header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.get_or_insert_with(Table::new).insert(name.into(), value.into());
        self
    }
}

/// A message on its way to the broker.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Publication {
    /// The exchange; empty is the default exchange, which routes to the queue named by the routing key.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// Everything but the body.
    pub properties: Properties,
    pub(crate) body: Bytes,
    /// Whether a message that no queue takes is an error (off by default). The worker sets it on whatever it moves itself.
    pub mandatory: bool,
}

impl Publication {
    /// This is a persistent message (delivery mode 2) without content type.
    pub fn new(exchange: impl Into<String>, routing_key: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Publication {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            properties: Properties { delivery_mode: Some(2), ..Properties::default() },
            body: Bytes::from(body.into()),
            mandatory: false,
        }
    }

    /// This is the same body with these properties.
    pub fn with(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// This sets the content type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.properties.content_type = Some(content_type.into());
        self
    }

    /// This is the same message on its way to another exchange, under another routing key.
    pub fn to(mut self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        (self.exchange, self.routing_key) = (exchange.into(), routing_key.into());
        self
    }

    /// This makes it an error if no queue takes the message.
    pub fn mandatory(mut self) -> Self {
        self.mandatory = true;
        self
    }

    /// The bytes to be sent.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// One header.
    pub fn header(&self, name: &str) -> Option<&Value> {
        self.properties.headers.as_ref()?.get(name)
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the body: it may hold what must not be logged.
        write!(f, "Publication({:?} {:?}, {} bytes)", self.exchange, self.routing_key, self.body.len())
    }
}

/// What a broker hands over with a delivery; shared, so that moving it on costs no copy.
#[derive(PartialEq)]
pub(crate) struct Parts {
    pub exchange: String,
    pub routing_key: String,
    pub properties: Properties,
    pub body: Bytes,
}

impl Parts {
    /// The same message as it stands, addressed to a queue by way of the default exchange.
    pub fn addressed_to(&self, queue: &str) -> Publication {
        Publication {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            properties: self.properties.clone(),
            body: self.body.clone(),
            mandatory: true,
        }
    }
}

/// A message as it came from a queue, with its place among the deliveries of its channel.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub tag: u64,
    pub redelivered: bool,
    pub parts: Arc<Parts>,
    pub flaw: Option<Arc<Flaw>>,
}

/// What of a message could not be read as it came, and the bytes of that.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Flaw {
    pub why: String,
    pub originals: Table,
}

impl Flaw {
    pub fn add(&mut self, why: &str, name: &str, original: Value) {
        let joint = if self.why.is_empty() { "" } else { ", " };
        self.why = format!("{}{joint}{why}", self.why);
        self.originals.insert(name.to_owned(), original);
    }
}

impl fmt::Debug for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the originals: they may hold what must not be logged.
        write!(f, "Flaw({})", self.why)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({}, {:?}, {} bytes)", self.tag, self.parts.routing_key, self.parts.body.len())
    }
}
