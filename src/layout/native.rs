//! The `native` layout: the queue itself holds failed messages back and counts them, as quorum queues do from RabbitMQ 4.3.1 on
//! (<https://www.rabbitmq.com/docs/quorum-queues>, delayed retry).

use super::archive::{dead_beside, Archive};
use super::{Place, Waiting};
use crate::delivered::headers;
use crate::message::Value;
use crate::retry::{whole, RetryPolicy};
use crate::topology::{Queue, DELAYED_RETRY_MAX, DELAYED_RETRY_MIN, DELAYED_RETRY_TYPE};
use std::time::Duration;

/// Before it, the arguments are taken without a word, and what failed comes again at once, for ever.
pub(super) const FIRST_VERSION: (u32, u32, u32) = (4, 3, 1);

#[derive(Debug)]
pub(super) struct Native {
    queue: Queue,
    archive: Archive,
}

impl Native {
    pub fn new(queue: &Queue, archive: Archive) -> Self {
        Native { queue: queue.clone(), archive }
    }
}

impl Waiting for Native {
    fn counted_by(&self) -> &'static str {
        headers::DELIVERY_COUNT
    }

    fn queues(&self) -> Vec<Queue> {
        Vec::new()
    }

    fn place(&self, _: Duration) -> Place {
        Place::Itself
    }

    fn archive(&self, quorum_archive: bool) -> Queue {
        self.archive.beside(&self.queue, quorum_archive)
    }

    fn dead(&self) -> Queue {
        dead_beside(&self.queue)
    }
}

/// Whether the queue waits as the policy says, and leaves the last word to the worker.
pub(super) fn check(queue: &Queue, policy: &RetryPolicy) -> Result<(), String> {
    let number = |name: &str| queue.arguments.get(name).and_then(Value::as_i64);
    let text = |name: &str| queue.arguments.get(name).and_then(Value::as_str);
    let milliseconds = |name: &str| number(name).and_then(|number| u64::try_from(number).ok()).map(Duration::from_millis);
    let delays = (milliseconds(DELAYED_RETRY_MIN), milliseconds(DELAYED_RETRY_MAX));
    let ((Some("quorum"), Some("failed")), (Some(first), Some(longest))) =
        ((queue.queue_type(), text(DELAYED_RETRY_TYPE)), delays)
    else {
        return Err("the queue must hold failed messages back itself; declare it with `Queue::delayed_retry`".into());
    };
    // RabbitMQ's default limit is 20.
    let limit = number("x-delivery-limit").unwrap_or(20);
    if (0..=i64::from(policy.retries())).contains(&limit) {
        let retries = policy.retries();
        // A worker that dies in the last attempt costs one more.
        return Err(format!(
            "the queue gives a message up after {limit} attempts that failed or were cut off, and the policy has {retries} retries; \
             set no `delivery_limit`, or one above"
        ));
    }
    if limit >= 0 && queue.dead_letter_exchange().is_none() {
        return Err(format!(
            "the queue drops a message after {limit} attempts that failed or were cut off; set no `delivery_limit`, or a dead-letter \
             exchange"
        ));
    }
    if policy.has_jitter() {
        return Err("the queue's delays have no jitter; leave `RetryPolicy::jitter` out".into());
    }
    // Beyond where both are steady, nothing can differ but the last.
    let last = policy.retries().saturating_sub(1);
    let differing = (0..policy.steady_after()).chain([last]).find_map(|retries| {
        let queue_waits = whole(first.saturating_mul(retries.saturating_add(1)).min(longest));
        let policy_waits = policy.next_delay(retries).filter(|delay| *delay != queue_waits)?;
        Some((retries + 1, policy_waits, queue_waits))
    });
    match differing {
        None => Ok(()),
        Some((retry, policy_waits, queue_waits)) => Err(format!(
            "the policy waits {policy_waits:?} before retry {retry}, and the queue {queue_waits:?}; such a queue's delays are fixed or \
             linear, so say `RetryPolicy::linear({first:?}, {}).cap({longest:?})`",
            policy.retries()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn check_says(queue: Queue, policy: RetryPolicy, expected: &str) {
        let said = check(&queue, &policy).err().unwrap_or_default();
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{said:?}");
    }

    fn queue(first: u32, longest: u32) -> Queue {
        Queue::new("jobs").delayed_retry(first * SECOND, longest * SECOND)
    }

    #[test]
    fn a_policy_that_waits_as_the_queue_does_is_taken() {
        check_says(queue(1, 1), RetryPolicy::fixed(SECOND, 3), "");
        check_says(queue(2, 5), RetryPolicy::linear(2 * SECOND, 9).cap(5 * SECOND), "");
        check_says(queue(2, 5), RetryPolicy::none(), "");
        check_says(queue(1, 1), RetryPolicy::fixed(SECOND, u32::MAX), "");
        check_says(
            queue(1, 9).delivery_limit(4).dead_letter_to("morgue", ""),
            RetryPolicy::delays([1, 2, 3].map(Duration::from_secs)),
            "",
        );
    }

    #[test]
    fn what_differs_is_told_with_what_to_do() {
        let linear = RetryPolicy::linear(SECOND, 3);
        check_says(Queue::new("jobs").quorum(), linear.clone(), "declare it with `Queue::delayed_retry`");
        let mut by_default = queue(1, 9);
        by_default.arguments.remove("x-delivery-limit");
        check_says(
            by_default,
            RetryPolicy::linear(SECOND, 20),
            "after 20 attempts that failed or were cut off, and the policy has 20",
        );
        check_says(
            queue(1, 9).delivery_limit(3).dead_letter_to("morgue", ""),
            linear.clone(),
            "set no `delivery_limit`, or one above",
        );
        check_says(queue(1, 9).delivery_limit(4), linear.clone(), "set no `delivery_limit`, or a dead-letter exchange");
        check_says(queue(1, 9), linear.clone().jitter(0.1), "leave `RetryPolicy::jitter` out");
        check_says(queue(1, 2), linear, "waits 3s before retry 3, and the queue 2s");
        let exponential = RetryPolicy::exponential(SECOND, 3);
        check_says(queue(1, 9), exponential, "`RetryPolicy::linear(1s, 3).cap(9s)`");
        // Alike at first, and different at the end.
        check_says(queue(1, 9), RetryPolicy::fixed(SECOND, 9), "waits 1s before retry 9, and the queue 9s");
    }
}
