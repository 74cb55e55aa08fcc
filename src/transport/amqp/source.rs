//! A queue being consumed over amiquip: channel and consumer are locals of the thread that owns the queue.

use super::connection::{AmqpConnection, CALL_LIMIT};
use super::deadline::Deadline;
use super::{convert, fault};
use crate::error::{Error, Fault};
use crate::message::Delivery;
use crate::tagged::Tagged;
use crate::transport::{ConsumeVisit, Incoming, Settle, Source, Subscription};
use amiquip::{Channel, Consumer, ConsumerMessage, ConsumerOptions};
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broker that has not answered a cancel by then hangs, and who ends does not wait for it: what is unsettled comes again.
const CANCEL_LIMIT: Duration = Duration::from_millis(1500);

/// How long a queue may take to answer that has a large part of a million messages out: it is busy putting them on the disk.
const PATIENT_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn consume<V: ConsumeVisit>(
    connection: &AmqpConnection,
    channel: Channel,
    subscription: &Subscription,
    visit: V,
) -> Result<V::Output, Error> {
    let deadline = connection.deadline_for_channel();
    let output = visit_on(connection, &channel, &deadline, subscription, visit)?;
    let _ = deadline.within(CALL_LIMIT, || channel.close());
    Ok(output)
}

fn visit_on<V: ConsumeVisit>(
    connection: &AmqpConnection,
    channel: &Channel,
    deadline: &Deadline,
    subscription: &Subscription,
    visit: V,
) -> Result<V::Output, Error> {
    let consumer = begin(channel, subscription, subscription.prefetch, deadline, CALL_LIMIT)?;
    let (seen, id) = (connection.seen(), channel.channel_id());
    let generation = seen.generation(id);
    let (shells, left) = (Tagged::new(), vec![Left { after: 0, last: None }]);
    let mut source = AmqpSource {
        connection,
        channel,
        subscription,
        consumer,
        deadline,
        shells,
        left,
        last_tag: 0,
        is_patient: false,
        generation,
        ended: false,
    };
    let output = visit.visit(&mut source);
    source.end();
    source.give_back();
    seen.forget(id, generation);
    let consumer = source.consumer;
    deadline.within(CALL_LIMIT, || drop(consumer));
    Ok(output)
}

/// A consumer on the channel, with a prefetch of its own.
fn begin<'a>(
    channel: &'a Channel,
    subscription: &Subscription,
    prefetch: u16,
    deadline: &Deadline,
    limit: Duration,
) -> Result<Consumer<'a>, Error> {
    let deed = format!("consume from the queue `{}`", subscription.queue);
    let options = ConsumerOptions {
        exclusive: subscription.exclusive,
        arguments: convert::table_to(&subscription.arguments),
        ..ConsumerOptions::default()
    };
    let consumed = deadline.within(limit, || {
        channel.qos(0, prefetch.max(1), false)?;
        channel.basic_consume(&subscription.queue, options)
    });
    consumed.map_err(|err| fault::calling(&err, &deed, deadline.has_passed()))
}

struct AmqpSource<'a> {
    connection: &'a AmqpConnection,
    channel: &'a Channel,
    subscription: &'a Subscription,
    consumer: Consumer<'a>,
    deadline: &'a Deadline,
    /// What amiquip wants back for a settlement: the delivery value, emptied; of unsettled messages only.
    shells: Tagged<amiquip::Delivery>,
    /// For each consumer that the channel had.
    left: Vec<Left>,
    last_tag: u64,
    is_patient: bool,
    /// Which of the channels of its number this is.
    generation: u64,
    /// Nothing more can arrive: cancelled by either side, or the channel is closed.
    ended: bool,
}

/// What was left of a consumer's deliveries.
struct Left {
    /// They have tags above this one.
    after: u64,
    /// The last of those that were left.
    last: Option<amiquip::Delivery>,
}

impl AmqpSource<'_> {
    /// Cancels, and reads until amiquip has said its last word: a consumer dropped before that takes the connection with it.
    fn end(&mut self) {
        let due = Instant::now() + self.limit(CALL_LIMIT);
        if self.ended || self.cancel().is_err() {
            return;
        }
        while let Ok(message) = self.consumer.receiver().recv_deadline(due) {
            if !matches!(message, ConsumerMessage::Delivery(_)) {
                return;
            }
        }
    }

    /// What it takes at the most, or much longer for who is patient.
    fn limit(&self, usual: Duration) -> Duration {
        if self.is_patient {
            PATIENT_LIMIT
        } else {
            usual
        }
    }

    /// Hands back what was left, consumer by consumer in the order they came, as a quorum queue does not when the channel ends; and
    /// from RabbitMQ 4.3 on it counts that as a failed delivery, this not.
    fn give_back(&mut self) {
        for last in self.left.drain(..).filter_map(|left| left.last) {
            let channel = self.channel;
            // If it fails the channel is gone, and all of it is back.
            let _ = self.deadline.within(CALL_LIMIT, || last.nack_multiple(channel, true));
        }
    }
}

