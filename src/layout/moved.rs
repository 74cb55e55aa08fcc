//! A message on its way to another queue: what it keeps, what it says of the move, and how it is made to fit into a frame.

use crate::delivered::{headers, Message};
use crate::limits::{obstacle, FRAME_MAX};
use crate::message::{Publication, Table, Value};
use crate::outcome::cut;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a moved message has to fit into, and by which header its retries are counted.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub max: u32,
    pub counted_by: Cow<'static, str>,
}

impl Frame {
    pub fn counting_by(counted_by: Cow<'static, str>) -> Self {
        Frame { max: FRAME_MAX, counted_by }
    }

    /// The message as it waits for its next attempt, addressed nowhere yet.
    pub fn retry_copy(&self, message: &Message, reason: &str) -> Publication {
        let mut copy = moved(message, "", reason);
        let headers = copy.properties.headers.get_or_insert_default();
        headers.insert(self.counted_by.clone().into(), count(message.attempt()));
        // Its worker has said what becomes of it: the next attempt is counted anew, as a quorum queue does.
        headers.remove(headers::REDELIVERIES);
        forget_history(headers);
        copy
    }

    /// The message as it is kept for a human, addressed nowhere yet.
    pub fn archive_copy(&self, message: &Message, reason: &str) -> Publication {
        let mut copy = moved(message, "", reason);
        let headers = copy.properties.headers.get_or_insert_default();
        forget_history(headers);
        if message.retries() > 0 {
            headers.insert(headers::RETRIES.into(), count(message.retries()));
        }
        // What is no number would end a celery worker that meets it again.
        headers.entry(self.counted_by.clone().into()).and_modify(|value| *value = count(message.retries()));
        copy
    }

    /// The message as it stands in the dead letters, addressed nowhere yet.
    pub fn dead_copy(&self, message: &Message, reason: &str) -> Publication {
        moved(message, "", reason)
    }

    /// A copy that is to come again, if it fits with its count.
    pub fn counted(&self, copy: Publication, message: &Message) -> Option<Publication> {
        self.fitted(copy, message).filter(|copy| copy.header(&self.counted_by).is_some())
    }

    /// A copy that is kept, if need be as it came.
    pub fn kept(&self, copy: Publication, message: &Message) -> Publication {
        let (exchange, routing_key) = (copy.exchange.clone(), copy.routing_key.clone());
        self.fitted(copy, message).unwrap_or_else(|| Publication { exchange, routing_key, ..self.bare(message) })
    }

    /// The message at the end of its own queue, counted as one that came again so often, unless there is no room to count it.
    pub fn sent_back(&self, message: &Message, queue: &str, times: u32) -> Option<Publication> {
        let mut moved = moved(message, queue, "its worker ended before it had said what becomes of it");
        // It has its whole time once more: the broker does not tell how much was left.
        moved.properties.expiration = message.properties().expiration.clone();
        let headers = moved.properties.headers.get_or_insert_default();
        if moved.properties.expiration.is_some() {
            headers.remove(headers::EXPIRATION);
        }
        headers.insert(headers::REDELIVERIES.into(), count(times));
        self.fitted(moved, message).filter(|moved| moved.header(headers::REDELIVERIES) == Some(&count(times)))
    }

    /// The message if it fits into a frame, if need be with less: first goes what was mended of headers whose original bytes are
    /// kept, then what the worker says of the move, then the original bytes. What came as it is, is kept.
    fn fitted(&self, moved: Publication, message: &Message) -> Option<Publication> {
        if obstacle(&moved, self.max).is_none() {
            return Some(moved);
        }
        let came = |name: &str| message.headers().is_some_and(|headers| headers.contains_key(name));
        let is_original = |name: &str| name.starts_with(headers::ORIGINAL);
        let has_original = message.originals().any(|(name, _)| name == "headers" || name == "properties");
        let with_only = |is_kept: &dyn Fn(&str) -> bool| {
            let mut moved = moved.clone();
            let headers = moved.properties.headers.get_or_insert_default();
            let counts = [headers::RETRIES, headers::REDELIVERIES, &self.counted_by];
            headers.retain(|name, _| is_kept(name) || counts.contains(&name.as_str()));
            obstacle(&moved, self.max).is_none().then_some(moved)
        };
        let unmended = if has_original { with_only(&|name| !came(name) || is_original(name)) } else { None };
        unmended.or_else(|| with_only(&|name| came(name) || is_original(name))).or_else(|| with_only(&came))
    }

