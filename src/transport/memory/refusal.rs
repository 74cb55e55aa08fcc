//! Refusals in RabbitMQ's words, so that what a test reads is what production will log.

use crate::error::{Error, Fault};
use crate::message::Value;

/// Why the broker refused, kept where the same answer is given more than once.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub fault: Fault,
    pub text: String,
}

impl Refusal {
    pub fn error(&self) -> Error {
        Error::new(self.fault, self.text.clone())
    }

    /// The same refusal, told as the end of the channel it happened on.
    pub fn closing(&self) -> Refusal {
        let code = match self.fault {
            Fault::AccessRefused => 403,
            Fault::NotFound => 404,
            Fault::Locked => 405,
            Fault::Unsupported => 540,
            _ => 406,
        };
        Refusal { fault: Fault::ChannelClosed, text: format!("the broker closed the channel: {code} {}", self.text) }
    }

    /// The same refusal with the deed that failed in front.
    pub fn to(&self, deed: &str) -> Error {
        Error::new(self.fault, format!("could not {deed}: {}", self.text))
    }
}

pub(super) fn lost(connection: &str) -> Refusal {
    let text = format!("the connection to the broker is lost: `{connection}` is not open any more");
    Refusal { fault: Fault::Lost, text }
}

pub(super) fn unsupported(text: impl Into<String>) -> Refusal {
    Refusal { fault: Fault::Unsupported, text: text.into() }
}

pub(super) fn precondition(text: impl AsRef<str>) -> Refusal {
    Refusal { fault: Fault::Mismatch, text: format!("PRECONDITION_FAILED - {}", text.as_ref()) }
}

pub(super) fn access(text: impl AsRef<str>) -> Refusal {
    Refusal { fault: Fault::AccessRefused, text: format!("ACCESS_REFUSED - {}", text.as_ref()) }
}

pub(super) fn no_queue(name: &str) -> Refusal {
    Refusal { fault: Fault::NotFound, text: format!("NOT_FOUND - no queue '{name}' in vhost '/'") }
}

pub(super) fn no_exchange(name: &str) -> Refusal {
    Refusal { fault: Fault::NotFound, text: format!("NOT_FOUND - no {}", exchange(name)) }
}

/// An exchange as RabbitMQ names it.
pub(super) fn exchange(name: &str) -> String {
    format!("exchange '{name}' in vhost '/'")
}

pub(super) fn locked(queue: &str) -> Refusal {
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be originally \
         declared on another connection or the exclusive property value does not match that of the original declaration."
    );
    Refusal { fault: Fault::Locked, text }
}

/// A queue as RabbitMQ names it in its refusals.
pub(super) fn queue_in_full(name: &str) -> String {
    format!("queue '{name}' in vhost '/'")
}

/// `whom` is such as `queue 'orders' in vhost '/'`.
pub(super) fn inequivalent(argument: &str, whom: &str, received: &str, current: &str) -> Refusal {
    precondition(format!("inequivalent arg '{argument}' for {whom}: received {received} but current is {current}"))
}

/// RabbitMQ's name for the type of a field.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::I8(_) => "byte",
        Value::U8(_) => "unsignedbyte",
        Value::I16(_) => "short",
        Value::U16(_) => "unsignedshort",
        Value::I32(_) => "signedint",
        Value::U32(_) => "unsignedint",
        Value::I64(_) => "long",
        Value::F32(_) => "float",
        Value::F64(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::Text(_) => "longstr",
        Value::Bytes(_) => "binary",
        Value::Array(_) => "array",
        Value::Timestamp(_) => "timestamp",
        Value::Table(_) => "table",
        Value::Null => "void",
    }
}
