//! A publishing channel of the memory broker: each message is taken or refused at once, and told in order.

use super::connection::MemoryConnection;
use super::refusal::{self, Refusal};
use super::route::{self, Publisher};
use super::state::{Confirm, Publishing};
use crate::error::{Error, Fault};
use crate::limits::{obstacle, FRAME_MAX};
use crate::message::Publication;
use crate::transport::{Outlet, PublishVisit, Taken};
use crossbeam_channel::{unbounded, Receiver};
use std::collections::HashMap;
use std::sync::atomic::Ordering;

pub(super) fn publish<V: PublishVisit>(connection: &MemoryConnection, visit: V) -> Result<V::Output, Error> {
    Ok(visit.visit(&mut open(connection)?))
}

/// Opens a channel in confirm mode; dropping the outlet closes it.
pub(super) fn open(connection: &MemoryConnection) -> Result<MemoryOutlet<'_>, Error> {
    // Bounded by the publisher's window: it holds what that has not read.
    let (sender, receiver) = unbounded();
    let opened = connection.call(
        || "confirm publishes".into(),
        |state| {
            let channel = state.next_id();
            state.outlets.insert(channel, Publishing { connection: connection.id, sender, is_refused_by: HashMap::new() });
            Ok(channel)
        },
    );
    Ok(MemoryOutlet { connection, channel: opened?, receiver, published: 0, unread: 0, closed: None })
}

pub(super) struct MemoryOutlet<'a> {
    connection: &'a MemoryConnection,
    channel: u64,
    receiver: Receiver<Confirm>,
    published: u64,
    unread: u64,
    /// Why the broker closed this channel, if it did.
    closed: Option<Refusal>,
}

impl MemoryOutlet<'_> {
    /// What a broken rule does: the channel goes, and its publisher learns why when it asks.
    fn close(&mut self, refusal: Refusal) {
        self.connection.core.with(|state| state.outlets.remove(&self.channel));
        self.closed = Some(refusal);
    }
}

impl Outlet for MemoryOutlet<'_> {
    type Raw = Confirm;

    fn receiver(&self) -> &Receiver<Confirm> {
        &self.receiver
    }

    fn publish(&mut self, publication: &Publication) -> Result<u64, Error> {
        if self.closed.is_some() {
            return Err(self.failure());
        }
        if let Some(obstacle) = obstacle(publication, FRAME_MAX) {
            return Err(Error::new(Fault::NotTaken, format!("could not publish: {obstacle}")));
        }
        let sequence = self.published + 1;
        // Checked and copied before the lock is taken, which all share.
        let checked = route::check(publication);
        let core = &self.connection.core;
        let published = core.with(|state| {
            if !state.outlets.contains_key(&self.channel) {
                return Err(refusal::lost(&self.connection.name));
            }
            let taken = state.publish(&publication.exchange, checked, Publisher::Channel(self.channel))?;
            // Counted before it is sent, so that it is never read before it is counted.
            core.unread.fetch_add(1, Ordering::SeqCst);
            // The receiver is ours, so it is there.
            let _ = state.outlets[&self.channel].sender.send((sequence, taken));
            Ok(())
        });
        match published {
            Ok(()) => self.unread += 1,
            Err(refusal) if refusal.fault == Fault::Lost => return Err(refusal.to("publish")),
            // As with a socket, the answer to a wrong word comes later: the receiver disconnects.
            Err(refusal) => self.close(refusal),
        }
        self.published = sequence;
        Ok(sequence)
    }

    fn read(&mut self, raw: Confirm, taken: &mut Vec<(u64, Taken)>) {
        taken.push(raw);
        self.unread -= 1;
        self.connection.core.confirms_were_read(1);
    }

    fn blocked(&mut self) -> Option<String> {
        None
    }

    fn failure(&self) -> Error {
        self.closed.clone().unwrap_or_else(|| refusal::lost(&self.connection.name)).to("publish")
    }
}

impl Drop for MemoryOutlet<'_> {
    /// Here, so that it happens as well when the visitor panics.
    fn drop(&mut self) {
        self.connection.core.with(|state| state.outlets.remove(&self.channel));
        self.connection.core.confirms_were_read(self.unread);
    }
}
