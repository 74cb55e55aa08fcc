//! Where a moved message goes: the names, arguments and headers of retry, archive and dead-letter queues. Pure.
//!
//! What the three layouts differ in stands behind one small trait, `Waiting`, in a file for each.

mod archive;
mod arrival;
mod levels;
mod moved;
mod native;
mod shared;

pub use archive::Archive;
pub(crate) use archive::Bound;

use crate::delivered::Message;
use crate::message::Publication;
use crate::retry::RetryPolicy;
use crate::topology::{Queue, Topology};
use arrival::dead_letters_arrive;
use moved::Frame;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where the failed messages of a queue wait for their next attempt, and in which queues they end.
///
/// ```
/// use bootstep::{Consumer, Outcome, Queue, RetryLayout, RetryPolicy};
/// use std::time::Duration;
///
/// let queue = Queue::new("jobs").delayed_retry(Duration::from_secs(5), Duration::from_secs(60));
/// let consumer = Consumer::new(queue, |_job: String, _message| Ok(Outcome::Ack))
///     .retry(RetryPolicy::linear(Duration::from_secs(5), 20).cap(Duration::from_secs(60)))
///     .retry_layout(RetryLayout::Native);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryLayout {
    /// A queue for each delay, `<queue>.retry.<delay>`, sixteen at the most (the default, on any RabbitMQ). All messages of one wait
    /// equally long, so none holds up another, because RabbitMQ expires messages at the head of a queue only
    /// (<https://www.rabbitmq.com/docs/ttl#per-message-ttl-caveats>).
    #[default]
    Levels,
    /// The main queue itself holds failed messages back, from RabbitMQ 4.3.1 on. It must be a quorum queue declared with
    /// [`Queue::delayed_retry`](crate::Queue::delayed_retry), and the policy must wait as long as the queue does: fixed or linear,
    /// without jitter. On another broker, where these arguments would be ignored and failed messages come again at once, the boot
    /// ends with an error, and so it does when the queue's delivery limit could take a message away before the worker gives it up.
    ///
    /// Nothing is published for a retry, so why an attempt failed is in the log only, the archive does not say when the first one
    /// did, and the delay that a handler asks for is not kept: the queue's is. The broker counts: a message handed back costs
    /// nothing, and one that is out when the connection or the worker is lost counts as a failed attempt and is held back.
    Native,
    /// The three queues of celery-message-consumer, to share `<queue>` with its workers: `<queue>.retry`, where each message
    /// brings its own delay (of any number), and `<queue>.archived`. Both count retries in the header `x-retry-count`.
    ///
    /// That contract has its price. A message that waits long at the head of `<queue>.retry` holds up all behind it. The archive
    /// keeps a million messages for 24 days; then, or when it is full, the oldest are gone. There is no queue of dead letters:
    /// what is rejected is archived, unless the main queue dead-letters to where it is sure to arrive.
    Shared,
}

impl RetryLayout {
    /// What cannot be done with such a queue and such a policy.
    pub(crate) fn check(self, queue: &Queue, policy: &RetryPolicy, archive: &Archive) -> Result<(), String> {
        archive.check()?;
        match self {
            RetryLayout::Levels => Ok(()),
            RetryLayout::Native => native::check(queue, policy),
            RetryLayout::Shared => shared::check(archive),
        }
    }

    /// The first RabbitMQ that has what it needs, where not every one does.
    pub(crate) fn first_version(self) -> Option<(u32, u32, u32)> {
        (self == RetryLayout::Native).then_some(native::FIRST_VERSION)
    }

    fn around(self, queue: &Queue, policy: &RetryPolicy, archive: Archive) -> Arc<dyn Waiting> {
        match self {
            RetryLayout::Levels => Arc::new(levels::Levels::new(queue, policy, archive)),
            RetryLayout::Native => Arc::new(native::Native::new(queue, archive)),
            RetryLayout::Shared => Arc::new(shared::Shared::new(queue)),
        }
    }
}

