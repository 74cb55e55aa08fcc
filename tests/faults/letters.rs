//! What lies on a queue at the end, read whole, each letter compared with how it was published.

use crate::fate::{publication, Dress, Fate, EXPIRATION, PUBLISHER};
use crate::settings::{DeadLetters, Settings};
use bootstep::{headers, Connection, Message, Queue, Value};
use std::time::Duration;

/// A message found on a queue, and what is wrong with it, if anything.
#[derive(Clone, Debug)]
pub struct Letter {
    pub number: u64,
    pub wrong: Option<String>,
}

const PATIENCE: Duration = Duration::from_secs(10);

/// All messages of a queue, which is empty then; none if there is no such queue.
///
/// # Panics
/// If the broker does not hand out what it says is there.
pub fn take_all(connection: &Connection, queue: &str, read: impl Fn(&Message) -> Letter) -> Vec<Letter> {
    let Ok(status) = connection.declare_queue(&Queue::existing(queue)) else { return Vec::new() };
    let mut letters = Vec::new();
    let taken = connection.consume(queue, 500, |inbox| {
        while letters.len() < status.messages as usize {
            let letter = inbox.next(PATIENCE)?.unwrap_or_else(|| panic!("`{queue}` says it has more than it hands out"));
            letters.push(read(&letter.message));
            inbox.ack(letter.tag)?;
        }
        Ok::<(), bootstep::Error>(())
    });
    taken.and_then(|taken| taken).unwrap_or_else(|err| panic!("`{queue}` could not be read: {err}"));
    letters
}

/// A message by its number alone.
pub fn numbered(message: &Message) -> Letter {
    match number_of(message) {
        Some(number) => Letter { number, wrong: None },
        None => Letter { number: u64::MAX, wrong: Some("it has no number".into()) },
    }
}

/// What a handler published: its body is the number.
pub fn published(message: &Message) -> Letter {
    let number = std::str::from_utf8(message.body()).ok().and_then(|text| text.parse().ok());
    Letter { number: number.unwrap_or(u64::MAX), wrong: number.is_none().then(|| "its body is not a number".into()) }
}

/// A message that a worker gave up, as it is kept.
pub fn kept(settings: &Settings, message: &Message) -> Letter {
    let letter = numbered(message);
    let wrong = letter.wrong.clone().or_else(|| flaw(settings, letter.number, message));
    Letter { wrong, ..letter }
}

/// A dead letter: where the broker moved it itself, it is as it was published.
pub fn dead(settings: &Settings, message: &Message) -> Letter {
    match settings.dead_letters {
        DeadLetters::ByWorker => kept(settings, message),
        DeadLetters::ByBroker => {
            let letter = numbered(message);
            let is_same = message.body() == body_of(settings, letter.number);
            Letter { wrong: (!is_same).then(|| "its body is another".into()), ..letter }
        }
    }
}

fn number_of(message: &Message) -> Option<u64> {
    message.properties().message_id.as_deref()?.parse().ok()
}

fn body_of(settings: &Settings, number: u64) -> Vec<u8> {
    publication(settings, number).body().to_vec()
}

fn flaw(settings: &Settings, number: u64, message: &Message) -> Option<String> {
    let (properties, dress) = (message.properties(), Dress::of(settings, number));
    let text = |name: &str| message.header(name).and_then(Value::as_str);
    let is_raw = Fate::of(settings, number) == Fate::BadHeaders;
    let is_mended = is_raw || text("x-number") == Some(&number.to_string());
    let reason = text(headers::REASON).unwrap_or_default();
    let checks = [
        (message.body() == body_of(settings, number), "its body is another"),
        (is_mended, "its own header is gone"),
        (!is_raw || message.headers().is_some_and(keeps_originals), "the bytes of its headers are gone"),
        (message.header("CC").is_none() && message.header("BCC").is_none(), "it still has its CC"),
        (!dress.cc || message.header("x-bootstep-cc").is_some(), "its CC is not set aside"),
        (properties.expiration.is_none(), "it still has its expiration"),
        (!dress.expiration || text(headers::EXPIRATION) == Some(EXPIRATION), "its expiration is not set aside"),
        (properties.user_id.is_none(), "it still has its user id"),
        (!dress.user_id || text(headers::USER_ID) == Some(PUBLISHER), "its user id is not set aside"),
        (is_raw || properties.content_type.as_deref() == Some("application/json"), "its content type is gone"),
        (properties.delivery_mode == Some(2), "it is not persistent"),
        (!reason.is_empty() && reason.len() <= 2_000, "its reason is missing or too long"),
        (message.routing_key() == settings.queue, "its routing key is gone"),
        (text(headers::QUEUE) == Some(&settings.queue), "it does not say where it came from"),
        (message.header(headers::FIRST_FAILED).is_some(), "it does not say when it first failed"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what.to_owned())
}

fn keeps_originals(headers: &bootstep::Table) -> bool {
    headers.keys().any(|name| name.starts_with(bootstep::headers::ORIGINAL))
}
