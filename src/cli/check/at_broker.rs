//! What the broker has already: asked so that nothing is created or changed.

use super::row::{Row, State, Thing};
use super::{Failure, Plan};
use crate::broker::Connection;
use crate::error::{Error, Fault};
use crate::remedy::with_remedy;
use crate::topology::{Exchange, Queue};

/// The plan as the broker sees it, and what it is too old for.
pub(super) fn compared(plan: &Plan, connection: &Connection) -> Result<(Vec<Row>, Vec<String>), Failure> {
    let mut rows = plan.rows(connection.is_rabbitmq_from((4, 0, 0)));
    for row in &mut rows {
        row.state = Some(match &row.thing {
            Thing::Exchange(exchange) => state_of_exchange(exchange, connection)?,
            Thing::Queue(queue) => state_of_queue(queue, connection)?,
        });
    }
    Ok((rows, plan.unfit(connection)))
}

fn state_of_exchange(exchange: &Exchange, connection: &Connection) -> Result<State, Failure> {
    let is_there = connection.declare_exchange(&Exchange::existing(&*exchange.name));
    let declare = || connection.declare_exchange(&Exchange { bindings: Vec::new(), ..exchange.clone() });
    state(exchange.passive, is_there, declare)
}

fn state_of_queue(queue: &Queue, connection: &Connection) -> Result<State, Failure> {
    let is_there = connection.declare_queue(&Queue::existing(&*queue.name)).map(drop);
    let declare = || connection.declare_queue(&Queue { bindings: Vec::new(), ..queue.clone() }).map(drop);
    state(queue.passive, is_there, declare)
}

/// Only what is there is declared: that is how RabbitMQ compares, and creates nothing
/// (<https://www.rabbitmq.com/docs/queues#property-equivalence>). Bindings are left alone, since binding is not comparing.
fn state(is_passive: bool, is_there: Result<(), Error>, declare: impl FnOnce() -> Result<(), Error>) -> Result<State, Failure> {
    let declared = match is_there {
        Ok(()) if is_passive => return Ok(State::AsWanted),
        Ok(()) => declare(),
        Err(err) if err.fault() == Fault::NotFound && is_passive => return Ok(State::Missing),
        Err(err) if err.fault() == Fault::NotFound => return Ok(State::ToBeDeclared),
        Err(err) => Err(err),
    };
    match declared {
        Ok(()) => Ok(State::AsWanted),
        // The others would meet the same.
        Err(err) if err.is_transient() && err.fault() != Fault::ChannelClosed => Err(Failure::from(err)),
        Err(err) if err.fault() == Fault::Mismatch => Ok(State::Differs(err.to_string())),
        Err(err) => Ok(State::Refused(with_remedy(&err))),
    }
}
