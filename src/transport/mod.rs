//! What a transport is: the few things the worker asks of a broker, told apart from how they are done.
//!
//! Two flavours keep this contract: `amqp` (over amiquip, to RabbitMQ) and `memory` (a broker in this process). A transport
//! knows nothing of retries, archives, outcomes or steps. The contract is private, so that it can change.
//!
//! Consuming and publishing hand the caller's visitor something that lives on the calling thread for as long as the visit,
//! because amiquip's consumer borrows its channel and both stay with the thread that owns the queue.

pub(crate) mod amqp;
pub(crate) mod memory;

use crate::error::Error;
use crate::message::{Delivery, Publication, Table};
use crate::topology::{Binding, Exchange, Queue};
use crossbeam_channel::Receiver;
use std::time::Duration;

/// One open connection. All calls have a deadline of their own and may come from any thread.
pub(crate) trait Transport: Send + Sync {
    /// The broker's product and version as it tells them, such as `RabbitMQ 3.10.8`.
    fn server(&self) -> String;
    /// Declares (or, if passive, checks) an exchange, without its bindings.
    fn declare_exchange(&self, exchange: &Exchange) -> Result<(), Error>;
    /// Declares (or, if passive, checks) a queue, without its bindings.
    fn declare_queue(&self, queue: &Queue) -> Result<QueueStatus, Error>;
    fn bind_queue(&self, queue: &str, binding: &Binding) -> Result<(), Error>;
    fn unbind_queue(&self, queue: &str, binding: &Binding) -> Result<(), Error>;
    /// Binds an exchange to the one that the binding names, where messages come from.
    fn bind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error>;
    fn unbind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error>;
    /// Deletes it whatever it holds; deleting what does not exist is no error, as in RabbitMQ.
    fn delete_queue(&self, queue: &str) -> Result<u32, Error>;
    fn delete_exchange(&self, exchange: &str) -> Result<(), Error>;
    fn purge_queue(&self, queue: &str) -> Result<u32, Error>;
    /// Opens a channel, consumes, and visits until the visitor returns; then cancels (if still consuming) and closes the
    /// channel, which hands back whatever is unsettled.
    fn consume<V: ConsumeVisit>(&self, subscription: &Subscription, visit: V) -> Result<V::Output, Error>;
    /// Opens a channel in confirm mode, visits, closes it.
    fn publish<V: PublishVisit>(&self, visit: V) -> Result<V::Output, Error>;
    /// Closes within the deadline; a second call does nothing.
    fn close(&self, deadline: Duration);
}

/// What a declared queue told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// The queue's name, chosen by the broker if none was given.
    pub name: String,
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers on it.
    pub consumers: u32,
}

/// How a queue is consumed.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub queue: String,
    /// Per consumer, never 0: amiquip buffers without bound.
    pub prefetch: u16,
    pub exclusive: bool,
    pub arguments: Table,
}

/// What runs while a queue is consumed.
pub(crate) trait ConsumeVisit {
    type Output;
    fn visit<S: Source>(self, source: &mut S) -> Self::Output;
}

/// A queue being consumed, on the thread that owns its channel.
pub(crate) trait Source {
    /// What arrives on the receiver; `read` says what it means.
    type Raw: Send;
    fn receiver(&self) -> &Receiver<Self::Raw>;
    /// What arrived, in order. A receiver that disconnects means that the connection is gone: ask [`Source::failure`].
    fn read(&mut self, raw: Self::Raw) -> Incoming;
    /// Queued, not done: only an answered call after it is a barrier.
    fn settle(&mut self, settle: Settle) -> Result<(), Error>;
    /// This delivery is not going to be settled: it goes back at the end of the visit, with all unsettled
    /// ones before it, and nothing of it need be kept here till then.
    fn leave(&mut self, tag: u64);
    /// From now on the broker may take its time over cancelling and consuming: a queue that has very much out is slow.
    fn be_patient(&mut self) {}
    /// Stops new deliveries; what was already on its way still arrives on the receiver. Calling it again does nothing.
    fn cancel(&mut self) -> Result<(), Error>;
    /// An answered call: what was settled before it has arrived, and the channel lives.
    fn barrier(&mut self) -> Result<(), Error>;
    /// Consumes again on the same channel, once [`Incoming::CancelDone`] was read: what is unsettled stays unsettled, and does not
    /// count against this prefetch. Ask for the receiver anew.
    fn resume(&mut self, prefetch: u16) -> Result<(), Error>;
    /// Why the receiver disconnected.
    fn failure(&self) -> Error;
}

/// What comes in while consuming.
#[derive(Debug)]
pub(crate) enum Incoming {
    Delivery(Delivery),
    /// The broker cancelled the consumer (queue deleted, consumer timeout on 4.3). Settle nothing more on this channel.
    Cancelled,
    /// Our own cancel is through.
    CancelDone,
    /// The broker closed the channel, or the connection.
    Closed(Error),
}

/// One word to the broker about deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// This one is done.
    Ack { tag: u64 },
    /// This one and every unsettled one before it are done.
    AckUpTo { tag: u64 },
    /// `basic.reject` without requeue: to the dead letters, if the queue has any.
    Reject { tag: u64 },
    /// `basic.reject` with requeue: back to the queue, as a failed attempt where queues count those.
    Fail { tag: u64 },
    /// `basic.nack` with requeue: back to the queue, untouched.
    Requeue { tag: u64 },
}

impl Settle {
    /// Which delivery it is about; the last of them, if it is about several.
    pub fn tag(self) -> u64 {
        match self {
            Settle::Ack { tag }
            | Settle::AckUpTo { tag }
            | Settle::Reject { tag }
            | Settle::Fail { tag }
            | Settle::Requeue { tag } => tag,
        }
    }
}

/// What runs while a publishing channel is open.
pub(crate) trait PublishVisit {
    type Output;
    fn visit<O: Outlet>(self, outlet: &mut O) -> Self::Output;
}

/// A publishing channel in confirm mode, on the thread that owns it.
pub(crate) trait Outlet {
    type Raw: Send;
    fn receiver(&self) -> &Receiver<Self::Raw>;
    /// Sends a message and answers its sequence number on this channel, from 1.
    fn publish(&mut self, publication: &Publication) -> Result<u64, Error>;
    /// What a confirm says, return first where both came: each sequence number appears once, expanded from `multiple`.
    fn read(&mut self, raw: Self::Raw, taken: &mut Vec<(u64, Taken)>);
    /// Why the broker does not read from us at the moment, if so (memory or disk alarm).
    fn blocked(&mut self) -> Option<String>;
    /// Whether the channel or connection is gone, and why; asked when the receiver disconnects or a publish fails.
    fn failure(&self) -> Error;
}

/// Whether the broker took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Confirmed.
    Yes,
    /// Nacked: the queue refused it (full, or an error in the queue).
    Nacked,
    /// Not sent, because the broker would close the channel or the connection for it.
    Unfit { reason: String },
    /// Mandatory, and no queue was bound for it.
    Returned { reason: String },
}

impl Taken {
    /// Why it was not taken, in words.
    pub fn reason(&self) -> String {
        match self {
            Taken::Yes => "confirmed".into(),
            Taken::Nacked => "the queue refused it (full, or in trouble)".into(),
            Taken::Unfit { reason } => reason.clone(),
            Taken::Returned { reason } => format!("no queue takes it: {reason}"),
        }
    }
}
