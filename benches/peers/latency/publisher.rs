//! Who publishes: by the clock, whatever becomes of the messages, or as fast as they are taken.

use super::address::Address;
use super::clock::{now, sleep_until, wake_on_time};
use super::wire::Line;
use std::io;

/// Above one message in this time, those that fall into it are planned, and sent, together.
const GROUP: u64 = 170_000;

/// From the last preparation to the first message.
const LEAD: u64 = 20_000_000;

/// Later than this is behind the pace.
const LATE: u64 = 10_000_000;

/// At will: sent at once, as few as at a high rate; sent between two questions for the depth; and how deep a queue is still short.
const AT_ONCE: u64 = 10;
const BURST: u64 = 200;
const SHORT: u32 = 400;

/// What the publisher says in the end.
pub struct Sent {
    /// Of all messages, those that went out more than 10 ms after their time.
    pub late_share: f64,
}

/// A hundred bytes of JSON, whose id is when it was to be sent.
fn body(stamp: u64) -> Vec<u8> {
    let customer = stamp % 999;
    format!(r#"{{"id":{stamp:>16},"customer":"c-{customer:>6}","items":[11,22,33,44],"note":"leave it at the door, please"}}"#)
        .into_bytes()
}

/// What [`body`] says, without a parser that would cost more than the rest of the proxy.
pub fn stamp_of(body: &[u8]) -> Option<u64> {
    let number = body.strip_prefix(br#"{"id":"#)?.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(number).ok()?.trim_start().parse().ok()
}

/// Sends so many messages at this many a second.
pub fn at_pace(broker: &Address, queue: &str, rate: u64, count: u64) -> io::Result<Sent> {
    let mut line = Line::to(broker, queue)?;
    wake_on_time();
    let start = now() + LEAD;
    let (mut next, mut late, mut bytes) = (0, 0, Vec::new());
    while next < count {
        sleep_until(start + planned(next, rate));
        let (reached, first) = (now(), next);
        bytes.clear();
        while next < count && start + planned(next, rate) <= reached {
            line.write_publication(&body(start + planned(next, rate)), &mut bytes);
            next += 1;
        }
        line.send(&bytes)?;
        let sent = now();
        late += (first..next).filter(|number| sent > start + planned(*number, rate) + LATE).count();
    }
    barrier(&mut line)?;
    Ok(Sent { late_share: late as f64 / count as f64 })
}

/// When the message of this number goes, from the start on.
fn planned(number: u64, rate: u64) -> u64 {
    let due = u64::try_from(u128::from(number) * 1_000_000_000 / u128::from(rate)).expect("a run takes seconds");
    let is_seldom = 1_000_000_000 / rate >= GROUP;
    if is_seldom {
        due
    } else {
        due.next_multiple_of(GROUP)
    }
}

/// Sends so many messages while the queue stays short.
pub fn at_will(broker: &Address, queue: &str, count: u64) -> io::Result<Sent> {
    let mut line = Line::to(broker, queue)?;
    let (mut next, mut bytes) = (0, Vec::new());
    line.ask_depth()?;
    while next < count {
        let until = count.min(next + BURST);
        while next < until {
            bytes.clear();
            let few = AT_ONCE.min(until - next);
            (0..few).for_each(|_| line.write_publication(&body(now()), &mut bytes));
            line.send(&bytes)?;
            next += few;
        }
        // One question is always on its way, so that nobody waits for an answer while the queue is short.
        line.ask_depth()?;
        while line.depth()? > SHORT {
            line.ask_depth()?;
            line.depth()?;
            line.ask_depth()?;
        }
    }
    line.depth()?;
    Ok(Sent { late_share: 0.0 })
}

/// Waits until the broker has read all that was sent: closing at once could cut it off.
fn barrier(line: &mut Line) -> io::Result<()> {
    line.ask_depth()?;
    line.depth().map(drop)
}
