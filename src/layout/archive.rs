//! The archive: how much it holds, how long, and when that is nearly all.

use crate::message::Value;
use crate::retry::whole;
use crate::topology::Queue;
use std::time::Duration;

/// How much an archive holds unless told otherwise.
const DEFAULT_LENGTH: u32 = 1_000_000;

/// From this share on a human is told, in hundredths.
const NEARLY_FULL_PERCENT: u64 = 80;

/// How much `<queue>.archive` holds, and for how long: by default 1,000,000 messages, for ever.
///
/// A full archive takes no more (`x-overflow=reject-publish`): the messages that belong there stay unsettled on their queue until
/// there is room, and nothing is lost. From 80 % on the worker warns, at boot and at most once a minute after.
///
/// RabbitMQ does not change a queue that exists: with other bounds than it was declared with, an archive is used as it is, with a
/// warning.
///
/// ```
/// use bootstep::{Archive, Consumer, Outcome};
/// use std::time::Duration;
///
/// let month = Duration::from_secs(30 * 24 * 3600);
/// let consumer = Consumer::new("jobs", |_job: String, _message| Ok(Outcome::Ack))
///     .archive(Archive::default().max_length(50_000).message_ttl(month));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    max_length: u32,
    message_ttl: Option<Duration>,
}

impl Default for Archive {
    fn default() -> Self {
        Archive { max_length: DEFAULT_LENGTH, message_ttl: None }
    }
}

impl Archive {
    /// It holds so many messages and refuses more (1,000,000 by default; at least 1).
    pub fn max_length(mut self, messages: u32) -> Self {
        self.max_length = messages.max(1);
        self
    }

    /// Messages older than this are dropped (whole milliseconds, RabbitMQ counts 49 days at the most; by default none is).
    pub fn message_ttl(mut self, ttl: Duration) -> Self {
        self.message_ttl = Some(ttl);
        self
    }

    /// What RabbitMQ could not keep to.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.message_ttl {
            // Dropped sooner than was asked for is lost.
            Some(ttl) if ttl > whole(Duration::MAX) => {
                Err("RabbitMQ cannot keep the messages of its archive for more than 49 days by age; leave `message_ttl` out"
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// The archive beside this queue. Where the broker cannot keep a quorum queue from giving up messages that are looked at
    /// often, it is a classic one.
    pub(super) fn beside(&self, queue: &Queue, quorum_archive: bool) -> Queue {
        let archive = Queue::new(format!("{}.archive", queue.name)).max_length(self.max_length).overflow("reject-publish");
        let archive = match self.message_ttl {
            Some(ttl) => archive.message_ttl(whole(ttl)),
            None => archive,
        };
        match queue.queue_type() {
            Some("quorum") if quorum_archive => archive.quorum().argument("x-delivery-limit", -1),
            _ => archive,
        }
    }
}

/// The queue for what was rejected.
pub(super) fn dead_beside(queue: &Queue) -> Queue {
    with_type_of(queue, Queue::new(format!("{}.dead", queue.name)))
}

/// A queue of the same type as the main one.
pub(super) fn with_type_of(main: &Queue, queue: Queue) -> Queue {
    match main.queue_type() {
        Some(queue_type) => queue.argument("x-queue-type", queue_type),
        None => queue,
    }
}

/// What an archive can hold, for whoever warns before it is full.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub archive: String,
    main: String,
    most: u64,
    when_full: &'static str,
}

impl Bound {
    pub(super) fn of(archive: &Queue, main: &str) -> Self {
        let refuses = archive.arguments.get("x-overflow").and_then(Value::as_str).is_some_and(|it| it.starts_with("reject"));
        let when_full = match refuses {
            true => "what is given up stays on its queue, which waits for room",
            false => "the broker drops the oldest of them",
        };
        let most = archive.arguments.get("x-max-length").and_then(Value::as_i64);
        let most = most.and_then(|most| u64::try_from(most).ok()).unwrap_or(u64::MAX);
        Bound { archive: archive.name.clone(), main: main.to_owned(), most, when_full }
    }

    /// What to tell a human when the archive holds so many messages, if anything.
    pub fn warning(&self, messages: u32) -> Option<String> {
        let Bound { archive, main, most, when_full } = self;
        let is_nearly_full = u64::from(messages).saturating_mul(100) >= most.saturating_mul(NEARLY_FULL_PERCENT);
        is_nearly_full.then(|| {
            format!(
                "`{archive}` holds {messages} messages and has room for {most}; when it is full, {when_full}. Find out why the \
                 messages of `{main}` fail, then move them back or purge the archive"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_four_fifths_on_a_human_is_told() {
        let archive = Archive::default().max_length(10).beside(&Queue::new("jobs"), false);
        let bound = Bound::of(&archive, "jobs");
        assert_eq!(bound.warning(7), None);
        let warning = bound.warning(8).unwrap();
        assert!(warning.starts_with("`jobs.archive` holds 8 messages and has room for 10; "), "{warning}");
        assert_eq!(Bound { most: u64::MAX, ..bound }.warning(u32::MAX), None);
    }
}
