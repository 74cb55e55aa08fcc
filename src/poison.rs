//! Which messages are poison: those whose worker ended, time and again, before it had said what becomes of them.

use crate::delivered::{headers, Message};
use crate::message::{Parts, Table, Value};
use crate::topology::Queue;

/// RabbitMQ's own bound since 4.0 (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>): beyond it, a quorum queue
/// drops a message or dead-letters it.
const BROKERS_LIMIT: u32 = 20;

/// When a message counts as poison. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Poison {
    /// On a quorum queue, whose deliveries the broker counts.
    counted: Option<Bound>,
    /// On any other, where the worker counts them itself: it sends what came again to the end of the queue.
    uncounted: Option<Bound>,
    /// Giving up is the broker's: nothing is kept here, and what it lets through, it may let through for ever.
    left_to_broker: bool,
}

/// How often a message may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    /// From then on it is handled alone.
    alone_from: u32,
    most: u32,
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
    /// `after` is what the consumer asks for, if anything; `native_retries` how many of the broker's count are failed attempts, where
    /// the queue itself holds those back; `is_bare` where nothing stands around the queue.
    pub fn of(queue: &Queue, after: Option<u32>, native_retries: Option<u32>, is_bare: bool) -> Self {
        let declared = queue.arguments.get("x-delivery-limit").and_then(Value::as_i64);
        let brokers = declared.map_or(Some(BROKERS_LIMIT), |limit| u32::try_from(limit).ok());
        if let Some(retries) = native_retries {
            let bound = Bound::of(after.unwrap_or(BROKERS_LIMIT)).beyond(retries);
            let most = declared.and(brokers).map_or(bound.most, |limit| limit.min(bound.most));
            return Poison { counted: Some(Bound { most, ..bound }), uncounted: None, left_to_broker: false };
        }
        // Without a limit on the queue nobody asked for one here.
        let counted = match (after, brokers) {
            (Some(after), Some(brokers)) => Some(after.min(brokers)),
            (after, brokers) => after.or(brokers),
        };
        let uncounted = after.filter(|_| queue.queue_type() != Some("quorum"));
        Poison {
            counted: counted.map(Bound::of),
            uncounted: uncounted.map(Bound::of),
            left_to_broker: after.is_none() && is_bare,
        }
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
            return match self.counted.map_or(Suspicion::None, |bound| bound.judge(times)) {
                Suspicion::GiveUp(_) if self.left_to_broker => Suspicion::None,
                suspicion => suspicion,
            };
        }
        // RabbitMQ 4.3 counts what was handed back apart: that is nobody's fault.
        let Some(bound) = self.uncounted.filter(|_| message.header("x-acquired-count").is_none()) else {
            return Suspicion::None;
        };
        let times = count(headers::REDELIVERIES).unwrap_or(0);
        match message.is_redelivered() {
            false => bound.judge(times),
            true if times.saturating_add(1) >= bound.most => Suspicion::GiveUp(times.saturating_add(1)),
            true => Suspicion::ToTheEnd(times + 1),
        }
    }
}

impl Bound {
    fn of(most: u32) -> Self {
        let most = most.max(1);
        // From half of what is allowed, and at least twice: forwards and backwards.
        Bound { alone_from: (most / 2).min(most.saturating_sub(2)).max(1), most }
    }

    fn beyond(self, more: u32) -> Self {
        Bound { alone_from: self.alone_from.saturating_add(more), most: self.most.saturating_add(more) }
    }

    fn judge(self, times: u32) -> Suspicion {
        match times {
            _ if times >= self.most => Suspicion::GiveUp(times),
            _ if times >= self.alone_from => Suspicion::Alone(times),
            _ => Suspicion::None,
        }
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
        Poison::of(&queue, after, None, false).suspect(&Message::new(&delivery, &"jobs".into()))
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
    fn where_nothing_is_kept_giving_up_is_left_to_the_broker() {
        let bare = |after| Poison::of(&Queue::new("jobs").quorum(), after, None, true);
        let judged = |poison: Poison, times| {
            let properties = Properties::default().header("x-delivery-count", times);
            let parts = Parts { exchange: String::new(), routing_key: "jobs".into(), properties, body: Default::default() };
            let delivery = Delivery { tag: 1, redelivered: true, parts: parts.into(), flaw: None };
            poison.suspect(&Message::new(&delivery, &"jobs".into()))
        };
        assert_eq!(judged(bare(None), 19), Suspicion::Alone(19));
        assert_eq!(judged(bare(None), 20), Suspicion::None);
        assert_eq!(judged(bare(Some(5)), 5), Suspicion::GiveUp(5));
    }

    #[test]
    fn where_the_broker_counts_failed_attempts_those_are_allowed_for() {
        let poison = |queue: Queue, after| Poison::of(&queue, after, Some(100), false);
        let bound = |poison: Poison| poison.counted.map(|bound| (bound.alone_from, bound.most));
        assert_eq!(bound(poison(Queue::new("jobs").quorum(), None)), Some((110, 120)));
        assert_eq!(bound(poison(Queue::new("jobs").quorum().argument("x-delivery-limit", -1), Some(4))), Some((102, 104)));
        assert_eq!(bound(poison(Queue::new("jobs").quorum().delivery_limit(103), Some(9))), Some((104, 103)));
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
