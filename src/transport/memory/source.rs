//! A queue being consumed from the memory broker: deliveries come over a channel, settlements take the broker's lock.

use super::connection::MemoryConnection;
use super::refusal::{self, Refusal};
use super::state::State;
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
    Ok(MemorySource { connection, channel, receiver, subscription: subscription.clone() })
}

pub(super) struct MemorySource<'a> {
    connection: &'a MemoryConnection,
    channel: u64,
    receiver: Receiver<Incoming>,
    subscription: Subscription,
}

impl MemorySource<'_> {
    /// Why the channel is gone: the broker closed it, or the connection went.
    fn end(&self, state: &State) -> Refusal {
        state.closed.get(&self.channel).cloned().unwrap_or_else(|| refusal::lost(&self.connection.name))
    }
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
        let channel = self.channel;
        self.connection.core.with(|state| {
            if !state.channels.contains_key(&channel) {
                return Err(self.end(state).to("settle a message"));
            }
            // As with a socket, the answer to a wrong word comes later, on the receiver.
            if let Err(refusal) = state.settle(channel, settle) {
                state.end_channel(channel, Some(&refusal.closing()));
            }
            Ok(())
        })
    }

    /// What is unsettled, the broker itself keeps.
    fn leave(&mut self, _tag: u64) {}

    fn cancel(&mut self) -> Result<(), Error> {
        self.connection.call(
            || "cancel the consumer".into(),
            |state| match state.closed.get(&self.channel) {
                Some(closed) => Err(closed.clone()),
                None => {
                    state.cancel(self.channel);
                    Ok(())
                }
            },
        )
    }

    fn barrier(&mut self) -> Result<(), Error> {
        let deed = || "ask for an answer on the channel".into();
        self.connection.call(deed, |state| state.closed.get(&self.channel).cloned().map_or(Ok(()), Err))
    }

    fn resume(&mut self, prefetch: u16) -> Result<(), Error> {
        let subscription = Subscription { prefetch, ..self.subscription.clone() };
        let deed = || format!("consume from the queue `{}`", subscription.queue);
        self.connection.call(deed, |state| match state.closed.get(&self.channel) {
            Some(closed) => Err(closed.clone()),
            None => state.resume(self.channel, &subscription, self.connection.id),
        })
    }

    fn failure(&self) -> Error {
        self.end(&self.connection.core.lock()).error()
    }
}

impl Drop for MemorySource<'_> {
    /// Here, so that it happens as well when the visitor panics.
    fn drop(&mut self) {
        self.connection.core.with(|state| {
            // The consumer ends before its channel does, as over AMQP: what is ready goes to others before what comes back.
            state.cancel(self.channel);
            state.end_channel(self.channel, None);
            state.closed.remove(&self.channel);
        });
    }
}