/// What the layouts differ in.
trait Waiting: fmt::Debug + Send + Sync {
    /// The header that counts a message's retries.
    fn counted_by(&self) -> &'static str;
    /// The queues where failed messages wait.
    fn queues(&self) -> Vec<Queue>;
    /// Where one waits that is to come again after this delay.
    fn place(&self, delay: Duration) -> Place;
    /// The queue for what was given up; `quorum_archive` says whether the broker can keep a quorum queue from giving up messages
    /// that are looked at often.
    fn archive(&self, quorum_archive: bool) -> Queue;
    /// The queue for what was rejected, where the broker's own dead-lettering is not trusted.
    fn dead(&self) -> Queue;
    /// What happens when the archive is full.
    fn when_full(&self) -> &'static str;
}

/// Where a message waits.
enum Place {
    /// On another queue, with an expiration of its own if that queue has none.
    Queue { name: String, expiration: Option<Duration> },
    /// On the queue that it came from.
    Itself,
}

/// What follows a failed attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is published to where it waits, confirmed, and then acked.
    Move(Box<Publication>),
    /// It is handed back as failed, and its queue delivers it again after this delay.
    Fail(Duration),
    /// There is no further attempt.
    GiveUp,
}

/// The queues around one consumed queue.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    queue: Queue,
    policy: RetryPolicy,
    waiting: Arc<dyn Waiting>,
    rejects: Rejects,
    archive_name: String,
    /// What a moved message has to fit into.
    frame: Frame,
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
    pub fn of(queue: &Queue, policy: &RetryPolicy, layout: RetryLayout, archive: Archive, declared: &Topology) -> Self {
        let rejects = if dead_letters_arrive(queue, declared) { Rejects::ByBroker } else { Rejects::ByPublish };
        let waiting = layout.around(queue, policy, archive);
        let archive_name = waiting.archive(false).name;
        let frame = Frame::counting_by(waiting.counted_by());
        Layout { queue: queue.clone(), policy: policy.clone(), waiting, rejects, archive_name, frame }
    }

    /// The same where frames are smaller.
    pub fn fitting(mut self, frame_max: u32) -> Self {
        self.frame.max = frame_max;
        self
    }

    /// The queues to declare beside the main one; `quorum_archive` says that the broker can keep a quorum queue from giving
    /// up messages that are looked at often.
    pub fn queues(&self, quorum_archive: bool) -> Vec<Queue> {
        let mut queues = self.waiting.queues();
        queues.push(self.waiting.archive(quorum_archive));
        let dead = self.waiting.dead();
        if self.rejects == Rejects::ByPublish && dead.name != self.archive_name {
            queues.push(dead);
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

    /// The header that counts a message's retries.
    pub fn counted_by(&self) -> &'static str {
        self.waiting.counted_by()
    }

    pub fn archive_name(&self) -> &str {
        &self.archive_name
    }

    pub fn dead_name(&self) -> String {
        self.waiting.dead().name
    }

    /// How much the archive holds, and what happens then.
    pub fn archive_bound(&self) -> Bound {
        Bound::of(&self.waiting.archive(false), &self.queue.name, self.waiting.when_full())
    }

    /// What follows a failed attempt; `random` between 0 and 1 is for the policy's jitter.
    pub fn retry(&self, message: &Message, after: Option<Duration>, reason: &str, random: f64) -> Next {
        // Asking for a delay does not buy more attempts than the policy has.
        let Some(nominal) = self.policy.next_delay(message.retries()) else { return Next::GiveUp };
        let delay = after.unwrap_or_else(|| self.policy.jittered(nominal, random));
        match self.waiting.place(delay) {
            Place::Itself => Next::Fail(nominal),
            // A message with no room for its count would come again for ever: it is archived instead.
            Place::Queue { name, expiration } => {
                let moved = self.frame.retried(message, name, expiration, reason);
                moved.map_or(Next::GiveUp, |moved| Next::Move(Box::new(moved)))
            }
        }
    }

    /// The message as it is kept for a human.
    pub fn archive(&self, message: &Message, reason: &str) -> Publication {
        self.frame.archived(message, &self.archive_name, reason)
    }

    /// The message as it stands in the dead letters.
    pub fn dead(&self, message: &Message, reason: &str) -> Publication {
        self.frame.dead(message, &self.dead_name(), reason)
    }

    /// The message at the end of its own queue, counted as one that came again so often, if there is room for the count.
    pub fn to_the_end(&self, message: &Message, times: u32) -> Option<Publication> {
        self.frame.sent_back(message, &self.queue.name, times)
    }
}
