//! `retry`, `archive` and `kill_switch` of a consumer, and `delayed_retry` of a queue: what becomes of failed messages.

use super::fields::Fields;
use crate::kill_switch::KillSwitch;
use crate::layout::{Archive, RetryLayout};
use crate::retry::RetryPolicy;
use crate::topology::Queue;
use config::ValueKind;
use std::time::Duration;

pub(super) const KEYS: [&str; 8] = ["delays", "fixed", "linear", "exponential", "retries", "cap", "jitter", "layout"];
pub(super) const ARCHIVE_KEYS: [&str; 2] = ["max_length", "message_ttl"];
pub(super) const KILL_SWITCH_KEYS: [&str; 4] = ["ratio", "attempts", "pause", "hold"];
pub(super) const DELAYED_KEYS: [&str; 2] = ["first", "longest"];

const LAYOUTS: [(&str, RetryLayout); 4] = [
    ("levels", RetryLayout::Levels),
    ("native", RetryLayout::Native),
    ("shared", RetryLayout::Shared),
    ("bare", RetryLayout::Bare),
];
/// Retries where nobody says how many, as without any setting.
const RETRIES: u32 = 5;
/// RabbitMQ counts delays in 32 bits of milliseconds.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);
const MONTHS: &str = "is longer than 49 days, which is what RabbitMQ can count";

/// The policy and the layout that a consumer's `retry` names; neither if there is none.
pub(super) fn read(consumer: &Fields<'_>) -> (Option<RetryPolicy>, Option<RetryLayout>) {
    let Some(value) = consumer.raw("retry") else { return (None, None) };
    match value.kind {
        ValueKind::String(text) if text == "none" => (Some(RetryPolicy::none()), None),
        ValueKind::Table(_) => consumer.table("retry").map_or((None, None), |fields| (policy(&fields), layout(&fields))),
        _ => {
            consumer.wrong("retry", "has to be \"none\", or a table such as { delays = [\"1s\", \"1m\"] }");
            (None, None)
        }
    }
}

fn layout(fields: &Fields<'_>) -> Option<RetryLayout> {
    let name = fields.one_of("layout", &LAYOUTS.map(|(name, _)| name))?;
    if name == "bare" {
        let all_but_layout = &KEYS[..KEYS.len() - 1];
        fields
            .none_of(all_but_layout, "does nothing in the layout `bare`, where a failed message comes again at once, for ever");
    }
    LAYOUTS.iter().find(|(known, _)| *known == name).map(|(_, layout)| *layout)
}

fn policy(fields: &Fields<'_>) -> Option<RetryPolicy> {
    fields.only(&KEYS);
    let ways = ["delays", "fixed", "linear", "exponential"];
    let mut given = ways.iter().filter(|way| fields.has(way));
    let policy = match (given.next(), given.next()) {
        (Some(one), Some(other)) => {
            fields.wrong(other, &format!("and `{one}` say how long to wait in two ways; leave one of them out"));
            None
        }
        (Some(&"delays"), None) => {
            fields
                .none_of(&["retries"], "has no meaning beside `delays`, which are as many as there are retries; leave it out");
            fields.times("delays").map(|delays| {
                if delays.iter().any(|delay| *delay > LONGEST) {
                    fields.wrong("delays", &format!("has a delay that {MONTHS}"));
                }
                RetryPolicy::delays(delays)
            })
        }
        (Some(way), None) => {
            let retries = fields.whole("retries", 0..=i64::from(u32::MAX)).and_then(|retries| u32::try_from(retries).ok());
            let retries = retries.unwrap_or(RETRIES);
            bounded(fields, way).map(|delay| match *way {
                "fixed" => RetryPolicy::fixed(delay, retries),
                "linear" => RetryPolicy::linear(delay, retries),
                _ => RetryPolicy::exponential(delay, retries),
            })
        }
        (None, _) => {
            fields
                .none_of(&["retries"], "says how often, and nothing how long to wait; add `fixed`, `linear` or `exponential`");
            Some(RetryPolicy::default())
        }
    };
    let (cap, jitter) = (bounded(fields, "cap"), fields.fraction("jitter"));
    let capped = policy.map(|policy| cap.map_or(policy.clone(), |longest| policy.cap(longest)));
    capped.map(|policy| jitter.map_or(policy.clone(), |fraction| policy.jitter(fraction)))
}

fn bounded(fields: &Fields<'_>, name: &str) -> Option<Duration> {
    let time = fields.time(name)?;
    if time > LONGEST {
        fields.wrong(name, MONTHS);
    }
    Some(time.min(LONGEST))
}

/// How much a consumer's archive holds.
pub(super) fn archive(fields: &Fields<'_>) -> Archive {
    fields.only(&ARCHIVE_KEYS);
    let mut archive = Archive::default();
    if let Some(messages) = fields.whole("max_length", 1..=i64::from(u32::MAX)).and_then(|most| u32::try_from(most).ok()) {
        archive = archive.max_length(messages);
    }
    match bounded(fields, "message_ttl") {
        Some(ttl) => archive.message_ttl(ttl),
        None => archive,
    }
}

/// When a consumer stops for a while.
pub(super) fn kill_switch(fields: &Fields<'_>) -> KillSwitch {
    fields.only(&KILL_SWITCH_KEYS);
    let mut switch = KillSwitch::at(fields.fraction("ratio").unwrap_or(0.5));
    if let Some(attempts) = fields.whole("attempts", 1..=1_000_000).and_then(|attempts| usize::try_from(attempts).ok()) {
        switch = switch.over(attempts);
    }
    if let Some(pause) = fields.time("pause") {
        switch = switch.pause(pause);
    }
    match fields.time("hold") {
        Some(hold) => switch.hold(hold),
        None => switch,
    }
}

/// A queue that holds failed messages back by itself.
pub(super) fn delayed(queue: Queue, fields: &Fields<'_>) -> Queue {
    fields.only(&DELAYED_KEYS);
    let (first, longest) = (bounded(fields, "first"), bounded(fields, "longest"));
    if !fields.has("first") {
        fields.wrong_at_all("has no `first`: how long a message waits that failed once");
    }
    // A limit of one's own stays.
    let limit = queue.arguments.get("x-delivery-limit").cloned();
    let queue = match first {
        Some(first) => queue.delayed_retry(first, longest.unwrap_or(first)),
        None => queue,
    };
    match limit {
        Some(limit) => queue.argument("x-delivery-limit", limit),
        None => queue,
    }
}
