//! What becomes of a message: the last line of every handler.

use std::fmt;
use std::time::Duration;

/// What becomes of a message. An `Err` or a panic from a handler counts as a failed attempt, as [`Outcome::retry`] does.
///
/// ```
/// use bootstep::Outcome;
/// use std::time::Duration;
///
/// let later = Outcome::retry("the warehouse is closed").after(Duration::from_secs(60));
/// assert_eq!(later.to_string(), "retry in 60s: the warehouse is closed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done; the message leaves its queue.
    Ack,
    /// The attempt failed; try again as the consumer's retry policy says, and archive the message when it says no more.
    Retry {
        /// Why, for the log and the archive.
        reason: String,
        /// When, instead of the policy's delay; in levels rounded up to one of them, and no later than the longest.
        after: Option<Duration>,
    },
    /// Tried and given up: keep it in the archive for a human.
    Archive {
        /// Why, for the log and the archive.
        reason: String,
    },
    /// Never worth trying: to the dead letters.
    Reject {
        /// Why, for the log and the dead letters.
        reason: String,
    },
    /// Hand it back to its queue, untouched; the attempt does not count.
    Requeue,
    /// Stop the worker with an exit code. No other message of this consumer begins after it, but those that other threads are at.
    Halt {
        /// The exit code of the process.
        code: u8,
        /// Why, for the log.
        reason: String,
        /// Whether the message goes back to its queue; otherwise it is acked.
        requeue: bool,
    },
}

impl Outcome {
    /// The attempt failed; try again as the policy says.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Outcome::Retry { reason: reason.to_string(), after: None }
    }

    /// Give up and keep the message in the archive.
    pub fn archive(reason: impl fmt::Display) -> Self {
        Outcome::Archive { reason: reason.to_string() }
    }

    /// Never worth trying: to the dead letters.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Outcome::Reject { reason: reason.to_string() }
    }

    /// Stop the worker with this exit code and hand the message back.
    pub fn halt(code: u8, reason: impl fmt::Display) -> Self {
        Outcome::Halt { code, reason: reason.to_string(), requeue: true }
    }

    /// This sets when to try again; other outcomes than a retry stay as they are. Among levels, the delay is rounded up to one of the
    /// policy's, because each needs a queue on the broker; a longer one than the longest of them comes to that one. Where the queue
    /// itself delays ([`RetryLayout::Native`](crate::RetryLayout::Native)), its delay counts, and this one is only logged (debug).
    pub fn after(mut self, delay: Duration) -> Self {
        if let Outcome::Retry { after, .. } = &mut self {
            *after = Some(delay);
        }
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ack => f.write_str("ack"),
            Outcome::Retry { reason, after: None } => write!(f, "retry: {reason}"),
            Outcome::Retry { reason, after: Some(after) } => write!(f, "retry in {after:?}: {reason}"),
            Outcome::Archive { reason } => write!(f, "archive: {reason}"),
            Outcome::Reject { reason } => write!(f, "reject: {reason}"),
            Outcome::Requeue => f.write_str("requeue"),
            Outcome::Halt { code, reason, .. } => write!(f, "halt with exit code {code}: {reason}"),
        }
    }
}

/// More of a reason than this is cut off, so that headers never outgrow the connection's frame size.
const LONGEST_REASON_BYTES: usize = 2_000;

/// A reason as it travels in a header.
pub(crate) fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(LONGEST_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// A reason as it stands in the log: on one line, because a line end in it could forge another.
pub(crate) fn one_line(reason: &str) -> String {
    let mut line = String::with_capacity(reason.len().min(LONGEST_REASON_BYTES));
    for char in cut(reason).chars() {
        match char.is_control() {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_reason_is_one_line_of_bounded_length() {
        assert_eq!(one_line("no\n\u{1b}[31mERROR all is lost\0"), "no\\n\\u{1b}[31mERROR all is lost\\u{0}");
        assert_eq!(one_line(&"ä".repeat(5_000)).len(), LONGEST_REASON_BYTES);
    }
}
