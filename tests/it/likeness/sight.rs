//! What is seen of a broker between two deeds, as text that can be compared.

use bootstep::{headers, Fault, Message, Table, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What there is to see after a deed.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// What the broker answered.
    pub answer: String,
    /// Ready messages and consumers of each queue, or why it cannot be looked at.
    pub queues: Vec<Result<(u32, u32), Fault>>,
    /// What each open consumer has and has not settled, and whether it has ended.
    pub readers: BTreeMap<usize, (Vec<String>, Option<Fault>)>,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answer {:?}, queues {:?}", self.answer, self.queues)?;
        for (number, (held, ended)) in &self.readers {
            write!(f, "\n  reader {number} has, ended {ended:?}:")?;
            held.iter().try_for_each(|message| write!(f, "\n    {message}"))?;
        }
        Ok(())
    }
}

/// All of a message but the time of its deaths, and what RabbitMQ tells otherwise from 4.0 on.
pub fn described(message: &Message, is_rabbitmq_4: bool) -> String {
    let headers = message.headers().cloned().unwrap_or_default();
    // From 4.0 on it says of some dead letters that they were delivered before.
    let is_redelivered = message.is_redelivered() && !(is_rabbitmq_4 && headers.contains_key("x-death"));
    let mut properties = message.properties().clone();
    let headers = timeless(if is_rabbitmq_4 { as_before_4(headers) } else { in_order(headers) });
    properties.headers = Some(headers).filter(|headers| !headers.is_empty());
    let body = String::from_utf8_lossy(message.body());
    let (exchange, key) = (message.exchange(), message.routing_key());
    let properties = format!("{properties:?}");
    let is_set = |property: &&str| !property.trim_end_matches(" }").ends_with(": None");
    let properties: Vec<&str> = properties.split(", ").filter(is_set).collect();
    format!("{body} by {exchange:?} {key:?}, redelivered: {is_redelivered}, {}", properties.join(", "))
}

/// From 4.0 on it counts what came back in other ways, keeps the copies of a message whose queue names a key for its dead, and
/// tells of the last death as of the first.
fn as_before_4(mut headers: Table) -> Table {
    let differs =
        |name: &str| ["x-delivery-count", "x-acquired-count", "CC"].contains(&name) || name.starts_with("x-last-death");
    headers.retain(|name, _| !differs(name));
    headers
}

/// Up to 3.x each death turns round those before it.
fn in_order(mut headers: Table) -> Table {
    if let Some(Value::Array(deaths)) = headers.get_mut("x-death") {
        if let Some((_latest, earlier)) = deaths.split_first_mut() {
            earlier.sort_by_key(|death| format!("{death:?}"));
        }
    }
    headers
}

fn timeless(mut headers: Table) -> Table {
    // On a mandatory message to RabbitMQ this tells returns apart; the memory broker needs no such thing.
    headers.remove(headers::PUBLISH_ID);
    if let Some(Value::Array(deaths)) = headers.get_mut("x-death") {
        for death in deaths {
            let Value::Table(death) = death else { continue };
            death.remove("time");
        }
    }
    headers
}
