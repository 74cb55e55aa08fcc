//! Whether the archive fills up: looked at after something was archived, so that a human hears of it before it is full.

use super::Thread;
use crate::layout::Bound;
use crate::ledger::{Event, Ticket};
use crate::message::Publication;
use crate::topology::Queue;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Looking is a call to the broker, and a warning each time would be noise.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Filling {
    /// None where nothing is kept, or nobody says where.
    bound: Option<Bound>,
    /// Of this epoch, on their way into the archive: as many as a prefetch at the most.
    awaited: BTreeSet<Ticket>,
    has_grown: bool,
    last_look: Option<Instant>,
}

impl Filling {
    pub fn of(bound: Option<Bound>) -> Self {
        Filling { bound, awaited: BTreeSet::new(), has_grown: false, last_look: None }
    }

    /// What this message publishes is on its way.
    pub fn note(&mut self, ticket: Ticket, publications: &[Publication]) {
        if self.awaited.first().is_some_and(|other| other.epoch != ticket.epoch) {
            self.awaited.clear();
        }
        let Some(Bound { archive, .. }) = &self.bound else { return };
        if publications.iter().any(|it| it.exchange == *archive || it.exchange.is_empty() && it.routing_key == *archive) {
            self.awaited.insert(ticket);
        }
    }

    /// What the broker has answered: the archive has grown when it took what was on its way there.
    pub fn hear(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Confirmed { ticket } = event {
                self.has_grown |= self.awaited.remove(ticket);
            }
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.last_look.is_none_or(|last| now.saturating_duration_since(last) >= AT_MOST_EVERY)
    }
}

impl Thread {
    /// Warns when the archive is nearly full. Only ready messages are counted; nobody consumes an archive for long.
    pub(super) fn look_at_archive(&mut self) {
        // Asked in every round, so without a look at the clock where there is nothing to see.
        if !self.filling.has_grown {
            return;
        }
        let now = self.around.clock.now();
        if !self.filling.is_due(now) {
            return;
        }
        (self.filling.has_grown, self.filling.last_look) = (false, Some(now));
        let Some(bound) = &self.filling.bound else { return };
        match self.around.connection.declare_queue(&Queue::existing(&*bound.archive)) {
            Ok(status) => {
                if let Some(warning) = bound.warning(status.messages) {
                    log::warn!("{warning}");
                }
            }
            // Nothing depends on it, and what is wrong is told where something does.
            Err(err) => log::debug!("{err}"),
        }
    }
}
