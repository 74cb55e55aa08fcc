//! Publishing for the commands that move messages: in batches, each message mandatory and confirmed, and told apart by what became of it.

use super::failure::Failure;
use super::note::{count, note};
use super::session::Session;
use crate::broker::{Answers, Connection, Receipt};
use crate::error::{Error, Fault};
use crate::message::{Properties, Publication};
use crate::topology::{Exchange, Queue};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Messages that are published before anybody waits for their confirms; what a killed command may do twice.
pub(crate) const BATCH: usize = 200;

/// Bytes of bodies in a batch, at the most; one message is always let through, however large.
pub(crate) const BATCH_BYTES: usize = 16 << 20;

/// A batch that takes longer means that the connection is no good (an alarm excepted).
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);

/// An alarm that is over by then is nobody's business.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// A connection to publish over: of its own, because a broker in an alarm stops reading from connections that publish, and acks
/// on them would stall too (<https://www.rabbitmq.com/docs/alarms>).
pub(crate) struct Outflow<'a> {
    session: &'a Session,
    connection: Connection,
    /// Exchanges that were asked for, and why they cannot be published to.
    exchanges: HashMap<String, Option<String>>,
    /// User ids that the broker takes over this connection: its own, and all if its user has the tag `impersonator`.
    users: HashSet<String>,
    /// How many were published again and may be there twice.
    repeated: u64,
}

/// No way out leaves it unsaid.
impl Drop for Outflow<'_> {
    fn drop(&mut self) {
        if self.repeated > 0 {
            note(&format!(
                "{} may be there twice: the broker closed the channel for a message and did not say for which",
                count(self.repeated, "message")
            ));
        }
    }
}

/// What became of a batch.
pub(crate) struct Sent {
    /// One for each message, in their order.
    pub receipts: Vec<Receipt>,
    /// Why not each has its answer, if so: the broker is away, or somebody wants to stop.
    pub failure: Option<Failure>,
}

impl<'a> Outflow<'a> {
    pub fn open(session: &'a Session) -> Result<Self, Failure> {
        let connection = session.connect()?;
        let users = user_of(&connection.place()).map(str::to_owned).into_iter().collect();
        Ok(Outflow { session, connection, exchanges: HashMap::new(), users, repeated: 0 })
    }

    /// The user that the connection is open as: the broker takes no other user id on a message.
    pub fn user(&self) -> Option<String> {
        user_of(&self.connection.place()).map(str::to_owned)
    }

    /// That the queue is there, before anything is sent to it.
    pub fn expect_queue(&self, queue: &str) -> Result<(), Failure> {
        match self.connection.declare_queue(&Queue::existing(queue)) {
            // Who has it to himself may still be sent something.
            Err(err) if err.fault() == Fault::NotFound => Err(is_missing("queue", queue)),
            Err(err) if err.fault() != Fault::Locked => Err(err.into()),
            _ => Ok(()),
        }
    }

    /// That the exchange is there, before anything is sent to it.
    pub fn expect_exchange(&mut self, exchange: &str) -> Result<(), Failure> {
        match self.missing(exchange) {
            Err(failure) => Err(failure),
            Ok(Some(why)) => Err(Failure::broker(why)),
            Ok(None) => Ok(()),
        }
    }

    /// Publishes them all and waits until each has an answer.
    pub fn send(&mut self, batch: &[Publication]) -> Sent {
        let mut receipts = vec![Receipt::Unsent; batch.len()];
        let failure = self.send_into(batch, &mut receipts).err();
        Sent { receipts, failure }
    }

    fn send_into(&mut self, batch: &[Publication], receipts: &mut [Receipt]) -> Result<(), Failure> {
        for (publication, receipt) in batch.iter().zip(receipts.iter_mut()) {
            if let Some(why) = self.missing(&publication.exchange)? {
                *receipt = Receipt::Unfit(why);
            }
        }
        let mut begin = 0;
        while begin < batch.len() {
            let end = begin + self.together(&batch[begin..]);
            self.send_run(&batch[begin..end], &mut receipts[begin..end])?;
            begin = end;
        }
        Ok(())
    }

    /// How many can go together, from the first: one that the broker might close the channel for goes alone, so that no other is in
    /// doubt for it.
    fn together(&self, batch: &[Publication]) -> usize {
        batch.iter().take_while(|publication| !self.is_doubtful(publication)).count().max(1)
    }

    fn is_doubtful(&self, publication: &Publication) -> bool {
        let Properties { user_id, expiration, .. } = &publication.properties;
        user_id.as_ref().is_some_and(|user| !self.users.contains(user))
            || expiration.as_ref().is_some_and(|time| time.parse::<u32>().is_err())
            // More than RabbitMQ 4 takes by default (<https://www.rabbitmq.com/docs/limits>).
            || publication.body().len() > BATCH_BYTES
    }