impl Source for AmqpSource<'_> {
    type Raw = ConsumerMessage;

    fn receiver(&self) -> &Receiver<ConsumerMessage> {
        self.consumer.receiver()
    }

    fn read(&mut self, raw: ConsumerMessage) -> Incoming {
        self.ended |= !matches!(raw, ConsumerMessage::Delivery(_));
        match raw {
            ConsumerMessage::Delivery(mut delivery) => {
                let parts = Arc::new(convert::parts_of(&mut delivery));
                let (tag, redelivered) = (delivery.delivery_tag(), delivery.redelivered);
                // Tags count up. Under one that was given before, or none, the wrong message would be settled.
                if tag <= self.last_tag {
                    let what = format!("the broker delivered under the tag {tag} after {}", self.last_tag);
                    return Incoming::Closed(Error::new(Fault::ChannelClosed, what));
                }
                self.last_tag = tag;
                let flaw = self.connection.seen().flaw_of(self.channel.channel_id(), self.generation, tag).map(Arc::new);
                self.shells.insert(tag, delivery);
                Incoming::Delivery(Delivery { tag, redelivered, parts, flaw })
            }
            ConsumerMessage::ServerCancelled => Incoming::Cancelled,
            ConsumerMessage::ClientCancelled => Incoming::CancelDone,
            ConsumerMessage::ServerClosedChannel(err) => Incoming::Closed(fault::ended(&err)),
            ConsumerMessage::ServerClosedConnection(err) => Incoming::Closed(fault::ended(&err)),
            ConsumerMessage::ClientClosedChannel | ConsumerMessage::ClientClosedConnection => {
                Incoming::Closed(self.connection.cause_of_end())
            }
        }
    }

    fn settle(&mut self, settle: Settle) -> Result<(), Error> {
        let tag = settle.tag();
        // The ledger settles each once; a tool with an inbox of its own may err.
        let Some(shell) = self.shells.remove(tag) else {
            return Err(Error::new(Fault::Mismatch, format!("delivery tag {tag} is not known, or settled already")));
        };
        let channel = self.channel;
        let sent = self.deadline.within(CALL_LIMIT, || match settle {
            Settle::Ack { .. } => shell.ack(channel),
            Settle::AckUpTo { .. } => shell.ack_multiple(channel),
            Settle::Reject { .. } => shell.reject(channel, false),
            Settle::Fail { .. } => shell.reject(channel, true),
            Settle::Requeue { .. } => shell.nack(channel, true),
        });
        if let Settle::AckUpTo { tag } = settle {
            while self.shells.pop_first_if(|other, _| other <= tag).is_some() {}
            self.left.iter_mut().for_each(|left| drop(left.last.take_if(|last| last.delivery_tag() <= tag)));
        }
        sent.map_err(|err| fault::calling(&err, "settle a message", self.deadline.has_passed()))
    }

    fn leave(&mut self, tag: u64) {
        let Some(shell) = self.shells.remove(tag) else { return };
        let of_its_consumer = self.left.iter_mut().rfind(|left| left.after < tag);
        if let Some(left) = of_its_consumer {
            if left.last.as_ref().is_none_or(|last| last.delivery_tag() < tag) {
                left.last = Some(shell);
            }
        }
    }

    fn cancel(&mut self) -> Result<(), Error> {
        let cancelled = self.deadline.within(self.limit(CANCEL_LIMIT), || self.consumer.cancel());
        cancelled.map_err(|err| fault::calling(&err, "cancel the consumer", self.deadline.has_passed()))
    }

    fn be_patient(&mut self) {
        self.is_patient = true;
    }

    fn barrier(&mut self) -> Result<(), Error> {
        // It holds for the consumers to come, and each of those has one of its own.
        let answered = self.deadline.within(CALL_LIMIT, || self.channel.qos(0, self.subscription.prefetch.max(1), false));
        answered.map_err(|err| fault::calling(&err, "ask for an answer on the channel", self.deadline.has_passed()))
    }

    fn resume(&mut self, prefetch: u16) -> Result<(), Error> {
        let consumer = begin(self.channel, self.subscription, prefetch, self.deadline, self.limit(CALL_LIMIT))?;
        let cancelled = std::mem::replace(&mut self.consumer, consumer);
        self.ended = false;
        self.left.push(Left { after: self.last_tag, last: None });
        self.deadline.within(CALL_LIMIT, || drop(cancelled));
        Ok(())
    }

    fn failure(&self) -> Error {
        self.connection.cause_of_end()
    }
}
