//! Which messages are poison: those whose worker ended, time and again, before it had said what becomes of them.

use crate::delivered::{headers, Message};
use crate::message::{Parts, Table, Value};
use crate::topology::{Queue, DELAYED_RETRY_TYPE};

/// RabbitMQ's own bound since 4.0 (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>): beyond it, a quorum queue
/// drops a message or dead-letters it.
const BROKERS_LIMIT: u32 = 20;

/// When a message counts as poison. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Poison {
    /// On a quorum queue, whose deliveries the broker counts.
    counted: Option<u32>,
    /// On any other, where the worker counts them itself: it sends what came again to the end of the queue.
    uncounted: Option<u32>,
}

/// What is to be done about a message that may have come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    None,
    /// It came again so often that it is handled alone: then nobody else is counted for what it does.
    Alone(u32),
    /// Count it: at the end of the queue it comes as a new one, that came again so often.
    ToTheEnd(u32),
    /// It came again so often that it is poison.
    GiveUp(u32),
}

impl Poison {
    /// `after` is what the consumer asks for, if anything.
    pub fn of(queue: &Queue, after: Option<u32>) -> Self {
        // There the broker counts failed attempts, and the retry policy says how many there may be.
        if queue.arguments.contains_key(DELAYED_RETRY_TYPE) {
            return Poison { counted: None, uncounted: None };
        }
        let declared = queue.arguments.get("x-delivery-limit").and_then(Value::as_i64);
        let brokers = match declared {
            // Without a limit on the queue nobody asked for one here.
            Some(limit) if limit < 0 => None,
            Some(limit) => Some(u32::try_from(limit).unwrap_or(u32::MAX).max(1)),
            None => Some(BROKERS_LIMIT),
        };
        let counted = match (after, brokers) {
            (Some(after), Some(brokers)) => Some(after.min(brokers)),
            (after, brokers) => after.or(brokers),
        };
        Poison { counted, uncounted: after.filter(|_| queue.queue_type() != Some("quorum")) }
    }

    /// Whether a message may be a suspect though the broker has not delivered it before: one that the worker has counted.
    pub fn may_suspect(&self, parts: &Parts) -> bool {
        let is_counted = |headers: &Table| headers.contains_key(headers::REDELIVERIES);
        self.uncounted.is_some() && parts.properties.headers.as_ref().is_some_and(is_counted)
    }

    /// What to do about a message.
    pub fn suspect(&self, message: &Message) -> Suspicion {
        let count = |name: &str| Some(u32::try_from(message.header(name)?.as_i64()?.max(0)).unwrap_or(u32::MAX));
        if let Some(times) = count("x-delivery-count") {
            return self.counted.map_or(Suspicion::None, |most| judge(times, most));
        }
        // RabbitMQ 4.3 counts what was handed back apart: that is nobody's fault.
        let Some(most) = self.uncounted.filter(|_| message.header("x-acquired-count").is_none()) else {
            return Suspicion::None;
        };
        let times = count(headers::REDELIVERIES).unwrap_or(0);
        match message.is_redelivered() {
            false => judge(times, most),
            true if times.saturating_add(1) >= most => Suspicion::GiveUp(times.saturating_add(1)),
            true => Suspicion::ToTheEnd(times + 1),
        }
    }
}

fn judge(times: u32, most: u32) -> Suspicion {
    // From half of what is allowed, and at least twice: forwards and backwards.
    let alone_from = (most / 2).min(most.saturating_sub(2)).max(1);
    match times {
        _ if times >= most => Suspicion::GiveUp(times),
        _ if times >= alone_from => Suspicion::Alone(times),
        _ => Suspicion::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Delivery, Properties};

    fn suspicion(queue: Queue, after: Option<u32>, is_redelivered: bool, header: Option<(&str, i64)>) -> Suspicion {
        let mut properties = Properties::default();
        if let Some((name, value)) = header {
            properties = properties.header(name, value);
        }
        let parts = Parts { exchange: String::new(), routing_key: "jobs".into(), properties, body: Default::default() };
        let delivery = Delivery { tag: 1, redelivered: is_redelivered, parts: parts.into(), flaw: None };
        Poison::of(&queue, after).suspect(&Message::new(&delivery, &"jobs".into()))
    }

    #[test]
    fn on_a_quorum_queue_the_broker_counts() {
        #[track_caller]
        fn check(queue: Queue, after: Option<u32>, times: i64, expected: Suspicion) {
            assert_eq!(suspicion(queue, after, true, Some(("x-delivery-count", times))), expected);
        }
        let queue = || Queue::new("jobs").quorum();
        check(queue(), None, 9, Suspicion::None);
        check(queue(), None, 10, Suspicion::Alone(10));
        check(queue(), None, 19, Suspicion::Alone(19));
        check(queue(), None, 20, Suspicion::GiveUp(20));
        check(queue().delivery_limit(3), None, 1, Suspicion::Alone(1));
        check(queue().delivery_limit(3), None, 3, Suspicion::GiveUp(3));
        check(queue().argument("x-delivery-limit", -1), None, 1000, Suspicion::None);
        check(queue().argument("x-delivery-limit", -1), Some(5), 5, Suspicion::GiveUp(5));
        check(queue(), Some(2), 2, Suspicion::GiveUp(2));
        check(queue().delivery_limit(3), Some(9), 3, Suspicion::GiveUp(3));
        check(Queue::existing("jobs"), None, 20, Suspicion::GiveUp(20));
        assert_eq!(suspicion(queue(), Some(2), true, Some(("x-acquired-count", 9))), Suspicion::None);
    }

    #[test]
    fn on_a_classic_queue_it_is_counted_only_if_asked_for() {
        #[track_caller]
        fn check(after: Option<u32>, is_redelivered: bool, times: i64, expected: Suspicion) {
            let header = Some((headers::REDELIVERIES, times));
            assert_eq!(suspicion(Queue::new("jobs"), after, is_redelivered, header), expected);
        }
        check(None, true, 7, Suspicion::None);
        check(Some(3), true, 0, Suspicion::ToTheEnd(1));
        check(Some(3), false, 1, Suspicion::Alone(1));
        check(Some(3), true, 1, Suspicion::ToTheEnd(2));
        check(Some(3), true, 2, Suspicion::GiveUp(3));
        check(Some(3), true, -7, Suspicion::ToTheEnd(1));
        check(Some(9), false, 3, Suspicion::None);
        check(Some(9), false, 4, Suspicion::Alone(4));
        assert_eq!(suspicion(Queue::new("jobs"), Some(1), true, None), Suspicion::GiveUp(1));
    }
}
