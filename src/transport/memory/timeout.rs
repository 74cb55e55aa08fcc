//! The consumer timeout: whoever holds a message for too long loses its channel, and all that it holds goes back.

use super::refusal::{self, Refusal};
use super::state::{Consuming, State};
use super::unsettled::Unsettled;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// RabbitMQ's default.
pub(super) const DEFAULT_CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// As often as RabbitMQ looks, at the least.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// And no oftener: a timeout of nothing would keep a thread busy.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// By when the messages of a channel had been delivered, as far as somebody looked: no delivery has to read the clock.
///
/// The memory broker looks before it turns a clock by hand, so that there it is the very moment.
#[derive(Default)]
pub(super) struct Stamps(VecDeque<Stamp>);

struct Stamp {
    /// Of the first message that came later.
    next_tag: u64,
    at: Instant,
}

impl Stamps {
    fn note(&mut self, unsettled: &Unsettled, now: Instant) {
        while self.0.front().is_some_and(|stamp| stamp.next_tag <= unsettled.first_tag()) {
            self.0.pop_front();
        }
        let next_tag = unsettled.next_tag();
        let last = self.0.back().map_or(unsettled.first_tag(), |stamp| stamp.next_tag);
        if next_tag > last {
            self.0.push_back(Stamp { next_tag, at: now });
        }
    }

    /// When the oldest of those that are still unsettled came.
    fn oldest(&self) -> Option<Instant> {
        self.0.front().map(|stamp| stamp.at)
    }
}

impl State {
    /// Notes by when was delivered what is out now.
    pub fn note_deliveries(&mut self) {
        let now = self.clock.now();
        for channel in self.channels.values_mut() {
            channel.stamps.note(&channel.unsettled, now);
        }
    }

    /// Closes the channels that have held a message for too long.
    pub fn close_late_channels(&mut self) {
        self.note_deliveries();
        let now = self.clock.now();
        let late = self.channels.iter().filter_map(|(id, channel)| {
            let timeout = self.timeout_of(channel)?;
            let held = now.saturating_duration_since(channel.stamps.oldest()?);
            (held >= timeout).then_some((*id, timeout))
        });
        for (channel, timeout) in late.collect::<Vec<_>>() {
            self.end_channel(channel, Some(&timed_out(channel, timeout).closing()));
        }
    }

    /// Sees to it that somebody looks, if anybody consumes.
    pub fn watch_consumers(&mut self) {
        if let Some(look) = self.next_look() {
            self.timer.arm(look);
        }
    }

    /// When to look again, if anybody consumes.
    pub fn next_look(&self) -> Option<Instant> {
        let timeouts = self.channels.values().filter_map(|channel| self.timeout_of(channel));
        let soonest = timeouts.min()?;
        Some(self.clock.now() + soonest.clamp(LOOK_AFTER, LOOK_EVERY))
    }

    fn timeout_of(&self, channel: &Consuming) -> Option<Duration> {
        let queue = self.queues.get(&channel.queue);
        queue.and_then(|queue| queue.policy.consumer_timeout).or(self.consumer_timeout)
    }
}

fn timed_out(channel: u64, timeout: Duration) -> Refusal {
    refusal::precondition(format!(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: {} ms. This timeout value can be \
         configured, see consumers doc guide to learn more",
        timeout.as_millis()
    ))
}
