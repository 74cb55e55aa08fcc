//! What the query of an AMQP URL sets, by RabbitMQ's names (<https://www.rabbitmq.com/docs/uri-query-parameters>).

use super::address::{decoded, wrong};
use crate::error::Error;
use crate::limits::FRAME_LIMIT;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How a connection is opened and kept.
#[derive(Clone, PartialEq)]
pub(crate) struct Settings {
    pub heartbeat: Duration,
    /// For each host: everything up to the open connection.
    pub connection_timeout: Duration,
    /// 0 leaves it to the broker.
    pub channel_max: u16,
    /// The most that is asked for; a broker may grant less.
    pub frame_max: u32,
}

/// What is said of a name that is none of these.
const KNOWN: &str = "`heartbeat` (seconds), `connection_timeout` (milliseconds), `channel_max` and `frame_max` (bytes)";

/// AMQP's smallest (<https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, frame-min-size).
const FRAME_MIN: u64 = 4096;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            heartbeat: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(10),
            channel_max: 0,
            frame_max: FRAME_LIMIT,
        }
    }
}

impl Settings {
    /// The part of a URL behind its `?`.
    pub fn parse(query: &str) -> Result<Self, Error> {
        let mut settings = Settings::default();
        let mut given = BTreeSet::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name, "query")?, decoded(value, "query")?);
            settings.set(&name, &value)?;
            if !given.insert(name.clone()) {
                return Err(wrong(format!("`{name}` is in the AMQP URL twice")));
            }
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let number = |allowed: RangeInclusive<u64>, unit: &str| {
            let number = value.parse::<u64>().ok().filter(|number| allowed.contains(number));
            let (least, most) = allowed.into_inner();
            number.ok_or_else(|| {
                let but = if value.is_empty() { "has no value; it is" } else { "is not" };
                wrong(format!("`{name}` in the AMQP URL {but} a whole number from {least} to {most}{unit}"))
            })
        };
        match name {
            // AMQP carries it in sixteen bits of seconds.
            "heartbeat" => self.heartbeat = Duration::from_secs(number(0..=65_535, " (seconds)")?),
            "connection_timeout" => {
                self.connection_timeout = Duration::from_millis(number(1..=3_600_000, " (milliseconds)")?);
            }
            "channel_max" => self.channel_max = number(0..=65_535, "")? as u16,
            // No more than RabbitMQ grants unless it is configured to: a larger frame carries larger headers, which the next
            // client would have to be set up for as well.
            "frame_max" => self.frame_max = number(FRAME_MIN..=FRAME_LIMIT.into(), " (bytes)")? as u32,
            other => return Err(wrong(format!("`{other}` in the AMQP URL is not known; known are {KNOWN}"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let shown = match Settings::parse(query) {
            Ok(Settings { heartbeat, connection_timeout, channel_max, frame_max }) => {
                format!("{heartbeat:?} {connection_timeout:?} {channel_max} {frame_max}")
            }
            Err(err) => err.to_string(),
        };
        assert!(shown.contains(expected), "{query}: {shown}");
    }

    #[test]
    fn every_setting_has_its_bounds_and_its_default() {
        check("", "10s 10s 0 16777216");
        check("heartbeat=0&connection_timeout=1&channel_max=65535&frame_max=4096", "0ns 1ms 65535 4096");
        check("&heart%62eat=%33&", "3s 10s 0 16777216");
        check("heartbeat=65536", "`heartbeat` in the AMQP URL is not a whole number from 0 to 65535 (seconds)");
        check("heartbeat=soon", "`heartbeat` in the AMQP URL is not a whole number");
        check("connection_timeout=0", "not a whole number from 1 to 3600000 (milliseconds)");
        check("connection_timeout=18446744073709551616", "not a whole number from 1 to 3600000 (milliseconds)");
        check("channel_max=-1", "`channel_max` in the AMQP URL is not a whole number from 0 to 65535");
        check("frame_max=0", "`frame_max` in the AMQP URL is not a whole number from 4096 to 16777216 (bytes)");
        check("frame_max=16777217", "not a whole number from 4096 to 16777216 (bytes)");
    }

    #[test]
    fn what_cannot_be_meant_is_said_so() {
        check("heartbeet=1", "`heartbeet` in the AMQP URL is not known; known are `heartbeat` (seconds)");
        check("heartbeat=1&heartbeat=1", "`heartbeat` is in the AMQP URL twice");
        check("heartbeat", "`heartbeat` in the AMQP URL has no value; it is a whole number from");
        check("heartbeat=", "`heartbeat` in the AMQP URL has no value; it is a whole number from");
        check("heartbeat=%3", "the query in the AMQP URL has a `%` without two hexadecimal digits");
    }
}
