//! Where a moved message goes: the names, arguments and headers of retry, archive and dead-letter queues. Pure.
//!
//! This is the `levels` layout: a queue per delay, whose messages all wait equally long, because RabbitMQ expires messages at
//! the head of a queue only (<https://www.rabbitmq.com/docs/ttl#per-message-ttl-caveats>).

mod arrival;

use crate::delivered::{headers, Message};
use crate::limits::{obstacle, FRAME_MAX};
use crate::message::{Publication, Table, Value};
use crate::outcome::cut;
use crate::retry::RetryPolicy;
use crate::topology::{Queue, Topology};
use arrival::dead_letters_arrive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Full at this many messages: then the broker refuses more, and the originals stay where they are.
const ARCHIVE_LENGTH: u32 = 1_000_000;

/// The queues around one consumed queue.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    queue: Queue,
    policy: RetryPolicy,
    rejects: Rejects,
    /// What a moved message has to fit into.
    frame_max: u32,
}

/// How a rejected message gets to its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejects {
    /// By `basic.reject`: the queue dead-letters, and where to is declared here.
    ByBroker,
    /// Published to `<queue>.dead`, confirmed, then acked.
    ByPublish,
}

impl Layout {
    /// `declared` is all that is declared here: only what is ours is trusted to be there.
    pub fn of(queue: &Queue, policy: &RetryPolicy, declared: &Topology) -> Self {
        let rejects = if dead_letters_arrive(queue, declared) { Rejects::ByBroker } else { Rejects::ByPublish };
        Layout { queue: queue.clone(), policy: policy.clone(), rejects, frame_max: FRAME_MAX }
    }

    /// The same where frames are smaller.
    pub fn fitting(self, frame_max: u32) -> Self {
        Layout { frame_max, ..self }
    }

    /// The queues to declare beside the main one; `quorum_archive` says that the broker can keep a quorum queue from giving
    /// up messages that are looked at often.
    pub fn queues(&self, quorum_archive: bool) -> Vec<Queue> {
        let mut queues: Vec<Queue> = self.policy.levels().into_iter().map(|delay| self.retry_queue(delay)).collect();
        queues.push(self.archive_queue(quorum_archive));
        if self.rejects == Rejects::ByPublish {
            queues.push(self.with_type(Queue::new(self.dead_name())));
        }
        queues
    }

    /// The dead-letter exchange that was asked for and is not trusted to take everything.
    pub fn distrusted(&self) -> Option<&str> {
        self.queue.dead_letter_exchange().filter(|_| self.rejects == Rejects::ByPublish && !self.queue.passive)
    }

    /// Whether `basic.reject` is how a message of this queue is rejected.
    pub fn rejects_by_broker(&self) -> bool {
        self.rejects == Rejects::ByBroker
    }

    pub fn archive_name(&self) -> String {
        format!("{}.archive", self.queue.name)
    }

    fn dead_name(&self) -> String {
        format!("{}.dead", self.queue.name)
    }

    fn retry_name(&self, delay: Duration) -> String {
        match delay.subsec_nanos() {
            0 => format!("{}.retry.{}s", self.queue.name, delay.as_secs()),
            _ => format!("{}.retry.{}ms", self.queue.name, delay.as_millis()),
        }
    }

    fn retry_queue(&self, delay: Duration) -> Queue {
        let queue = self.with_type(Queue::new(self.retry_name(delay)));
        let queue = queue.message_ttl(delay).dead_letter_to("", &self.queue.name);
        match self.queue.queue_type() {
            // Without all three the hop back is at-most-once, silently
            // (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
            Some("quorum") => {
                let queue = queue.argument("x-dead-letter-strategy", "at-least-once");
                queue.overflow("reject-publish").max_length(ARCHIVE_LENGTH)
            }
            _ => queue,
        }
    }

    fn archive_queue(&self, quorum_archive: bool) -> Queue {
        let archive = Queue::new(self.archive_name()).max_length(ARCHIVE_LENGTH).overflow("reject-publish");
        match self.queue.queue_type() {
            Some("quorum") if quorum_archive => archive.quorum().argument("x-delivery-limit", -1),
            _ => archive,
        }
    }

    fn with_type(&self, queue: Queue) -> Queue {
        match self.queue.queue_type() {
            Some(queue_type) => queue.argument("x-queue-type", queue_type),
            None => queue,
        }
    }

    /// The message as it waits for its next attempt; `None` when there is to be none.
    /// `random` between 0 and 1 is for the policy's jitter.
    pub fn retry(&self, message: &Message, after: Option<Duration>, reason: &str, random: f64) -> Option<Publication> {
        // Asking for a delay does not buy more attempts than the policy has.
        let next = self.policy.next_delay(message.retries())?;
        let delay = after.unwrap_or_else(|| self.policy.jittered(next, random));
        let level = self.policy.level_for(delay)?;
        let mut moved = moved(message, self.retry_name(level), reason);
        let headers = moved.properties.headers.get_or_insert_default();
        headers.insert(headers::RETRIES.into(), Value::I32(i32::try_from(message.attempt()).unwrap_or(i32::MAX)));
        forget_history(headers);
        // A message with no room for its count would come again for ever: it is archived instead.
        self.fitted(moved, message).filter(|moved| has_header(moved, headers::RETRIES))
    }

