//! Where a moved message goes: the names, arguments and headers of retry, archive and dead-letter queues. Pure.
//!
//! What levels and the native layout differ in stands behind one small trait, `Waiting`, in a file for each; the others are custom
//! layouts, as a user writes them.

mod archive;
mod arrival;
mod custom;
mod levels;
mod moved;
mod native;
mod shared;

pub use archive::Archive;
pub(crate) use archive::Bound;
pub use custom::{CustomLayout, Departure};
pub use shared::SharedLayout;

use crate::delivered::Message;
use crate::error::words_of;
use crate::message::Publication;
use crate::retry::RetryPolicy;
use crate::topology::{Queue, Topology};
use arrival::dead_letters_arrive;
use moved::Frame;
use std::borrow::Cow;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
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
    /// what is rejected is archived. What deployments can set is set in a [`SharedLayout`].
    Shared,
    /// Nothing around the queue: for one that goes with its consumer, or where nothing may be declared. A failed message is handed back
    /// and comes again at once; what is given up or rejected, the queue dead-letters, if it has a dead-letter exchange: **otherwise it is
    /// gone**. Attempts are not counted, so a policy's retries never end.
    Bare,
}

/// The layout that a consumer was given.
#[derive(Clone)]
pub(crate) enum Chosen {
    Shipped(RetryLayout),
    Custom(Arc<dyn CustomLayout>),
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Chosen::Shipped(layout) => write!(f, "`RetryLayout::{layout:?}`"),
            Chosen::Custom(_) => f.write_str("a layout of its own"),
        }
    }
}

impl Chosen {
    /// What cannot be done with such a queue and such a policy.
    pub fn check(&self, queue: &Queue, policy: &RetryPolicy, archive: &Archive) -> Result<(), String> {
        archive.check()?;
        let has_own_archive = matches!(self, Chosen::Shipped(RetryLayout::Levels | RetryLayout::Native));
        if !has_own_archive && *archive != Archive::default() {
            return Err("what it archives, and where, the layout says alone; leave `Consumer::archive` out".into());
        }
        match self {
            Chosen::Shipped(RetryLayout::Native) => native::check(queue, policy),
            Chosen::Custom(custom) => custom.check(queue),
            Chosen::Shipped(RetryLayout::Levels | RetryLayout::Shared) if queue.name.is_empty() => {
                Err("the broker names the queue, anew with each connection, so no lasting queues can stand around it; use \
                     `RetryLayout::Bare`, or `Consumer::layout`"
                    .into())
            }
            _ => Ok(()),
        }
    }

    pub fn is_native(&self) -> bool {
        matches!(self, Chosen::Shipped(RetryLayout::Native))
    }

    pub fn is_bare(&self) -> bool {
        matches!(self, Chosen::Shipped(RetryLayout::Bare))
    }

    /// The first RabbitMQ that has what it needs, where not every one does.
    pub fn first_version(&self) -> Option<(u32, u32, u32)> {
        self.is_native().then_some(native::FIRST_VERSION)
    }

    fn around(&self, queue: &Queue, policy: &RetryPolicy, archive: Archive, declared: &Topology) -> Around {
        let waiting: Arc<dyn Waiting> = match self {
            Chosen::Custom(custom) => return Around::Custom(custom.clone()),
            Chosen::Shipped(RetryLayout::Bare) => return Around::Custom(Arc::new(custom::Bare)),
            Chosen::Shipped(RetryLayout::Shared) => return Around::Custom(Arc::new(SharedLayout::around(&*queue.name))),
            Chosen::Shipped(RetryLayout::Levels) => Arc::new(levels::Levels::new(queue, policy, archive)),
            Chosen::Shipped(RetryLayout::Native) => Arc::new(native::Native::new(queue, archive)),
        };
        let rejects = if dead_letters_arrive(queue, declared) { Rejects::ByBroker } else { Rejects::ByPublish };
        Around::Shipped { waiting, rejects }
    }
}

/// What the layouts differ in that archive and reject alike.
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
}

/// Where a message waits.
enum Place {
    /// On the queue of this name.
    Queue(String),
    /// On the queue that it came from.
    Itself,
}

/// What follows a failed attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// It leaves, to come again.
    Depart(Box<Departure>),
    /// It is handed back as failed, and its queue delivers it again after this delay.
    Fail(Duration),
    /// There is no further attempt.
    GiveUp,
}

/// The queues around one consumed queue.
#[derive(Clone)]
pub(crate) struct Layout {
    queue: Queue,
    policy: RetryPolicy,
    around: Around,
    /// What a moved message has to fit into.
    frame: Frame,
}

#[derive(Clone)]
enum Around {
    Shipped { waiting: Arc<dyn Waiting>, rejects: Rejects },
    Custom(Arc<dyn CustomLayout>),
}

/// How a rejected message gets to its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejects {
    /// By `basic.reject`: the queue dead-letters, and where to is declared here, or trusted.
    ByBroker,
    /// Published to `<queue>.dead`, confirmed, then acked.
    ByPublish,
}

impl Layout {
    /// `declared` is all that is declared here: only what is ours is trusted to be there.
    pub fn of(queue: &Queue, policy: &RetryPolicy, chosen: &Chosen, archive: Archive, declared: &Topology) -> Self {
        let around = chosen.around(queue, policy, archive, declared);
        let frame = Frame::counting_by(match &around {
            Around::Shipped { waiting, .. } => waiting.counted_by().into(),
            Around::Custom(custom) => custom.counted_by(),
        });
        Layout { queue: queue.clone(), policy: policy.clone(), around, frame }
    }

    /// The same where frames are smaller.
    pub fn fitting(mut self, frame_max: u32) -> Self {
        self.frame.max = frame_max;
        self
    }

