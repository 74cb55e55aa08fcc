//! Publishing and dead-lettering: which queues a message goes to, and whether they take it.

use super::arguments::Overflow;
use super::binding::Destination;
use super::copies;
use super::refusal::{self, Refusal};
use super::state::{Dead, State};
use super::x_death::{self, Reason};
use crate::message::{Parts, Properties, Publication, Table};
use crate::transport::Taken;
use std::sync::Arc;
use std::time::Duration;

/// The one user that all connections are.
const USER: &str = "guest";
/// RabbitMQ knows no bound; this one is 292 million years away, and can still be added to any instant.
const LONGEST_EXPIRATION_MS: u64 = i64::MAX as u64;

/// A message that has passed the checks which need no state.
pub(super) struct Checked {
    parts: Arc<Parts>,
    expiration: Option<Duration>,
    mandatory: bool,
}

/// Checks what a publisher sends, and copies what the queues will share.
pub(super) fn check(publication: &Publication) -> Result<Checked, Refusal> {
    let properties = &publication.properties;
    if let Some(user) = properties.user_id.as_ref().filter(|user| *user != USER) {
        let text = format!("user_id property set to '{user}' but authenticated user was '{USER}'");
        return Err(refusal::precondition(text));
    }
    let expiration = expiration_of(properties)?;
    if let Some(headers) = &properties.headers {
        copies::check(headers)?;
    }
    let parts = Parts {
        exchange: publication.exchange.clone(),
        routing_key: publication.routing_key.clone(),
        properties: properties.clone(),
        body: publication.body.clone(),
    };
    Ok(Checked { parts: Arc::new(parts), expiration, mandatory: publication.mandatory })
}

fn expiration_of(properties: &Properties) -> Result<Option<Duration>, Refusal> {
    let Some(text) = &properties.expiration else { return Ok(None) };
    let invalid = |why: String| Err(refusal::precondition(format!("invalid expiration '{text}': {why}")));
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text).bytes().take_while(u8::is_ascii_digit).count();
    let length = digits + usize::from(text.starts_with(['-', '+']));
    let (number, rest) = text.split_at(length);
    if digits == 0 {
        return invalid("no_integer".into());
    }
    if !rest.is_empty() {
        return invalid(format!("{{leftover_string,\"{rest}\"}}"));
    }
    if number.starts_with('-') && number.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        return invalid(format!("{{value_negative,{number}}}"));
    }
    // What is no `u64` has twenty digits or more.
    let ms = number.trim_start_matches(['-', '+']).parse().unwrap_or(LONGEST_EXPIRATION_MS);
    Ok(Some(Duration::from_millis(ms.min(LONGEST_EXPIRATION_MS))))
}

impl State {
    /// Puts a message on every queue it is routed to, and answers what its publisher is told.
    pub fn publish(&mut self, message: Checked) -> Result<Taken, Refusal> {
        let parts = &message.parts;
        let exchange = self.exchanges.get(&parts.exchange);
        if exchange.is_some_and(|exchange| exchange.declared.internal) {
            let text = format!("cannot publish to internal exchange '{}' in vhost '/'", parts.exchange);
            return Err(refusal::access(text));
        }
        if exchange.is_none() && !parts.exchange.is_empty() {
            return Err(refusal::no_exchange(&parts.exchange));
        }
        let taken = if parts.exchange.is_empty() && parts.properties.headers.is_none() {
            match self.names.get(&parts.routing_key) {
                None => Routed::Nowhere,
                Some(&queue) => Routed::taken(self.enqueue(queue, message.parts, message.expiration)),
            }
        } else {
            let targets = self.targets_of(parts);
            let mut routed = Routed::Nowhere;
            for queue in targets {
                routed = routed.and(self.enqueue(queue, Arc::clone(&message.parts), message.expiration));
            }
            routed
        };
        self.bury();
        Ok(match taken {
            Routed::Nowhere if message.mandatory => Taken::Returned { reason: "NO_ROUTE (312)".into() },
            // Confirmed, as RabbitMQ does: nobody asked to hear of it.
            Routed::Nowhere | Routed::Taken => Taken::Yes,
            Routed::Refused => Taken::Nacked,
        })
    }

    /// The queues that a message goes to from the exchange it names, each once; none if that does not exist.
    pub fn targets_of(&self, parts: &Parts) -> Vec<u64> {
        let no_headers = Table::new();
        let headers = parts.properties.headers.as_ref().unwrap_or(&no_headers);
        let keys = copies::keys(parts);
        let mut targets = Vec::new();
        if parts.exchange.is_empty() {
            for queue in keys.iter().filter_map(|key| self.names.get(*key)) {
                push_new(&mut targets, *queue);
            }
        }
        // Each exchange once, so that a cycle of them ends.
        let mut reached = vec![parts.exchange.as_str()];
        let mut walked = 0;
        while let Some(exchange) = reached.get(walked) {
            walked += 1;
            let destinations = self.exchanges.get(*exchange).map(|exchange| exchange.destinations(&keys, headers));
            for destination in destinations.into_iter().flatten() {
                match destination {
                    Destination::Queue(queue) => push_new(&mut targets, *queue),
                    Destination::Exchange(exchange) => push_new(&mut reached, exchange.as_str()),
                }
            }
        }
        targets
    }

    /// Says whether the queue took it.
    fn enqueue(&mut self, id: u64, parts: Arc<Parts>, expiration: Option<Duration>) -> bool {
        let State { queues, channels, clock, .. } = self;
        let queue = queues.get_mut(&id).expect("a queue that is named or bound exists");
        let is_refused = queue.refuses_more();
        if is_refused && queue.policy.overflow != Overflow::RejectPublishToDeadLetters {
            return false;
        }
        let entry = queue.admit(parts, expiration, || clock.now());
        if is_refused {
            self.die(id, entry, Reason::MaxLength);
            return false;
        }
        // Straight to a consumer that waits: even a message that lives no time at all gets there.
        if queue.ready.is_empty() {
            if let Some(channel) = queue.next_consumer(|channel| channels[&channel].has_room()) {
                channels.get_mut(&channel).expect("a queue's consumers have channels").deliver(entry);
                return true;
            }
        }
        queue.ready.push_back(entry);
        if queue.head_expiry().is_some() {
            self.pump(id);
        }
        self.drop_heads_over_length(id);
        true
    }

    /// RabbitMQ looks whenever messages come in or come back.
    pub fn drop_heads_over_length(&mut self, id: u64) {
        while let Some(queue) = self.queues.get_mut(&id).filter(|queue| queue.is_over_length()) {
            let entry = queue.ready.pop_front().expect("a queue over its length is not empty");
            self.die(id, entry, Reason::MaxLength);
        }
    }

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
        let mut is_refused = false;
        for target in targets {
            match self.enqueue(target, Arc::clone(&parts), None) {
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

fn push_new<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        all.push(one);
    }
}

/// What the queues a message was routed to made of it.
enum Routed {
    Nowhere,
    Taken,
    Refused,
}

impl Routed {
    fn taken(is_taken: bool) -> Self {
        if is_taken {
            Routed::Taken
        } else {
            Routed::Refused
        }
    }

    /// One queue that refuses is enough for a nack.
    fn and(self, is_taken: bool) -> Self {
        match self {
            Routed::Refused => Routed::Refused,
            _ => Routed::taken(is_taken),
        }
    }
}
