//! What can go wrong, in words for the person who has to mend it.
//!
//! One error type for the whole crate: a [`Fault`] that code can match on, a sentence that says what failed, where, and what
//! to do, and the nested cause.

use std::fmt;

/// The error of user code: whatever a handler or a step has to say.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What failed, where, and what to do about it.
pub struct Error {
    fault: Fault,
    what: String,
    step: Option<String>,
    source: Option<BoxError>,
}

/// The sort of an [`Error`], for code that must decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A setting is wrong: the URL, a name, an argument.
    Config,
    /// The blueprint cannot be ordered: a missing requirement, a name taken twice, a cycle.
    Blueprint,
    /// A step did not start.
    Step,
    /// Nobody answers: refused, not resolved, no route, a handshake that stalls.
    Unreachable,
    /// The broker does not let us: wrong password, unknown virtual host, missing permission (403, 530); or one end does not
    /// accept the other's certificate.
    AccessRefused,
    /// The queue or exchange does not exist (404).
    NotFound,
    /// The queue is used exclusively by somebody else (403 or 405).
    Locked,
    /// It exists with other arguments, or the broker refuses what was asked (406).
    Mismatch,
    /// The broker does not know what was asked, or this transport does not model it (540, 501, 503).
    Unsupported,
    /// The channel is gone; the connection may live.
    ChannelClosed,
    /// The connection is gone.
    Lost,
    /// A deadline passed.
    Timeout,
    /// A message was published but not taken: nacked, or returned as unroutable.
    NotTaken,
}

impl Error {
    /// This is an error of the given sort; `what` completes "failed: …" in lower case, without a full stop.
    pub fn new(fault: Fault, what: impl Into<String>) -> Self {
        Error { fault, what: what.into(), step: None, source: None }
    }

    /// This is the same error with its cause attached.
    pub fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// This is the sort of the error.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The same error, met by this step.
    pub(crate) fn of_step(mut self, name: &str) -> Self {
        self.step = Some(name.to_owned());
        self
    }

    /// The name of the step that did not start, if that is what failed.
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// This says whether trying again later can help without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        matches!(self.fault, Fault::Unreachable | Fault::Lost | Fault::Timeout | Fault::ChannelClosed)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.fault)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
