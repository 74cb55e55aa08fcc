//! Messages that may have killed their process are handled alone, when everything else is settled: whoever is unsettled when the
//! process ends counts as having come again, and others should not be archived for what one of them did.

use super::pausing::MayBegin;
use super::Desk;
use crate::intake::Ended;
use crate::ledger::Event;
use crate::message::Delivery;
use crate::transport::Source;

/// Messages that came again so often that each is handled alone.
#[derive(Default)]
pub(super) struct Suspects {
    deliveries: Vec<(u32, Delivery)>,
    /// Nothing is consumed until they are through.
    is_under_way: bool,
}

impl Suspects {
    pub fn add(&mut self, times: u32, delivery: Delivery) {
        self.deliveries.push((times, delivery));
    }

    pub fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    pub fn take_all(&mut self) -> impl Iterator<Item = Delivery> {
        std::mem::take(&mut self.deliveries).into_iter().map(|(_, delivery)| delivery)
    }

    /// Forwards and backwards in turns: of those before and after the culprit, each comes first once within two deaths.
    fn next(&mut self) -> Option<Delivery> {
        let times = self.deliveries.iter().map(|(times, _)| *times).max()?;
        let place = if times % 2 == 0 { self.deliveries.len() - 1 } else { 0 };
        Some(self.deliveries.remove(place).1)
    }
}

impl Desk<'_> {
    /// What should have gone to the end of its queue and was not taken there. Waiting for room would be waiting for ourselves.
    pub(super) fn handle_alone(&mut self, times: u32, delivery: Delivery, reason: &str) {
        if self.draining.is_some() {
            return self.hand_back(delivery.tag);
        }
        log::warn!(
            "`{0}`: `{0}` takes no message at its end ({reason}); what came again ({times}) is handled alone at once",
            self.queue
        );
        self.suspects.add(times, delivery);
    }

    /// Sees to it that nothing else is unsettled, then has the suspects handled one by one, then consumes again.
    pub(super) fn isolate<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let left = self.suspects.deliveries.len();
        if self.draining.is_some() || (left == 0 && !self.suspects.is_under_way) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.suspects.is_under_way, true) {
            log::warn!("`{}`: {left} messages came again too often; each is handled alone, and the others wait", self.queue);
            self.stop_consuming(source)?;
        }
        self.apply(Event::FlushAll);
        let is_alone = self.cancelled && self.backlog.is_empty() && self.waiting.is_empty() && self.ledger.unsettled() == left;
        // While a kill switch probes, the next of them is its probe: nothing else could be, because nothing else is consumed.
        match is_alone && self.may_begin() != MayBegin::None {
            true => self.go_on(source),
            false => Ok(()),
        }
    }

    fn go_on<S: Source>(&mut self, source: &mut S) -> Result<(), Ended> {
        let Some(delivery) = self.suspects.next() else {
            self.suspects.is_under_way = false;
            return self.consume_again(source);
        };
        // An answered call after the acks: they have arrived, and will not be lost with the process.
        self.settle(source)?;
        source.barrier().map_err(|err| self.ended_by(source, err))?;
        self.backlog.push_back(delivery);
        Ok(())
    }
}
