//! What a queue is, as far as AMQP tells: there is no way to read its arguments, but RabbitMQ compares those of a declaration
//! before anything else, and its refusal names the one that differs.

use super::{mismatch, Connection};
use crate::error::{Error, Fault};
use crate::message::{Table, Value};
use crate::topology::Queue;

/// No value of any argument that is asked for here: where the queue is gone by now, such a declaration is refused, and makes none.
const ASKING: &str = "bootstep asks";

/// More than a queue has properties and arguments.
const QUESTIONS_AT_MOST: usize = 32;

/// How often a quorum queue hands out a message that comes back, before it gives it up
/// (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>). A policy may say less; AMQP does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryLimit {
    /// It does not count, or never gives one up.
    None,
    /// After so many deliveries that came back.
    At(u32),
    /// The broker does not let us know.
    Unknown,
}

impl Connection {
    /// How often an existing queue hands a message out before it gives it up. The queue is not changed by the question.
    ///
    /// # Errors
    /// When there is no such queue ([`Fault::NotFound`]), or the connection is lost.
    pub(crate) fn delivery_limit(&self, queue: &str) -> Result<DeliveryLimit, Error> {
        self.declare_queue(&Queue::existing(queue))?;
        let mut probe = Probe { connection: self, known: Queue::new(queue) };
        let answered = probe.ask("x-queue-type").and_then(|queue_type| match queue_type.as_deref() {
            Some("quorum") => probe.ask("x-delivery-limit").map(Some),
            _ => Ok(None),
        });
        match answered {
            Ok(None) => Ok(DeliveryLimit::None),
            Ok(Some(limit)) => Ok(self.limit_in_force(limit.as_deref())),
            Err(err) if matches!(err.fault(), Fault::Lost | Fault::Timeout | Fault::NotFound) => Err(err),
            // Not allowed to declare it, or used by another connection alone: the queue itself may be read all the same.
            Err(_) => Ok(DeliveryLimit::Unknown),
        }
    }

    fn limit_in_force(&self, argument: Option<&str>) -> DeliveryLimit {
        let counts_by_itself = self.is_rabbitmq_from((4, 0, 0));
        match argument.map(str::parse::<i64>) {
            None if counts_by_itself => DeliveryLimit::At(20),
            None => DeliveryLimit::None,
            Some(Ok(limit)) => u32::try_from(limit).map_or(DeliveryLimit::None, DeliveryLimit::At),
            Some(Err(_)) => DeliveryLimit::Unknown,
        }
    }
}

/// What a queue does when it is full (<https://www.rabbitmq.com/docs/maxlength>). A policy may say otherwise; AMQP does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It has no limit, or refuses what it has no room for.
    Enough,
    /// Beyond so many messages it drops its oldest.
    Messages(u64),
    /// Beyond so many bytes of bodies it drops its oldest.
    Bytes(u64),
    /// The broker does not let us know.
    Unknown,
}

impl Connection {
    /// What an existing queue does when it is full. The queue is not changed by the question.
    ///
    /// # Errors
    /// When there is no such queue ([`Fault::NotFound`]), or the connection is lost.
    pub(crate) fn room(&self, queue: &str) -> Result<Room, Error> {
        match self.declare_queue(&Queue::existing(queue)) {
            Err(err) if err.fault() == Fault::Locked => return Ok(Room::Unknown),
            status => status?,
        };
        match (Probe { connection: self, known: Queue::new(queue) }).room() {
            Err(err) if matches!(err.fault(), Fault::Lost | Fault::Timeout | Fault::NotFound) => Err(err),
            room => Ok(room.unwrap_or(Room::Unknown)),
        }
    }
}

struct Probe<'a> {
    connection: &'a Connection,
    /// What has been found out so far.
    known: Queue,
}

