//! Publishing and dead-lettering: which queues a message goes to, and whether they take it.

use super::binding::Destination;
use super::checks::LONGEST_EXPIRY_MS;
use super::copies;
use super::refusal::{self, Refusal};
use super::state::State;
use crate::message::{Parts, Properties, Publication, Table};
use crate::transport::Taken;
use std::sync::Arc;
use std::time::Duration;

/// The one user that all connections are.
const USER: &str = "guest";

/// Who publishes, as far as a quorum queue tells them apart.
#[derive(Clone, Copy)]
pub(super) enum Publisher {
    Channel(u64),
    /// Nobody who published to it before.
    New,
    /// Somebody who waits for no confirm: dead letters.
    Unconfirmed,
}

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
    let ms = number.trim_start_matches(['-', '+']).parse().unwrap_or(u64::MAX);
    if ms > LONGEST_EXPIRY_MS {
        return invalid(format!("{{value_too_large,{}}}", number.trim_start_matches('+')));
    }
    Ok(Some(Duration::from_millis(ms)))
}

impl State {
    /// Puts a message on every queue it is routed to, and answers what its publisher is told. What is wrong with the exchange is
    /// told before what is wrong with the message.
    pub fn publish(
        &mut self,
        exchange: &str,
        checked: Result<Checked, Refusal>,
        publisher: Publisher,
    ) -> Result<Taken, Refusal> {
        match self.exchanges.get(exchange) {
            Some(internal) if internal.declared.internal => {
                let text = format!("cannot publish to internal exchange '{exchange}' in vhost '/'");
                return Err(refusal::access(text));
            }
            None if !exchange.is_empty() => return Err(refusal::no_exchange(exchange)),
            _ => {}
        }
        let message = checked?;
        let parts = &message.parts;
        let taken = if parts.exchange.is_empty() && parts.properties.headers.is_none() {
            match self.names.get(&parts.routing_key) {
                None => Routed::Nowhere,
                Some(&queue) => Routed::taken(self.enqueue(queue, message.parts, message.expiration, publisher)),
            }
        } else {
            let targets = self.targets_of(parts);
            let mut routed = Routed::Nowhere;
            for queue in targets {
                routed = routed.and(self.enqueue(queue, Arc::clone(&message.parts), message.expiration, publisher));
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
    pub fn enqueue(&mut self, id: u64, parts: Arc<Parts>, expiration: Option<Duration>, publisher: Publisher) -> bool {
        if self.is_refused(id, parts.body.len(), publisher) {
            self.refuse(id, parts);
            return false;
        }
        let State { queues, channels, clock, .. } = self;
        let queue = queues.get_mut(&id).expect("a queue that is named or bound exists");
        let entry = queue.admit(parts, expiration, || clock.now());
        // Straight to a consumer that waits: even a message that lives no time at all gets there.
        if queue.ready().is_empty() {
            if let Some(channel) = queue.line.next(|channel| channels[&channel].has_room()) {
                channels.get_mut(&channel).expect("a queue's consumers have channels").deliver(entry);
                return true;
            }
        }
        queue.push(entry);
        if queue.head_expiry().is_some() {
            self.pump(id);
        }
        self.mind_the_limit(id);
        true
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