    fn send_run(&mut self, batch: &[Publication], receipts: &mut [Receipt]) -> Result<(), Failure> {
        loop {
            let unsent = || (0..batch.len()).filter(|place| receipts[*place] == Receipt::Unsent);
            let places: Vec<usize> = unsent().collect();
            let Answers { receipts: answered, ended } = match places.len() {
                0 => return Ok(()),
                // As it mostly is, without a copy.
                all if all == batch.len() => self.publish(batch),
                _ => self.publish(&places.iter().map(|place| batch[*place].clone()).collect::<Vec<_>>()),
            };
            places.iter().zip(answered).for_each(|(place, receipt)| receipts[*place] = receipt);
            match ended {
                None => {
                    self.learn_user(batch, receipts);
                    return Ok(());
                }
                Some(err) if is_of_one_message(&err) && batch.len() == 1 => receipts[0] = Receipt::Unfit(err.to_string()),
                Some(err) if is_of_one_message(&err) => self.find_culprit(batch, receipts)?,
                Some(err) => return Err(self.broken_off(err)),
            }
        }
    }

    /// A user id that the broker has taken once need not go alone.
    fn learn_user(&mut self, batch: &[Publication], receipts: &[Receipt]) {
        if let ([Publication { properties: Properties { user_id: Some(user), .. }, .. }], [Receipt::Taken]) = (batch, receipts)
        {
            self.users.insert(user.clone());
        }
    }

    /// A broker closes the channel for one message (a `CC` that is no list, a routing key that is not allowed) and does not say
    /// which: all that may be meant are published again, one by one. Those around it may then be there twice.
    fn find_culprit(&mut self, batch: &[Publication], receipts: &mut [Receipt]) -> Result<(), Failure> {
        for place in 0..batch.len() {
            if receipts[place] != Receipt::Unknown {
                continue;
            }
            let Answers { receipts: mut answered, ended } = self.publish(&batch[place..=place]);
            receipts[place] = answered.pop().unwrap_or(Receipt::Unknown);
            match ended {
                None => self.repeated += u64::from(receipts[place] == Receipt::Taken),
                Some(err) if is_of_one_message(&err) => receipts[place] = Receipt::Unfit(err.to_string()),
                Some(err) => return Err(self.broken_off(err)),
            }
        }
        Ok(())
    }

    fn publish(&mut self, batch: &[Publication]) -> Answers {
        let (mut since, interrupt) = (None, self.session.interrupt());
        let mut has_told = false;
        let mut go_on = |reason: &str| {
            let since = *since.get_or_insert_with(Instant::now);
            if !has_told && since.elapsed() > QUIET_FOR {
                has_told = true;
                note(&format!("the broker takes no publishes ({reason}): free its memory or disk; this waits, Ctrl-C ends it"));
            }
            !interrupt.is_asked()
        };
        self.connection.publish_each_while(batch, CONFIRM_LIMIT, &mut go_on)
    }

    fn broken_off(&self, err: Error) -> Failure {
        match self.session.interrupt().is_asked() {
            true => Failure::incomplete(format!("interrupted: {err}")),
            false => err.into(),
        }
    }

    /// Why this exchange cannot be published to, if so: asked once, because a publish to a missing one closes the channel.
    fn missing(&mut self, exchange: &str) -> Result<Option<String>, Failure> {
        if exchange.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.exchanges.get(exchange) {
            return Ok(known.clone());
        }
        let why = match self.connection.declare_exchange(&Exchange::existing(exchange)) {
            Ok(()) => None,
            Err(err) if err.fault() == Fault::NotFound => Some(is_missing("exchange", exchange).what),
            Err(err) if err.is_transient() => return Err(self.broken_off(err)),
            Err(err) => Some(Failure::from(err).what),
        };
        self.exchanges.insert(exchange.to_owned(), why.clone());
        Ok(why)
    }
}

/// In the words of somebody who does not declare it, but asks for it.
fn is_missing(what: &str, name: &str) -> Failure {
    Failure::broker(format!("there is no {what} `{name}`: declare the {what}, or correct its name"))
}

/// Whether the connection lives, and what ended the channel was in a message.
fn is_of_one_message(err: &Error) -> bool {
    !matches!(err.fault(), Fault::Lost | Fault::Timeout | Fault::Unreachable)
}

/// The user in what a connection says of its place, ``guest@localhost:5672, virtual host `/` ``.
fn user_of(place: &str) -> Option<&str> {
    let (address, _) = place.split_once(", virtual host")?;
    address.rsplit_once('@').map(|(user, _)| user)
}

#[cfg(test)]
mod tests {
    use super::user_of;

    #[test]
    fn the_user_is_read_from_the_place() {
        let check = |place, expected| assert_eq!(user_of(place), expected, "{place}");
        check("guest@localhost:5672, virtual host `/`", Some("guest"));
        check("me@example.org@[::1]:5672, virtual host `a@b`", Some("me@example.org"));
        check("the memory broker", None);
    }
}
