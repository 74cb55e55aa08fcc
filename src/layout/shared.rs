//! The `shared` layout: the three queues of celery-message-consumer, declared as its workers declare them, so that both kinds can
//! work on one queue and count alike.

use super::custom::{CustomLayout, Departure};
use crate::delivered::{headers, Message};
use crate::message::{Publication, Table, Value};
use crate::retry::whole;
use crate::topology::{Exchange, Queue, Topology};
use std::borrow::Cow;
use std::time::Duration;

/// 24 days.
const ARCHIVE_TTL_MS: i64 = 2_073_600_000;

const ARCHIVE_LENGTH: i64 = 1_000_000;

/// The queues of celery-message-consumer around one queue, with what its deployments can set; as it is made, it is
/// [`RetryLayout::Shared`](crate::RetryLayout::Shared).
///
/// ```
/// use bootstep::{Consumer, Outcome, SharedLayout, Table};
///
/// // As a deployment has it that sets `RETRY_HEADER` and `ARCHIVE_QUEUE_ARGS`.
/// let layout = SharedLayout::around("orders")
///     .retry_header("x-orders-retries")
///     .archive_arguments(Table::from([("x-max-length".to_owned(), 500.into())]));
/// let consumer = Consumer::new("orders", |_order: String, _message| Ok(Outcome::Ack)).layout(layout);
/// ```
#[derive(Clone, Debug)]
pub struct SharedLayout {
    queue: String,
    retry_header: Cow<'static, str>,
    archive_arguments: Table,
    bound_to: Option<Exchange>,
}

impl SharedLayout {
    /// The layout around the queue of this name.
    pub fn around(queue: impl Into<String>) -> Self {
        let arguments: [(&str, Value); 3] = [
            ("x-message-ttl", ARCHIVE_TTL_MS.into()),
            ("x-max-length", ARCHIVE_LENGTH.into()),
            ("x-queue-mode", "lazy".into()),
        ];
        SharedLayout {
            queue: queue.into(),
            retry_header: headers::RETRY_COUNT.into(),
            archive_arguments: arguments.map(|(name, value)| (name.to_owned(), value)).into(),
            bound_to: None,
        }
    }

    /// The header that counts retries (`x-retry-count` by default).
    pub fn retry_header(mut self, name: impl Into<String>) -> Self {
        self.retry_header = name.into().into();
        self
    }

    /// What `<queue>.archived` is declared with (by default 24 days, 1,000,000 messages and `x-queue-mode` `lazy`).
    pub fn archive_arguments(mut self, arguments: Table) -> Self {
        self.archive_arguments = arguments;
        self
    }

    /// The exchange that retry and archive queue are bound to, each by its own name (none by default): where a deployment's
    /// `EXCHANGES` has one called `default`. Nothing is published there from here, since it arrives by the default exchange as well.
    pub fn bound_to(mut self, exchange: Exchange) -> Self {
        self.bound_to = Some(exchange);
        self
    }

    fn retry_name(&self) -> String {
        format!("{}.retry", self.queue)
    }

    fn archive_name(&self) -> String {
        format!("{}.archived", self.queue)
    }

    fn bound(&self, queue: Queue) -> Queue {
        let name = queue.name.clone();
        match &self.bound_to {
            Some(exchange) => queue.bind(&*exchange.name, name),
            None => queue,
        }
    }
}

impl CustomLayout for SharedLayout {
    fn counted_by(&self) -> Cow<'static, str> {
        self.retry_header.clone()
    }

    fn check(&self, queue: &Queue) -> Result<(), String> {
        // Retries would come back to a queue that is another, or none.
        match queue.name == self.queue && !self.queue.is_empty() {
            true => Ok(()),
            false => {
                Err(format!("the layout is around `{}`; make it with `SharedLayout::around(\"{}\")`", self.queue, queue.name))
            }
        }
    }

    fn topology(&self) -> Topology {
        let retry = Queue::new(self.retry_name()).dead_letter_to("", &self.queue);
        let archive = Queue { arguments: self.archive_arguments.clone(), ..Queue::new(self.archive_name()) };
        let around = Topology { exchanges: self.bound_to.iter().cloned().collect(), ..Topology::default() };
        around.queue(self.bound(retry)).queue(self.bound(archive))
    }

    fn archive_queue(&self) -> Option<String> {
        Some(self.archive_name())
    }

    fn retry(&self, _message: &Message, copy: Publication, delay: Duration) -> Departure {
        let mut copy = readable(copy);
        copy.properties.expiration = Some(whole(delay).as_millis().to_string());
        Departure::Publish(copy.to("", self.retry_name()))
    }

    fn archive(&self, _message: &Message, copy: Publication, _reason: &str) -> Departure {
        Departure::Publish(readable(copy).to("", self.archive_name()))
    }

    /// There are three queues and no more: who looks for what went wrong looks in the archive.
    fn reject(&self, message: &Message, copy: Publication, reason: &str) -> Departure {
        self.archive(message, copy, reason)
    }
}

/// The same with integers that the Python workers read as they are.
fn readable(mut copy: Publication) -> Publication {
    copy.properties.headers.iter_mut().flat_map(Table::values_mut).for_each(Value::widen);
    copy
}
