//! Where the failed events of a service wait and where they end, with the headers that Python workers read.

use bootstep::celery::Task;
use bootstep::{CustomLayout, Decode, Departure, Exchange, Message, Publication, Queue, Table, Topology, Value};
use std::borrow::Cow;
use std::time::Duration;

/// The retry queues and the archive of a service, for one of its events.
pub(crate) struct EventLayout {
    service: String,
    event: String,
    retries: u32,
    archive: Option<Table>,
}

impl EventLayout {
    pub fn new(service: &str, event: &str, retries: u32, archive: Option<Table>) -> Self {
        EventLayout { service: service.to_owned(), event: event.to_owned(), retries, archive }
    }

    /// The first has no number.
    pub fn retry_name(&self, place: u32) -> String {
        match place {
            0 => format!("{}:retry", self.service),
            place => format!("{}:retry.{place}", self.service),
        }
    }

    pub fn recover_name(&self) -> String {
        format!("{}:recover", self.service)
    }

    fn archive_name(&self) -> String {
        format!("{}:archived", self.service)
    }

    fn keep(&self, mut copy: Publication) -> Departure {
        // As Python workers read them.
        copy.properties.headers.iter_mut().flat_map(Table::values_mut).for_each(Value::widen);
        match &self.archive {
            Some(_) => Departure::Publish(copy.to(self.archive_name(), self.event.as_str())),
            // Its queue would dead-letter it, and it would come again.
            None => Departure::Discard,
        }
    }
}

impl CustomLayout for EventLayout {
    fn counted_by(&self) -> Cow<'static, str> {
        "retries".into()
    }

    fn topology(&self) -> Topology {
        let mut topology = Topology::default();
        for place in 0..self.retries {
            let (name, wait) = (self.retry_name(place), Duration::from_secs(1 << place));
            // No routing key for what comes back: it keeps its own, the event's.
            let queue = Queue::new(&*name).message_ttl(wait).argument("x-dead-letter-exchange", self.recover_name());
            topology = topology.exchange(Exchange::fanout(&*name)).queue(queue.bind(&*name, ""));
        }
        let Some(arguments) = &self.archive else { return topology };
        let name = self.archive_name();
        let queue = Queue::new(&*name).bind(&*name, "");
        let queue = arguments.iter().fold(queue, |queue, (name, value)| queue.argument(name, value.clone()));
        topology.exchange(Exchange::fanout(name)).queue(queue)
    }

    fn archive_queue(&self) -> Option<String> {
        self.archive.as_ref().map(|_| self.archive_name())
    }

    fn retry(&self, message: &Message, copy: Publication, delay: Duration) -> Departure {
        // An upper bound of one more than the worker has retries could not be: the policy ends before.
        let place = place_of(message.retries(), delay, |most| fastrand::u64(0..=most)).min(self.retries.saturating_sub(1));
        // Always the event's own name: what was put on the queue by hand has another key, and would not come back.
        Departure::Publish(sent_again(message, copy).to(self.retry_name(place), self.event.as_str()))
    }

    fn archive(&self, message: &Message, copy: Publication, _reason: &str) -> Departure {
        self.keep(sent_again(message, copy))
    }

    /// Its count stays as it came: it was worth no attempt.
    fn reject(&self, _message: &Message, copy: Publication, _reason: &str) -> Departure {
        self.keep(copy)
    }

    /// A Python worker sends an event again under the key that it came by: under the queue's own name it would never come back.
    fn to_the_end(&self, _message: &Message, copy: Publication) -> Publication {
        match self.retries {
            0 => copy,
            _ => copy.to(self.recover_name(), self.event.as_str()),
        }
    }
}

/// The policy's own delay. The millisecond tells it from what a handler asks for, of which nothing is drawn.
pub(crate) fn own_delay(retries: u32) -> Duration {
    Duration::from_secs(1 << retries.min(63)) + Duration::from_millis(1)
}

/// Which retry queue: at the policy's own delay, a random number of seconds up to it, rounded down to a power of two; at one that a
/// handler asks for, the first that holds messages for as long.
fn place_of(retries: u32, delay: Duration, random_up_to: impl FnOnce(u64) -> u64) -> u32 {
    if delay == own_delay(retries) {
        return random_up_to(delay.as_secs()).max(1).ilog2();
    }
    let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
    seconds.max(1).checked_next_power_of_two().map_or(63, u64::ilog2)
}

/// The copy as Celery sends a task again.
fn sent_again(message: &Message, copy: Publication) -> Publication {
    let mut copy = match (message.header("task"), Task::decode(message)) {
        (None, Ok(task)) => of_protocol_2(task, copy),
        _ => copy,
    };
    let headers = copy.properties.headers.get_or_insert_default();
    let attempts = i32::try_from(message.attempt()).unwrap_or(i32::MAX);
    let counted = headers.get("retries").and_then(Value::as_i64).and_then(|retries| i32::try_from(retries).ok());
    headers.insert("retries".into(), counted.map_or(attempts, |counted| counted.max(attempts)).into());
    if let Some(id) = headers.get("id").filter(|id| id.as_str().is_some()).cloned() {
        headers.insert("parent_id".into(), id);
        headers.insert("eta".into(), Value::Null);
    }
    headers.values_mut().for_each(Value::widen);
    copy
}

/// A body of protocol 1 counts its retries itself; what Celery sends again, it sends by protocol 2.
fn of_protocol_2(mut task: Task, copy: Publication) -> Publication {
    task.retries = task.retries.saturating_add(1);
    let mut publication = task.to_publication("", "");
    let headers = publication.properties.headers.get_or_insert_default();
    for (name, value) in copy.properties.headers.unwrap_or_default() {
        headers.entry(name).or_insert(value);
    }
    publication
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_in_the_queue_of_a_random_power_of_two() {
        #[track_caller]
        fn check(retries: u32, random: u64, expected: u32) {
            let place = place_of(retries, own_delay(retries), |most| {
                assert_eq!(most, 1 << retries);
                random
            });
            assert_eq!(place, expected);
        }
        check(0, 0, 0);
        check(0, 1, 0);
        check(3, 0, 0);
        check(3, 1, 0);
        check(3, 3, 1);
        check(3, 7, 2);
        check(3, 8, 3);
        check(22, (1 << 22) - 1, 21);
    }

    #[test]
    fn what_a_handler_asks_for_is_rounded_up() {
        #[track_caller]
        fn check(milliseconds: u64, expected: u32) {
            assert_eq!(place_of(5, Duration::from_millis(milliseconds), |_| panic!("nothing is drawn")), expected);
        }
        check(0, 0);
        check(1, 0);
        check(1_000, 0);
        check(1_001, 1);
        check(2_000, 1);
        check(4_500, 3);
        check(32_000, 5);
        check(3_600_000, 12);
        assert_eq!(place_of(0, Duration::MAX, |_| 0), 63);
    }
}
