//! Further routing keys: those in the header `CC`, and in `BCC`, which no consumer sees
//! (<https://www.rabbitmq.com/docs/sender-selected>).

use super::refusal::{precondition, type_name, Refusal};
use crate::message::{Parts, Properties, Table, Value};
use std::sync::Arc;

const BLIND: &str = "BCC";

/// Refuses what is no list of keys.
pub(super) fn check(headers: &Table) -> Result<(), Refusal> {
    for name in ["CC", BLIND] {
        match headers.get(name) {
            None | Some(Value::Array(_)) => {}
            Some(other) => {
                let kind = type_name(other);
                let text = format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}");
                return Err(precondition(text));
            }
        }
    }
    Ok(())
}

/// All keys that a message is routed by, its own first.
pub(super) fn keys(parts: &Parts) -> Vec<&str> {
    let mut keys = vec![parts.routing_key.as_str()];
    if let Some(headers) = &parts.properties.headers {
        keys.extend(listed(headers, "CC").chain(listed(headers, BLIND)));
    }
    keys
}

/// The keys that everybody may see.
pub(super) fn open(headers: &Table) -> impl Iterator<Item = &str> {
    listed(headers, "CC")
}

/// What is no text in the list is passed over.
fn listed<'a>(headers: &'a Table, name: &str) -> impl Iterator<Item = &'a str> {
    let listed = match headers.get(name) {
        Some(Value::Array(listed)) => listed.as_slice(),
        _ => &[],
    };
    listed.iter().filter_map(Value::as_str)
}

/// Forgets all further keys, because the message gets a key instead.
pub(super) fn forget(headers: &mut Table) {
    headers.remove("CC");
    headers.remove(BLIND);
}

/// The message as a consumer gets it: the queue keeps the blind copies' keys, because a dead letter is routed by them again.
pub(super) fn without_blind(parts: Arc<Parts>) -> Arc<Parts> {
    match &parts.properties.headers {
        Some(headers) if headers.contains_key(BLIND) => {
            let mut open = headers.clone();
            open.remove(BLIND);
            let properties = Properties { headers: Some(open), ..parts.properties.clone() };
            let (exchange, routing_key) = (parts.exchange.clone(), parts.routing_key.clone());
            Arc::new(Parts { exchange, routing_key, properties, body: parts.body.clone() })
        }
        _ => parts,
    }
}
