//! What an argument must look like, and how RabbitMQ 3.10 says that it does not.

use super::arguments::DeadLetter;
use super::refusal::{precondition, queue_in_full, type_name, unsupported, Refusal};
use crate::message::{Table, Value};
use crate::topology::Queue;
use std::time::Duration;

/// RabbitMQ's bound on any time to live: ten years, in milliseconds.
pub(super) const LONGEST_EXPIRY_MS: u64 = 315_360_000_000;

/// The arguments of one declaration.
pub(super) struct Arguments<'a> {
    queue: &'a str,
    table: &'a Table,
}

impl<'a> Arguments<'a> {
    pub fn of(queue: &'a Queue) -> Self {
        Arguments { queue: &queue.name, table: &queue.arguments }
    }

    /// The arguments of a consumer, which are checked alike.
    pub fn of_consumer(queue: &'a str, table: &'a Table) -> Self {
        Arguments { queue, table }
    }

    fn invalid(&self, name: &str, why: impl AsRef<str>) -> Refusal {
        precondition(format!("invalid arg '{name}' for {}: {}", queue_in_full(self.queue), why.as_ref()))
    }

    fn unacceptable(&self, name: &str, value: &Value) -> Refusal {
        self.invalid(name, format!("{{unacceptable_type,{}}}", type_name(value)))
    }

    /// Checked before all others, and told in words of its own.
    pub fn dead_letter_exchange_is_text(&self) -> Result<(), Refusal> {
        let name = "x-dead-letter-exchange";
        match self.table.get(name) {
            None | Some(Value::Text(_)) => Ok(()),
            Some(other) => {
                let (kind, whom) = (type_name(other), queue_in_full(self.queue));
                Err(precondition(format!("invalid type '{kind}' for arg '{name}' in {whom}")))
            }
        }
    }

    pub fn queue_type(&self) -> Result<&'a str, Refusal> {
        let name = "x-queue-type";
        let unknown = |other: &str| format!("\"unsupported queue type '{other}'\"");
        match self.one_of(name, &["classic", "quorum", "stream"], unknown)? {
            Some("stream") => Err(unsupported("the memory broker does not model queues of the type `stream`")),
            known => Ok(known.unwrap_or("classic")),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.table.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.unacceptable(name, other)),
        }
    }

    pub fn one_of(&self, name: &str, known: &[&str], why: impl Fn(&str) -> String) -> Result<Option<&'a str>, Refusal> {
        match self.text(name)? {
            Some(other) if !known.contains(&other) => Err(self.invalid(name, why(other))),
            fine => Ok(fine),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.table.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.unacceptable(name, other)),
        }
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.table.get(name) else { return Ok(None) };
        let wrong = || self.invalid(name, format!("\"expected integer, got {}\"", type_name(value)));
        value.as_i64().ok_or_else(wrong).map(Some)
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(number) = self.integer(name)? else { return Ok(None) };
        let negative = |_| self.invalid(name, format!("{{value_negative,{number}}}"));
        u64::try_from(number).map_err(negative).map(Some)
    }

    fn number_from(&self, name: &str, least: u64) -> Result<Option<u64>, Refusal> {
        match self.number(name)? {
            Some(0) if least > 0 => Err(self.invalid(name, "{value_zero,0}")),
            fine => Ok(fine),
        }
    }

    pub fn size(&self, name: &str) -> Result<Option<usize>, Refusal> {
        Ok(self.number(name)?.map(|most| usize::try_from(most).unwrap_or(usize::MAX)))
    }

    /// A time in milliseconds.
    pub fn expiry(&self, name: &str, least: u64) -> Result<Option<Duration>, Refusal> {
        match self.number_from(name, least)? {
            Some(ms) if ms > LONGEST_EXPIRY_MS => Err(self.invalid(name, format!("{{value_too_large,{ms}}}"))),
            fine => Ok(fine.map(Duration::from_millis)),
        }
    }

    pub fn max_priority(&self) -> Result<Option<u8>, Refusal> {
        let name = "x-max-priority";
        let Some(most) = self.number(name)? else { return Ok(None) };
        u8::try_from(most).map_err(|_| self.invalid(name, format!("{{max_value_exceeded,{most}}}"))).map(Some)
    }

    /// RabbitMQ 3.10 takes anything here, and makes of it what nobody would expect.
    pub fn delivery_limit(&self) -> Result<Option<u32>, Refusal> {
        let name = "x-delivery-limit";
        let Some(value) = self.table.get(name) else { return Ok(None) };
        match value.as_i64().map(u32::try_from) {
            Some(Ok(limit)) => Ok(Some(limit)),
            _ => Err(unsupported(format!("the memory broker does not model the `{name}` {value}"))),
        }
    }

    pub fn dead_letter(&self) -> Result<Option<DeadLetter>, Refusal> {
        let routing_key = self.text("x-dead-letter-routing-key")?.map(str::to_owned);
        match self.text("x-dead-letter-exchange")? {
            Some(exchange) => Ok(Some(DeadLetter { exchange: exchange.to_owned(), routing_key })),
            None if routing_key.is_some() => Err(self.invalid("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")),
            None => Ok(None),
        }
    }

    /// What only says where on disk, in memory or in a cluster a queue lives must look right all the same.
    pub fn mean_nothing_in_one_process(&self) -> Result<(), Refusal> {
        for name in ["x-max-in-memory-length", "x-max-in-memory-bytes"] {
            self.number(name)?;
        }
        self.one_of("x-queue-mode", &["default", "lazy"], |other| format!("\"unsupported queue mode '{other}'\""))?;
        match self.number("x-queue-version")? {
            None | Some(1 | 2) => {}
            Some(other) => return Err(self.invalid("x-queue-version", format!("\"unsupported queue version '{other}'\""))),
        }
        self.number_from("x-quorum-initial-group-size", 1)?;
        let locators = ["client-local", "balanced", "random", "least-leaders"];
        self.one_of("x-queue-leader-locator", &locators, |_| "invalid_queue_locator_arg".into()).map(drop)
    }

    /// Refuses what only queues of another type may have.
    pub fn fit_the_type(&self, known: &[&str], queue_type: &str) -> Result<(), Refusal> {
        match self.table.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let whom = queue_in_full(self.queue);
                Err(precondition(format!("invalid arg '{name}' for {whom} of queue type rabbit_{queue_type}_queue")))
            }
            None => Ok(()),
        }
    }
}
