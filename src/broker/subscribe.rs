//! How a queue is consumed by hand: what a consumer may ask of the broker.

use crate::message::{Table, Value};
use crate::transport::Subscription;

/// How to consume a queue with [`Connection::consume_with`](crate::Connection::consume_with).
///
/// ```
/// use bootstep::Subscribe;
///
/// let options = Subscribe::new().prefetch(10).priority(5).exclusive();
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct Subscribe {
    prefetch: u16,
    exclusive: bool,
    arguments: Table,
}

impl Subscribe {
    /// One unsettled message at a time, of priority 0, beside other consumers.
    pub fn new() -> Self {
        Subscribe { prefetch: 1, exclusive: false, arguments: Table::new() }
    }

    /// How many messages may be unsettled (1 by default, and at the least).
    pub fn prefetch(mut self, messages: u16) -> Self {
        self.prefetch = messages;
        self
    }

    /// The broker serves consumers of a higher priority first (0 by default).
    /// See <https://www.rabbitmq.com/docs/consumer-priority>.
    pub fn priority(self, priority: i32) -> Self {
        self.argument("x-priority", priority)
    }

    /// Nobody else may consume from the queue meanwhile. Quorum queues know nothing of it.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// This sets any other consumer argument.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }

    pub(super) fn to(&self, queue: &str) -> Subscription {
        let Subscribe { prefetch, exclusive, arguments } = self.clone();
        Subscription { queue: queue.into(), prefetch, exclusive, arguments }
    }
}

impl Default for Subscribe {
    fn default() -> Self {
        Subscribe::new()
    }
}
