//! Whether a queue that messages go back to throws others away for them: nobody should lose messages by sending some to work.

use crate::broker::{Connection, Room};
use crate::cli::failure::Done;
use crate::cli::note::{count, note};
use crate::cli::session::Session;
use crate::error::Fault;
use crate::topology::Queue;
use std::collections::BTreeSet;

/// The queues that messages go to, each asked for once.
pub(super) struct Rooms<'a> {
    pub session: &'a Session,
    pub connection: &'a Connection,
    /// So many go to one queue at the most.
    pub most: u64,
    /// Tells it only.
    pub is_dry: bool,
    /// Goes on without asking.
    pub yes: bool,
    pub known: BTreeSet<String>,
}

impl Rooms<'_> {
    /// Goes on if the queue has room for all, or refuses what it has no room for, or if the person agrees to a loss.
    pub fn agree(&mut self, queue: &str) -> Done {
        if !self.known.insert(queue.to_owned()) {
            return Ok(());
        }
        match self.loss(queue)? {
            None => Ok(()),
            Some(loss) if self.is_dry => {
                note(&loss);
                Ok(())
            }
            Some(loss) => self.session.confirm(&loss, self.yes),
        }
    }

    /// What may be lost in this queue.
    fn loss(&self, queue: &str) -> Result<Option<String>, crate::error::Error> {
        let room = self.connection.room(queue).or_else(|err| match err.fault() {
            // That nobody takes them is found when they go.
            Fault::NotFound => Ok(Room::Enough),
            _ => Err(err),
        })?;
        let (limit, argument) = match room {
            Room::Enough | Room::Unknown => return Ok(None),
            Room::Bytes(bytes) => (count(bytes, "byte"), "x-max-length-bytes"),
            Room::Messages(messages) => {
                let there = self.connection.declare_queue(&Queue::existing(queue))?.messages;
                if u64::from(there).saturating_add(self.most) <= messages {
                    return Ok(None);
                }
                (count(messages, "message"), "x-max-length")
            }
        };
        Ok(Some(format!(
            "`{queue}` drops its oldest messages when it has more than {limit} (`{argument}`, without \
             `x-overflow=reject-publish`), and up to {} would go there: what it drops may be lost.",
            count(self.most, "message")
        )))
    }
}