    /// The same where the dead-letter exchange may be trusted that nobody here declares.
    pub fn trusting(mut self, is_trusted: bool) -> Self {
        if let (true, Around::Shipped { rejects, .. }) = (is_trusted, &mut self.around) {
            *rejects = Rejects::ByBroker;
        }
        self
    }

    /// What to declare beside the main queue; `quorum_archive` says that the broker can keep a quorum queue from giving up messages
    /// that are looked at often.
    pub fn topology(&self, quorum_archive: bool) -> Topology {
        match &self.around {
            Around::Custom(custom) => custom.topology(),
            Around::Shipped { waiting, rejects } => {
                let mut queues = waiting.queues();
                queues.push(waiting.archive(quorum_archive));
                if *rejects == Rejects::ByPublish {
                    queues.push(waiting.dead());
                }
                Topology { queues, ..Topology::default() }
            }
        }
    }

    /// The dead-letter exchange that was asked for and is not trusted to take everything, and the queue that is taken instead.
    pub fn distrusted(&self) -> Option<(&str, String)> {
        match &self.around {
            Around::Shipped { waiting, rejects: Rejects::ByPublish } if !self.queue.passive => {
                self.queue.dead_letter_exchange().map(|exchange| (exchange, waiting.dead().name))
            }
            _ => None,
        }
    }

    /// The header that counts a message's retries.
    pub fn counted_by(&self) -> Cow<'static, str> {
        self.frame.counted_by.clone()
    }

    /// The archive, where a bound that it was once declared with is as good as another.
    pub fn lenient_archive(&self) -> Option<String> {
        match &self.around {
            Around::Shipped { waiting, .. } => Some(waiting.archive(false).name),
            Around::Custom(_) => None,
        }
    }

    /// How much the archive holds, and what happens then.
    pub fn archive_bound(&self) -> Option<Bound> {
        match &self.around {
            Around::Shipped { waiting, .. } => Some(Bound::of(&waiting.archive(false), &self.queue.name)),
            Around::Custom(custom) => {
                let name = custom.archive_queue()?;
                let archive = custom.topology().queues.into_iter().find(|queue| queue.name == name)?;
                Some(Bound::of(&archive, &self.queue.name))
            }
        }
    }

    /// What follows a failed attempt; `random` between 0 and 1 is for the policy's jitter.
    pub fn retry(&self, message: &Message, after: Option<Duration>, reason: &str, random: f64) -> Next {
        // Asking for a delay does not buy more attempts than the policy has.
        let Some(nominal) = self.policy.next_delay(message.retries()) else { return Next::GiveUp };
        let delay = after.unwrap_or_else(|| self.policy.jittered(nominal, random));
        let copy = || self.frame.retry_copy(message, reason);
        let departure = match &self.around {
            // Nobody says where it is to wait.
            Around::Custom(custom) => match self.asked(|| custom.retry(message, copy(), delay)) {
                Some(departure) => departure,
                None => return Next::GiveUp,
            },
            Around::Shipped { waiting, .. } => match waiting.place(delay) {
                Place::Itself => return Next::Fail(nominal),
                Place::Queue(name) => Departure::Publish(copy().to("", name)),
            },
        };
        match departure {
            // A message with no room for its count would come again for ever: it is archived instead.
            Departure::Publish(copy) => self
                .frame
                .counted(copy.mandatory(), message)
                .map_or(Next::GiveUp, |copy| Next::Depart(Box::new(Departure::Publish(copy)))),
            other => Next::Depart(Box::new(other)),
        }
    }

    /// The message on its way to where it is kept for a human.
    pub fn archive(&self, message: &Message, reason: &str) -> Departure {
        let copy = self.frame.archive_copy(message, reason);
        let departure = match &self.around {
            Around::Custom(custom) => self.asked(|| custom.archive(message, copy, reason)).unwrap_or(Departure::Requeue),
            Around::Shipped { waiting, .. } => Departure::Publish(copy.to("", waiting.archive(false).name)),
        };
        self.kept(departure, message)
    }

    /// The message on its way to the dead letters.
    pub fn dead(&self, message: &Message, reason: &str) -> Departure {
        let copy = || self.frame.dead_copy(message, reason);
        let departure = match &self.around {
            Around::Custom(custom) => self.asked(|| custom.reject(message, copy(), reason)).unwrap_or(Departure::Requeue),
            Around::Shipped { rejects: Rejects::ByBroker, .. } => Departure::Reject,
            Around::Shipped { waiting, .. } => Departure::Publish(copy().to("", waiting.dead().name)),
        };
        self.kept(departure, message)
    }

    fn kept(&self, departure: Departure, message: &Message) -> Departure {
        match departure {
            Departure::Publish(copy) => Departure::Publish(self.frame.kept(copy.mandatory(), message)),
            other => other,
        }
    }

    /// The message at the end of its own queue, counted as one that came again so often, if there is room for the count.
    pub fn to_the_end(&self, message: &Message, times: u32) -> Option<Publication> {
        let copy = self.frame.sent_back(message, &self.queue.name, times)?;
        Some(match &self.around {
            Around::Custom(custom) => self.asked(|| custom.to_the_end(message, copy.clone())).unwrap_or(copy).mandatory(),
            Around::Shipped { .. } => copy,
        })
    }

    /// What a layout of the user's own says, unless it panics: that must cost neither the message nor the thread.
    fn asked<T>(&self, ask: impl FnOnce() -> T) -> Option<T> {
        let said = catch_unwind(AssertUnwindSafe(ask));
        said.inspect_err(|panic| log::error!("`{}`: the consumer's layout panicked: {}", self.queue.name, words_of(&**panic)))
            .ok()
    }
}
