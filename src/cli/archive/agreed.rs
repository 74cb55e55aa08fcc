//! What a person has agreed to: just these messages, known again by a hash of all that they have.

use crate::delivered::{headers, Message};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// What the broker writes anew each time that it hands a message out.
const OF_DELIVERY: [&str; 2] = [headers::DELIVERY_COUNT, "x-acquired-count"];

/// Messages that were looked at, about 16 bytes for each.
#[derive(Default)]
pub(super) struct Agreed {
    keys: RandomState,
    /// By hash: how many of them were not found again yet.
    left: HashMap<u64, u32>,
}

impl Agreed {
    /// This one was looked at.
    pub fn add(&mut self, message: &Message) {
        *self.left.entry(self.hash(message)).or_default() += 1;
    }

    /// Whether this is one of them, which was not found again before.
    pub fn find(&mut self, message: &Message) -> bool {
        let hash = self.hash(message);
        let Some(left) = self.left.get_mut(&hash).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    fn hash(&self, message: &Message) -> u64 {
        let parts = &message.parts;
        let mut properties = parts.properties.clone();
        if let Some(table) = &mut properties.headers {
            table.retain(|name, _| !OF_DELIVERY.contains(&name.as_str()));
        }
        // It may have had none before.
        let _ = properties.headers.take_if(|table| table.is_empty());
        self.keys.hash_one((&parts.exchange, &parts.routing_key, format!("{properties:?}"), message.body()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Publication;

    #[test]
    fn each_is_found_once_however_often_it_was_delivered() {
        let publication = |body: &str| Publication::new("", "orders.archive", body);
        let letter = |body: &str| Message::from_publication(publication(body));
        let mut again = publication("two");
        again.properties = again.properties.header(headers::DELIVERY_COUNT, 3);
        let mut agreed = Agreed::default();
        ["one", "two", "two"].iter().for_each(|body| agreed.add(&letter(body)));
        let found = [letter("one"), letter("one"), Message::from_publication(again), letter("two"), letter("three")]
            .map(|message| agreed.find(&message));
        assert_eq!(found, [true, false, true, true, false]);
    }
}
