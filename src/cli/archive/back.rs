//! A message on its way back to work: as its publisher sent it, counted anew, and told apart from what was moved before.

use super::past::Past;
use crate::cli::replay::{set_copies_aside, set_user_aside};
use crate::delivered::{headers, Message};
use crate::message::{Publication, Table, Value};

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Straight to the queue that each failed in: its exchange would hand it to other queues again, which are done with it.
    WhereItFailed,
    /// Straight to this queue.
    Queue(String),
    /// By the exchange and the routing key that each first came by.
    Exchange,
}

/// How messages are sent back, the same for all.
pub(crate) struct Back<'a> {
    pub target: &'a Target,
    /// The user that publishes, whose id the broker takes.
    pub user: Option<&'a str>,
    /// Headers to take out beside our own.
    pub without: &'a [String],
    /// Seconds since 1970.
    pub now: u64,
}

/// What the worker and the broker have written of the failures; the next are counted anew.
const COUNTED: [&str; 7] = [
    headers::RETRIES,
    headers::RETRY_COUNT,
    headers::REASON,
    headers::REDELIVERIES,
    headers::FIRST_FAILED,
    headers::DELIVERY_COUNT,
    "x-acquired-count",
];

impl Back<'_> {
    /// The message as it is to be published.
    ///
    /// # Errors
    /// Why it has to stay.
    pub fn to_work(&self, message: &Message) -> Result<Publication, String> {
        if message.originals().next().is_some() {
            return Err("what it has cannot be read, and so not be sent as it is".into());
        }
        let past = Past::of(message);
        let mut back = Publication::new("", self.queue(message, &past)?, Vec::new()).mandatory();
        back.body = message.parts.body.clone();
        back.properties = message.properties().clone();
        self.restore(&mut back);
        let table = back.properties.headers.get_or_insert_default();
        match self.target {
            Target::Exchange => {
                table.remove(headers::EXCHANGE);
                table.remove(headers::ROUTING_KEY);
                (back.exchange, back.routing_key) = (past.exchange.to_owned(), past.routing_key.to_owned());
            }
            // For the handler they are what it first came by.
            _ if is_known(message) => {
                table.entry(headers::EXCHANGE.into()).or_insert_with(|| past.exchange.into());
                table.entry(headers::ROUTING_KEY.into()).or_insert_with(|| past.routing_key.into());
            }
            _ => {}
        }
        count(table, self.now);
        Ok(back)
    }

    /// The queue it goes to; unused where the exchange finds it.
    fn queue(&self, message: &Message, past: &Past) -> Result<String, String> {
        match self.target {
            Target::Queue(queue) => Ok(queue.clone()),
            Target::Exchange if is_known(message) => Ok(String::new()),
            Target::Exchange => Err("it does not say by which exchange it came: name a queue with `--to`".into()),
            Target::WhereItFailed if past.queue == message.queue() => {
                Err("it does not say in which queue it failed: name one with `--to`".into())
            }
            Target::WhereItFailed => Ok(past.queue.to_owned()),
        }
    }

    /// What was set aside when it was moved, put back; what was written of the failure, taken out.
    fn restore(&self, back: &mut Publication) {
        let table = back.properties.headers.get_or_insert_default();
        let has_originals = table.keys().any(|name| name.starts_with(headers::ORIGINAL));
        table.retain(|name, _| !is_of_failure(name) && !self.without.contains(name));
        if !has_originals {
            // With them it says where the flaw was found.
            table.remove(headers::QUEUE);
        }
        if let Some(Value::Text(expiration)) = table.remove(headers::EXPIRATION) {
            back.properties.expiration = Some(expiration);
        }
        if self.user.is_some() && table.get(headers::USER_ID).and_then(Value::as_str) == self.user {
            table.remove(headers::USER_ID);
            back.properties.user_id = self.user.map(str::to_owned);
        }
        if *self.target == Target::Exchange {
            for (aside, name) in [("x-bootstep-cc", "CC"), ("x-bootstep-bcc", "BCC")] {
                if let Some(value) = table.remove(aside) {
                    table.insert(name.into(), value);
                }
            }
        } else {
            set_copies_aside(back);
        }
        set_user_aside(back, self.user);
    }
}

/// Whether the message says by which exchange it came.
fn is_known(message: &Message) -> bool {
    message.header(headers::EXCHANGE).is_some() || message.header("x-death").is_some()
}

fn is_of_failure(name: &str) -> bool {
    let by_broker = ["x-death", "x-first-death-", "x-last-death-"];
    COUNTED.contains(&name) || name == headers::PUBLISH_ID || by_broker.iter().any(|prefix| name.starts_with(prefix))
}

/// Something must change: a worker takes a message that is just like one that it has moved within the last minute for the same.
fn count(table: &mut Table, now: u64) {
    let before = table.get(headers::REPLAYS).and_then(Value::as_i64).unwrap_or(0);
    let times = i32::try_from(before.max(0).saturating_add(1)).unwrap_or(i32::MAX);
    table.insert(headers::REPLAYS.into(), Value::I32(times));
    table.insert(headers::REPLAYED.into(), Value::Timestamp(now));
}

#[cfg(test)]
mod tests;
