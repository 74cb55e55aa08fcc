//! What a deployment of celery-amqp-events can set, by the same environment variables.

use bootstep::{Error, Fault, Table};

/// RabbitMQ takes 32 bits of milliseconds for a time to live (<https://www.rabbitmq.com/docs/ttl>).
const LONGEST_TTL_MS: u64 = u32::MAX as u64;

/// The last retry queue of so many holds messages for 2^22 seconds, the last power of two that RabbitMQ takes.
const MOST_RETRIES: u32 = 23;

/// The settings of a [`Service`](bootstep::steps::celery_amqp_events::Service). All workers of a service, Python's included, must
/// have the same ones: another number declares other queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    max_retries: u32,
    archived_message_ttl_ms: u64,
    archived_queue_length: u64,
    exchange: String,
    poison_after: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_retries: 10,
            archived_message_ttl_ms: 7 * 24 * 3600 * 1000,
            archived_queue_length: 10_000,
            exchange: "events".into(),
            poison_after: 5,
        }
    }
}

impl Settings {
    /// The settings that the environment has; what it does not have is the default.
    ///
    /// | variable | default | what it sets |
    /// |---|---|---|
    /// | `AMQP_EVENTS_MAX_RETRIES` | 10 | [`max_retries`](Settings::max_retries) |
    /// | `AMQP_EVENTS_ARCHIVED_MESSAGE_TTL` | 604800000 | [`archived_message_ttl_ms`](Settings::archived_message_ttl_ms) |
    /// | `AMQP_EVENTS_ARCHIVED_QUEUE_LENGTH` | 10000 | [`archived_queue_length`](Settings::archived_queue_length) |
    ///
    /// # Errors
    /// When a value is no whole number in its range; all that are wrong are named ([`Fault::Config`]).
    pub fn from_env() -> Result<Self, Error> {
        Settings::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The same from wherever these names lead to a value.
    ///
    /// ```
    /// use bootstep::steps::celery_amqp_events::Settings;
    ///
    /// let settings = Settings::from_variables(|name| (name == "AMQP_EVENTS_MAX_RETRIES").then(|| "3".into()))?;
    /// assert_eq!(settings, Settings::default().max_retries(3));
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_env`](Settings::from_env).
    pub fn from_variables(value_of: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut wrong = Vec::new();
        let mut number = |name: &str, default: u64, most: u64| {
            let Some(value) = value_of(name) else { return default };
            let parsed = value.trim().parse().ok().filter(|number| *number <= most);
            parsed.unwrap_or_else(|| {
                wrong.push(format!("`{name}` is `{value}`, and a whole number from 0 to {most} is wanted"));
                default
            })
        };
        let default = Settings::default();
        let retries = number("AMQP_EVENTS_MAX_RETRIES", default.max_retries.into(), MOST_RETRIES.into());
        let settings = Settings {
            max_retries: u32::try_from(retries).unwrap_or(MOST_RETRIES),
            archived_message_ttl_ms: number(
                "AMQP_EVENTS_ARCHIVED_MESSAGE_TTL",
                default.archived_message_ttl_ms,
                LONGEST_TTL_MS,
            ),
            archived_queue_length: number("AMQP_EVENTS_ARCHIVED_QUEUE_LENGTH", default.archived_queue_length, i64::MAX as u64),
            ..default
        };
        match wrong.is_empty() {
            true => Ok(settings),
            false => Err(Error::new(Fault::Config, wrong.join("; "))),
        }
    }

    /// How often a failed event is tried again (10 by default, 23 at the most); the last retry waits up to two to the power of one
    /// less, in seconds. With 0 there are no retry queues, and what fails is archived at once.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How long an archived event is kept, in milliseconds (a week by default). 0 is for as long as there is room.
    ///
    /// A Python worker declares its archive with the 0, by which it keeps nothing at all; so does it with a
    /// [length](Settings::archived_queue_length) of 0. Beside Python workers, set neither to 0, or both.
    pub fn archived_message_ttl_ms(mut self, milliseconds: u64) -> Self {
        self.archived_message_ttl_ms = milliseconds;
        self
    }

    /// How many archived events are kept (10,000 by default); then the oldest go. 0 is as many as there are. With both at 0 there is no
    /// archive: what is given up is logged, and gone.
    pub fn archived_queue_length(mut self, events: u64) -> Self {
        self.archived_queue_length = events;
        self
    }

    /// The exchange of all events (`events` by default): `task_default_exchange` there.
    pub fn exchange(mut self, name: impl Into<String>) -> Self {
        self.exchange = name.into();
        self
    }

    /// After so many deliveries whose worker ended without a word, an event is archived unhandled (5 by default; see
    /// [`Consumer::poison_after`](bootstep::Consumer::poison_after)).
    pub fn poison_after(mut self, deliveries: u32) -> Self {
        self.poison_after = deliveries;
        self
    }

    /// What cannot be, each in words.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.max_retries > MOST_RETRIES {
            mistakes.push(format!(
                "`max_retries` is {}, and its longest retry queue would hold events for longer than RabbitMQ can: {MOST_RETRIES} are \
                 the most",
                self.max_retries
            ));
        }
        if self.archived_message_ttl_ms > LONGEST_TTL_MS {
            let ttl = self.archived_message_ttl_ms;
            mistakes.push(format!("`archived_message_ttl_ms` is {ttl}, and RabbitMQ takes {LONGEST_TTL_MS} at the most"));
        }
        if self.exchange.is_empty() {
            mistakes.push("`exchange` is empty, and nothing can be bound to the default exchange".into());
        }
        mistakes
    }

    pub(crate) fn retries(&self) -> u32 {
        self.max_retries
    }

    pub(crate) fn deaths(&self) -> u32 {
        self.poison_after
    }

    pub(crate) fn exchange_name(&self) -> &str {
        &self.exchange
    }

    /// What the archive is declared with, if there is one.
    pub(crate) fn archive(&self) -> Option<Table> {
        let bounds = [("x-message-ttl", self.archived_message_ttl_ms), ("x-max-length", self.archived_queue_length)];
        let bounds = bounds.into_iter().filter(|(_, bound)| *bound > 0);
        let mut arguments: Table =
            bounds.map(|(name, bound)| (name.to_owned(), i64::try_from(bound).unwrap_or(i64::MAX).into())).collect();
        if arguments.is_empty() {
            return None;
        }
        arguments.insert("x-queue-mode".into(), "lazy".into());
        Some(arguments)
    }
}