impl Probe<'_> {
    fn room(&mut self) -> Result<Room, Error> {
        let mut limit = |argument| Ok::<_, Error>(self.ask(argument)?.and_then(|text| text.parse().ok()));
        let room = match (limit("x-max-length-bytes")?, limit("x-max-length")?) {
            (Some(bytes), _) => Room::Bytes(bytes),
            (None, Some(messages)) => Room::Messages(messages),
            (None, None) => return Ok(Room::Enough),
        };
        let refuses = self.ask("x-overflow")?.is_some_and(|overflow| overflow.starts_with("reject"));
        Ok(if refuses { Room::Enough } else { room })
    }

    /// The value of one argument, `None` if it is not set. What else differs is found on the way.
    fn ask(&mut self, argument: &str) -> Result<Option<String>, Error> {
        for _ in 0..QUESTIONS_AT_MOST {
            let question = self.known.clone().argument(argument, ASKING);
            let refusal = match self.connection.declare_as_asked(&question) {
                // The broker does not compare this one on such a queue.
                Ok(_) => return Ok(None),
                Err(err) => err,
            };
            let text = refusal.to_string();
            let Some(current) = mismatch::current(&text) else { return Err(refusal) };
            match current.argument {
                name if name == argument => return Ok(current.value),
                "durable" => self.known.durable = current.value.as_deref() == Some("true"),
                "auto_delete" => self.known.auto_delete = current.value.as_deref() == Some("true"),
                name => learn(&mut self.known.arguments, name, current.value, current.kind),
            }
        }
        let what = format!("could not find out what the queue `{}` is: it differs in too much", self.known.name);
        Err(Error::new(Fault::Mismatch, what))
    }
}

fn learn(arguments: &mut Table, name: &str, value: Option<String>, kind: Option<&str>) {
    let Some(text) = value else {
        arguments.remove(name);
        return;
    };
    let value = match (kind, text.parse::<i64>(), text.as_str()) {
        (Some("bool"), _, truth) => Value::Bool(truth == "true"),
        (
            None | Some("long" | "signedint" | "short" | "byte" | "unsignedbyte" | "unsignedshort" | "unsignedint"),
            Ok(number),
            _,
        ) => Value::I64(number),
        _ => Value::Text(text),
    };
    arguments.insert(name.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::transport::memory::MemoryBroker;

    #[track_caller]
    fn check(queue: Queue, expected: DeliveryLimit) {
        let connection = Broker::from(&MemoryBroker::new()).connect("test").unwrap();
        connection.declare_queue(&queue).unwrap();
        assert_eq!(connection.delivery_limit(&queue.name).unwrap(), expected);
        connection.declare_queue(&queue).expect("it is what it was");
    }

    #[test]
    fn a_delivery_limit_is_found_whatever_else_the_queue_was_declared_with() {
        let rich = || Queue::new("jobs").max_length(1000).dead_letter_to("", "dead").overflow("reject-publish");
        check(Queue::new("jobs"), DeliveryLimit::None);
        check(rich().transient().auto_delete().message_ttl(std::time::Duration::from_secs(60)), DeliveryLimit::None);
        check(rich().quorum(), DeliveryLimit::None);
        check(rich().quorum().delivery_limit(5), DeliveryLimit::At(5));
        check(Queue::new("jobs").quorum().delivery_limit(0).single_active_consumer(), DeliveryLimit::At(0));
    }

    #[test]
    fn what_a_full_queue_does_is_found_whatever_else_it_was_declared_with() {
        #[track_caller]
        fn check(queue: Queue, expected: Room) {
            let connection = Broker::from(&MemoryBroker::new()).connect("test").unwrap();
            connection.declare_queue(&queue).unwrap();
            assert_eq!(connection.room(&queue.name).unwrap(), expected);
        }
        let rich = || Queue::new("jobs").transient().dead_letter_to("", "dead").argument("x-max-priority", 5);
        check(rich(), Room::Enough);
        check(rich().max_length(1000), Room::Messages(1000));
        check(rich().max_length(1000).overflow("drop-head"), Room::Messages(1000));
        check(rich().max_length(1000).max_length_bytes(2000), Room::Bytes(2000));
        check(rich().max_length(1000).overflow("reject-publish"), Room::Enough);
        check(Queue::new("jobs").quorum().max_length(7), Room::Messages(7));
    }

    #[test]
    fn a_queue_that_does_not_exist_is_not_made_by_asking() {
        let connection = Broker::from(&MemoryBroker::new()).connect("test").unwrap();
        for _ in 0..2 {
            assert_eq!(connection.delivery_limit("jobs").expect_err("there is none").fault(), Fault::NotFound);
        }
    }
}
