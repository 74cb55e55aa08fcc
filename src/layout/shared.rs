//! The `shared` layout: the three queues of celery-message-consumer, declared as its workers declare them, so that both kinds can
//! work on one queue and count alike.

use super::archive::Archive;
use super::{Place, Waiting};
use crate::delivered::headers;
use crate::retry::whole;
use crate::topology::Queue;
use std::time::Duration;

/// 24 days.
const ARCHIVE_TTL: Duration = Duration::from_secs(2_073_600);

const ARCHIVE_LENGTH: u32 = 1_000_000;

#[derive(Debug)]
pub(super) struct Shared {
    queue: String,
}

/// The archive is part of the contract: a worker that declares it otherwise is refused, or has the others refused.
pub(super) fn check(archive: &Archive) -> Result<(), String> {
    match *archive == Archive::default() {
        true => Ok(()),
        false => Err("its archive is declared as celery-message-consumer declares it; leave `Consumer::archive` out".into()),
    }
}

impl Shared {
    pub fn new(queue: &Queue) -> Self {
        Shared { queue: queue.name.clone() }
    }

    fn retry_name(&self) -> String {
        format!("{}.retry", self.queue)
    }
}

impl Waiting for Shared {
    fn counted_by(&self) -> &'static str {
        headers::RETRY_COUNT
    }

    fn queues(&self) -> Vec<Queue> {
        vec![Queue::new(self.retry_name()).dead_letter_to("", &self.queue)]
    }

    fn place(&self, delay: Duration) -> Place {
        Place::Queue { name: self.retry_name(), expiration: Some(whole(delay)) }
    }

    fn archive(&self, _: bool) -> Queue {
        let archive = Queue::new(format!("{}.archived", self.queue)).message_ttl(ARCHIVE_TTL);
        archive.max_length(ARCHIVE_LENGTH).argument("x-queue-mode", "lazy")
    }

    /// There are three queues and no more: who looks for what went wrong looks in the archive.
    fn dead(&self) -> Queue {
        self.archive(false)
    }

    fn when_full(&self) -> &'static str {
        "the broker drops the oldest of them"
    }
}
