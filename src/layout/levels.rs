//! The `levels` layout: a queue for each delay, whose messages all wait equally long, because RabbitMQ expires messages at the
//! head of a queue only (<https://www.rabbitmq.com/docs/ttl#per-message-ttl-caveats>).

use super::archive::{dead_beside, with_type_of, Archive};
use super::{Place, Waiting};
use crate::delivered::headers;
use crate::retry::{level_among, RetryPolicy};
use crate::topology::Queue;
use std::time::Duration;

/// More than this wait on one level of a quorum queue, and failed messages stay where they are: a bound is what keeps the hop back
/// safe.
const RETRY_LENGTH: u32 = 1_000_000;

#[derive(Debug)]
pub(super) struct Levels {
    queue: Queue,
    levels: Vec<Duration>,
    archive: Archive,
}

impl Levels {
    pub fn new(queue: &Queue, policy: &RetryPolicy, archive: Archive) -> Self {
        Levels { queue: queue.clone(), levels: policy.levels(), archive }
    }

    fn retry_queue(&self, delay: Duration) -> Queue {
        let queue = with_type_of(&self.queue, Queue::new(self.retry_name(delay)));
        let queue = queue.message_ttl(delay).dead_letter_to("", &self.queue.name);
        match self.queue.queue_type() {
            // Without all three the hop back is at-most-once, silently
            // (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
            Some("quorum") => {
                let queue = queue.argument("x-dead-letter-strategy", "at-least-once");
                queue.overflow("reject-publish").max_length(RETRY_LENGTH)
            }
            _ => queue,
        }
    }

    fn retry_name(&self, delay: Duration) -> String {
        match delay.subsec_nanos() {
            0 => format!("{}.retry.{}s", self.queue.name, delay.as_secs()),
            _ => format!("{}.retry.{}ms", self.queue.name, delay.as_millis()),
        }
    }
}

impl Waiting for Levels {
    fn counted_by(&self) -> &'static str {
        headers::RETRIES
    }

    fn queues(&self) -> Vec<Queue> {
        self.levels.iter().map(|delay| self.retry_queue(*delay)).collect()
    }

    fn place(&self, delay: Duration) -> Place {
        let level = level_among(&self.levels, delay).expect("a policy that tries again has a level");
        Place::Queue(self.retry_name(level))
    }

    fn archive(&self, quorum_archive: bool) -> Queue {
        self.archive.beside(&self.queue, quorum_archive)
    }

    fn dead(&self) -> Queue {
        dead_beside(&self.queue)
    }
}