    /// The message as it is kept for a human.
    pub fn archive(&self, message: &Message, reason: &str) -> Publication {
        let mut moved = moved(message, self.archive_name(), reason);
        forget_history(moved.properties.headers.get_or_insert_default());
        self.fitted(moved, message).unwrap_or_else(|| self.bare(message, self.archive_name()))
    }

    /// The message as it stands in the dead letters.
    pub fn dead(&self, message: &Message, reason: &str) -> Publication {
        self.fitted(moved(message, self.dead_name(), reason), message).unwrap_or_else(|| self.bare(message, self.dead_name()))
    }

    /// The message at the end of its own queue, counted as one that came again so often.
    pub fn to_the_end(&self, message: &Message, times: u32) -> Publication {
        let mut moved = moved(message, self.queue.name.clone(), "its worker ended before it had said what becomes of it");
        // It has its whole time once more: the broker does not tell how much was left.
        moved.properties.expiration = message.properties().expiration.clone();
        let headers = moved.properties.headers.get_or_insert_default();
        if moved.properties.expiration.is_some() {
            headers.remove(headers::EXPIRATION);
        }
        headers.insert(headers::REDELIVERIES.into(), Value::I32(i32::try_from(times).unwrap_or(i32::MAX)));
        self.fitted(moved, message).unwrap_or_else(|| self.bare(message, self.queue.name.clone()))
    }

    /// The message if it fits into a frame, if need be with less: first goes what was mended of headers whose original bytes are
    /// kept, then what the worker says of the move, then the original bytes. What came as it is, is kept.
    fn fitted(&self, moved: Publication, message: &Message) -> Option<Publication> {
        if obstacle(&moved, self.frame_max).is_none() {
            return Some(moved);
        }
        let came = |name: &str| message.headers().is_some_and(|headers| headers.contains_key(name));
        let is_original = |name: &str| name.starts_with(headers::ORIGINAL);
        let has_original = message.originals().any(|(name, _)| name == "headers" || name == "properties");
        let with_only = |is_kept: &dyn Fn(&str) -> bool| {
            let mut moved = moved.clone();
            let headers = moved.properties.headers.get_or_insert_default();
            headers.retain(|name, _| is_kept(name) || name == headers::RETRIES);
            obstacle(&moved, self.frame_max).is_none().then_some(moved)
        };
        let unmended = if has_original { with_only(&|name| !came(name) || is_original(name)) } else { None };
        unmended.or_else(|| with_only(&|name| came(name) || is_original(name))).or_else(|| with_only(&came))
    }

    /// The message as it came, with nothing added: as large as it was, so it fits.
    fn bare(&self, message: &Message, queue: String) -> Publication {
        let mut bare = message.parts.addressed_to(&queue);
        (bare.properties.user_id, bare.properties.expiration) = (None, None);
        // The publish id that lets a returned message be known needs a little room.
        bare.mandatory = obstacle(&bare, self.frame_max).is_none();
        if let Some(headers) = &mut bare.properties.headers {
            headers.retain(|name, _| name != "CC" && name != "BCC");
        }
        // RabbitMQ may have added so much that it does not fit any more.
        if let (true, Some(headers)) = (obstacle(&bare, self.frame_max).is_some(), &mut bare.properties.headers) {
            forget_history(headers);
        }
        bare
    }
}

/// The message with all its properties, on its way to one queue and no other.
fn moved(message: &Message, queue: String, reason: &str) -> Publication {
    let mut moved = message.parts.addressed_to(&queue);
    moved.properties.delivery_mode = Some(2);
    let mut set_aside = Table::new();
    // An expiration would end the wait early; the broker refuses a user id that is not ours.
    if let Some(expiration) = moved.properties.expiration.take() {
        set_aside.insert(headers::EXPIRATION.into(), Value::Text(expiration));
    }
    if let Some(user_id) = moved.properties.user_id.take() {
        set_aside.insert(headers::USER_ID.into(), Value::Text(user_id));
    }
    let headers = moved.properties.headers.get_or_insert_default();
    // Sender-selected distribution would send copies elsewhere (https://www.rabbitmq.com/docs/sender-selected).
    for name in ["CC", "BCC"] {
        if let Some(value) = headers.remove(name) {
            set_aside.insert(format!("x-bootstep-{}", name.to_lowercase()), value);
        }
    }
    for (name, original) in message.originals() {
        set_aside.insert(format!("{}{name}", headers::ORIGINAL), original.clone());
    }
    for (name, value) in set_aside {
        headers.entry(name).or_insert(value);
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    headers.entry(headers::FIRST_FAILED.into()).or_insert(Value::Timestamp(seconds));
    headers.entry(headers::EXCHANGE.into()).or_insert_with(|| message.parts.exchange.as_str().into());
    headers.entry(headers::ROUTING_KEY.into()).or_insert_with(|| message.parts.routing_key.as_str().into());
    headers.insert(headers::QUEUE.into(), message.queue().into());
    headers.insert(headers::REASON.into(), cut(reason).into());
    moved
}

fn has_header(publication: &Publication, name: &str) -> bool {
    publication.properties.headers.as_ref().is_some_and(|headers| headers.contains_key(name))
}

/// The broker's own history would be continued on the next hop, and a quorum queue would go on counting.
fn forget_history(headers: &mut Table) {
    headers.retain(|name, _| {
        let ours_to_drop =
            name.starts_with("x-death") || name.starts_with("x-first-death-") || name.starts_with("x-last-death-");
        !ours_to_drop && name != "x-delivery-count" && name != "x-acquired-count"
    });
}
