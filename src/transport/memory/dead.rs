//! Dead letters on their way: to the queues that take them, or kept until one does.

use super::route::Publisher;
use super::state::{Dead, State};
use super::x_death::{self, Reason};
use std::sync::Arc;

impl State {
    /// Moves the dead on to where their queues send them, and those who die of that, until none is left.
    ///
    /// This ends: only a consumer's rejection lets a message into a queue it died in before.
    pub fn bury(&mut self) {
        while let Some(mut dead) = self.dead.pop_front() {
            let is_taken = self.move_on(&mut dead);
            // Nobody is told of a dead letter that nobody takes: it is lost, as in RabbitMQ.
            if dead.is_at_least_once && !is_taken {
                self.held.push(dead);
            }
        }
    }

    /// Says whether there are queues for it, and all have taken it by now.
    fn move_on(&mut self, dead: &mut Dead) -> bool {
        let parts = Arc::new(x_death::dead_lettered(&dead.entry.parts, &dead.name, dead.reason, &dead.letter));
        let mut targets = self.targets_of(&parts);
        if dead.reason != Reason::Rejected {
            targets.retain(|target| !x_death::is_cycle(&parts.properties, self.queues[target].name()));
        }
        let is_routed = !targets.is_empty();
        targets.retain(|target| !dead.taken_by.contains(target));
        // Only who waits for a confirm hears of a refusal: a quorum queue takes what comes from others.
        let publisher = if dead.is_at_least_once { Publisher::New } else { Publisher::Unconfirmed };
        let mut is_refused = false;
        for target in targets {
            match self.enqueue(target, Arc::clone(&parts), None, publisher) {
                true => dead.taken_by.push(target),
                false => is_refused = true,
            }
        }
        is_routed && !is_refused
    }

    /// Tries the held dead letters again, because something has changed that may let them through.
    pub fn try_held_again(&mut self) {
        if !self.held.is_empty() {
            self.dead.extend(std::mem::take(&mut self.held));
            self.bury();
        }
    }
}