    /// The message as it came, with nothing added: as large as it was, so it fits.
    fn bare(&self, message: &Message) -> Publication {
        let mut bare = message.parts.addressed_to("");
        (bare.properties.user_id, bare.properties.expiration) = (None, None);
        // The publish id that lets a returned message be known needs a little room.
        bare.mandatory = obstacle(&bare, self.max).is_none();
        if let Some(headers) = &mut bare.properties.headers {
            headers.retain(|name, _| name != "CC" && name != "BCC");
        }
        // RabbitMQ may have added so much that it does not fit any more.
        if let (true, Some(headers)) = (obstacle(&bare, self.max).is_some(), &mut bare.properties.headers) {
            forget_history(headers);
        }
        bare
    }
}

/// The message with all its properties, on its way to one queue and no other.
fn moved(message: &Message, queue: &str, reason: &str) -> Publication {
    let mut moved = message.parts.addressed_to(queue);
    moved.properties.delivery_mode = Some(2);
    let mut set_aside = Table::new();
    // An expiration would end the wait early; the broker refuses a user id that is not ours.
    if let Some(expiration) = moved.properties.expiration.take() {
        set_aside.insert(headers::EXPIRATION.into(), Value::Text(expiration));
    }
    if let Some(user_id) = moved.properties.user_id.take() {
        set_aside.insert(headers::USER_ID.into(), Value::Text(user_id));
    }
    let headers = moved.properties.headers.get_or_insert_default();
    // Sender-selected distribution would send copies elsewhere (https://www.rabbitmq.com/docs/sender-selected).
    for name in ["CC", "BCC"] {
        if let Some(value) = headers.remove(name) {
            set_aside.insert(format!("x-bootstep-{}", name.to_lowercase()), value);
        }
    }
    for (name, original) in message.originals() {
        set_aside.insert(format!("{}{name}", headers::ORIGINAL), original.clone());
    }
    for (name, value) in set_aside {
        headers.entry(name).or_insert(value);
    }
    // Later on, what was not noted then is not known.
    if message.retries() == 0 {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        headers.entry(headers::FIRST_FAILED.into()).or_insert(Value::Timestamp(seconds));
    }
    headers.entry(headers::EXCHANGE.into()).or_insert_with(|| message.parts.exchange.as_str().into());
    headers.entry(headers::ROUTING_KEY.into()).or_insert_with(|| message.parts.routing_key.as_str().into());
    headers.insert(headers::QUEUE.into(), message.queue().into());
    headers.insert(headers::REASON.into(), cut(reason).into());
    moved
}

/// An int32, which every client reads.
fn count(retries: u32) -> Value {
    Value::I32(i32::try_from(retries).unwrap_or(i32::MAX))
}

/// The broker's own history would be continued on the next hop, and a quorum queue would go on counting.
fn forget_history(headers: &mut Table) {
    headers.retain(|name, _| {
        let ours_to_drop =
            name.starts_with("x-death") || name.starts_with("x-first-death-") || name.starts_with("x-last-death-");
        !ours_to_drop && name != "x-delivery-count" && name != "x-acquired-count"
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Delivery, Parts, Properties};

    /// With a header so large that so many bytes of the frame are left.
    fn message(left: usize) -> Message {
        let properties = |size: usize| Properties::default().header("theirs", "x".repeat(size));
        let size = |properties: Properties| {
            let mut bare = Publication::new("", "jobs", "x");
            bare.properties = properties;
            bare
        };
        let largest = (0..FRAME_MAX as usize).rev().find(|most| obstacle(&size(properties(*most)), FRAME_MAX).is_none());
        let properties = properties(largest.expect("something fits") - left);
        let parts = Parts { exchange: String::new(), routing_key: "jobs".into(), properties, body: Default::default() };
        Message::new(&Delivery { tag: 1, redelivered: true, parts: parts.into(), flaw: None }, &"jobs".into())
    }

    #[test]
    fn what_cannot_be_counted_is_not_sent_back() {
        let frame = Frame::counting_by(headers::RETRIES.into());
        let sent =
            |left| frame.sent_back(&message(left), "jobs", 2).and_then(|sent| sent.header(headers::REDELIVERIES).cloned());
        assert_eq!(sent(FRAME_MAX as usize / 2), Some(Value::I32(2)));
        assert_eq!(sent(150), Some(Value::I32(2)), "what is said of the move has no room, the count has");
        assert_eq!(sent(0), None);
    }
}
