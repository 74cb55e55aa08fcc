//! A queue being consumed from the memory broker: deliveries come over a channel, settlements take the broker's lock.

use super::connection::MemoryConnection;
use super::refusal::{self, Refusal};
use crate::error::Error;
use crate::transport::{ConsumeVisit, Incoming, Settle, Source, Subscription};
use crossbeam_channel::Receiver;

pub(super) fn consume<V: ConsumeVisit>(
    connection: &MemoryConnection,
    subscription: &Subscription,
    visit: V,
) -> Result<V::Output, Error> {
    Ok(visit.visit(&mut open(connection, subscription)?))
}

/// Opens a channel with a consumer on it; dropping the source ends both.
pub(super) fn open<'a>(connection: &'a MemoryConnection, subscription: &Subscription) -> Result<MemorySource<'a>, Error> {
    let deed = || format!("consume from the queue `{}`", subscription.queue);
    let (channel, receiver) = connection.call(deed, |state| state.consume(subscription, connection.id))?;
    Ok(MemorySource { connection, channel, receiver, closed: None })
}

pub(super) struct MemorySource<'a> {
    connection: &'a MemoryConnection,
    channel: u64,
    receiver: Receiver<Incoming>,
    /// Why the broker closed this channel, if it did.
    closed: Option<Refusal>,
}

impl Source for MemorySource<'_> {
    type Raw = Incoming;

    fn receiver(&self) -> &Receiver<Incoming> {
        &self.receiver
    }

    fn read(&mut self, raw: Incoming) -> Incoming {
        raw
    }

    fn settle(&mut self, settle: Settle) -> Result<(), Error> {
        if let Some(closed) = &self.closed {
            return Err(closed.error());
        }
        let channel = self.channel;
        self.closed = self.connection.core.with(|state| {
            if !state.channels.contains_key(&channel) {
                return Err(refusal::lost(&self.connection.name).to("settle a message"));
            }
            let closed = state.settle(channel, settle).err().map(|refusal| refusal.closing());
            if let Some(closed) = &closed {
                state.end_channel(channel, Some(closed));
            }
            Ok(closed)
        })?;
        // As with a socket, the answer to a wrong word comes later, on the receiver.
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), Error> {
        if let Some(closed) = &self.closed {
            return Err(closed.error());
        }
        self.connection.call(
            || "cancel the consumer".into(),
            |state| {
                state.cancel(self.channel);
                Ok(())
            },
        )
    }

    fn failure(&self) -> Error {
        self.closed.clone().unwrap_or_else(|| refusal::lost(&self.connection.name)).error()
    }
}

impl Drop for MemorySource<'_> {
    /// Here, so that it happens as well when the visitor panics.
    fn drop(&mut self) {
        self.connection.core.with(|state| state.end_channel(self.channel, None));
    }
}
