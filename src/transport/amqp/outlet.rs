//! A publishing channel over amiquip, in confirm mode, with confirms and returns brought into the right order.

use super::connection::{AmqpConnection, CALL_LIMIT};
use super::deadline::Deadline;
use super::{convert, fault};
use crate::error::{Error, Fault};
use crate::limits::{obstacle, PUBLISH_ID};
use crate::message::{Publication, Value};
use crate::transport::{Outlet, PublishVisit, Taken};
use amiquip::{Channel, Confirm, ConfirmPayload, ConnectionBlockedNotification, Publish, Return};
use crossbeam_channel::Receiver;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// What was to be confirmed is by then, or has been given up: this is courtesy.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

pub(super) fn publish<V: PublishVisit>(connection: &AmqpConnection, channel: Channel, visit: V) -> Result<V::Output, Error> {
    let deadline = connection.deadline_for_channel();
    let opened = deadline.within(CALL_LIMIT, || {
        channel.enable_publisher_confirms()?;
        Ok((channel.listen_for_publisher_confirms()?, channel.listen_for_returns()?))
    });
    let (confirms, returns) = opened.map_err(|err| fault::calling(&err, "confirm publishes", deadline.has_passed()))?;
    let mut outlet = AmqpOutlet {
        connection,
        channel: &channel,
        deadline: &deadline,
        confirms,
        returns,
        published: 0,
        open: BTreeSet::new(),
        returned: HashMap::new(),
        blocked: None,
    };
    let output = visit.visit(&mut outlet);
    let _ = deadline.within(CLOSE_LIMIT, || channel.close());
    Ok(output)
}

struct AmqpOutlet<'a> {
    connection: &'a AmqpConnection,
    channel: &'a Channel,
    deadline: &'a Deadline,
    confirms: Receiver<Confirm>,
    returns: Receiver<Return>,
    published: u64,
    /// Published and not yet confirmed, in order: RabbitMQ confirms out of order, and several at once.
    open: BTreeSet<u64>,
    returned: HashMap<u64, String>,
    blocked: Option<String>,
}

impl AmqpOutlet<'_> {
    /// A return is sent before its confirm, but they arrive on two receivers: this one must be empty before a confirm counts.
    fn collect_returns(&mut self) {
        for returned in self.returns.try_iter() {
            let headers = returned.properties.headers().as_ref().map(convert::table_from).unwrap_or_default();
            if let Some(id) = headers.get(PUBLISH_ID).and_then(Value::as_i64) {
                let reason = format!("{} ({})", returned.reply_text, returned.reply_code);
                self.returned.insert(id.unsigned_abs(), reason);
            }
        }
    }

    fn confirmed(&mut self, payload: ConfirmPayload) -> Vec<u64> {
        if !payload.multiple {
            return self.open.take(&payload.delivery_tag).into_iter().collect();
        }
        // A broker may name any number, the last of all as well.
        let later = payload.delivery_tag.checked_add(1).map(|next| self.open.split_off(&next)).unwrap_or_default();
        std::mem::replace(&mut self.open, later).into_iter().collect()
    }
}

impl Outlet for AmqpOutlet<'_> {
    type Raw = Confirm;

    fn receiver(&self) -> &Receiver<Confirm> {
        &self.confirms
    }

    fn publish(&mut self, publication: &Publication) -> Result<u64, Error> {
        if let Some(obstacle) = obstacle(publication, self.connection.frame_max()) {
            return Err(Error::new(Fault::NotTaken, format!("could not publish: {obstacle}")));
        }
        let sequence = self.published + 1;
        let mut properties = convert::properties_to(&publication.properties);
        if publication.mandatory {
            let mut headers = properties.headers().clone().unwrap_or_default();
            headers.insert(PUBLISH_ID.into(), amiquip::AmqpValue::LongLongInt(sequence as i64));
            properties = properties.with_headers(headers);
        }
        let publish = Publish {
            body: publication.body(),
            routing_key: publication.routing_key.clone(),
            mandatory: publication.mandatory,
            immediate: false,
            properties,
        };
        let sent = self.deadline.within(CALL_LIMIT, || self.channel.basic_publish(&publication.exchange, publish));
        sent.map_err(|err| fault::calling(&err, "publish", self.deadline.has_passed()))?;
        self.published = sequence;
        self.open.insert(sequence);
        Ok(sequence)
    }

    fn read(&mut self, raw: Confirm, taken: &mut Vec<(u64, Taken)>) {
        self.collect_returns();
        let (payload, acked) = match raw {
            Confirm::Ack(payload) => (payload, true),
            Confirm::Nack(payload) => (payload, false),
        };
        for sequence in self.confirmed(payload) {
            let answer = match self.returned.remove(&sequence) {
                Some(reason) => Taken::Returned { reason },
                None if acked => Taken::Yes,
                None => Taken::Nacked,
            };
            taken.push((sequence, answer));
        }
    }

    fn blocked(&mut self) -> Option<String> {
        for notice in self.connection.blocked().try_iter() {
            self.blocked = match notice {
                ConnectionBlockedNotification::Blocked(reason) => Some(reason),
                ConnectionBlockedNotification::Unblocked => None,
            };
        }
        self.blocked.clone()
    }

    fn failure(&self) -> Error {
        // A closed channel tells its cause to the next call on it; a dead connection to whoever closes it.
        let asked = self.deadline.within(CALL_LIMIT, || self.channel.enable_publisher_confirms());
        match asked {
            Err(err @ (amiquip::Error::ServerClosedChannel { .. } | amiquip::Error::ClientClosedChannel)) => {
                fault::calling(&err, "publish", false)
            }
            Ok(()) => Error::new(Fault::ChannelClosed, "the publishing channel is no good any more"),
            Err(_) => self.connection.cause_of_end(),
        }
    }
}
