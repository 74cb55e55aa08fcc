//! What consumers want declared on the broker, and around their queues: retries, archives, dead letters.

use super::Consumer;
use crate::broker::Connection;
use crate::error::{Error, Fault};
use crate::layout::Layout;
use crate::topology::{Queue, Topology};

/// All that a set of consumers wants declared, in the order they were given, each thing once.
///
/// # Errors
/// [`Fault::Config`] when two consumers want the same queue or exchange declared differently.
pub fn topology_of(consumers: &[Consumer]) -> Result<Topology, Error> {
    let mut topology = Topology::default();
    for consumer in consumers {
        consumer.check()?;
        for exchange in &consumer.exchanges {
            add(&mut topology.exchanges, exchange, "exchange", |exchange| &exchange.name)?;
        }
        add(&mut topology.queues, &consumer.queue, "queue", |queue| &queue.name)?;
    }
    Ok(topology)
}

fn add<T: Clone + PartialEq>(all: &mut Vec<T>, one: &T, what: &str, name: impl Fn(&T) -> &String) -> Result<(), Error> {
    match all.iter().find(|other| name(other) == name(one)) {
        None => all.push(one.clone()),
        Some(same) if same == one => {}
        Some(_) => {
            let what = format!("the {what} `{}` is declared twice, in different ways; declare it the same way", name(one));
            return Err(Error::new(Fault::Config, what));
        }
    }
    Ok(())
}

/// Declares all that the consumers want and all that is around their queues: retries, archives, dead letters.
///
/// Returns all that is declared for the consumers and `more`; a step [provides](crate::Context::provide) it, so that consumers
/// know which dead letters are theirs.
///
/// # Errors
/// When something exists with other arguments, or may not be declared.
pub fn declare_around(connection: &Connection, consumers: &[Consumer], more: &Topology) -> Result<Topology, Error> {
    let mut topology = topology_of(consumers)?;
    for exchange in &more.exchanges {
        add(&mut topology.exchanges, exchange, "exchange", |exchange| &exchange.name)?;
    }
    for queue in &more.queues {
        add(&mut topology.queues, queue, "queue", |queue| &queue.name)?;
    }
    // First of all: an older broker takes a queue's arguments and ignores them.
    consumers.iter().try_for_each(|consumer| consumer.check_broker(connection))?;
    connection.declare(&topology)?;
    let quorum_archive = connection.is_rabbitmq_from((4, 0, 0));
    for consumer in consumers {
        let layout = consumer.layout(&topology);
        if let Some(exchange) = layout.distrusted() {
            let queue = &consumer.queue.name;
            log::info!(
                "`{queue}`: rejected messages go to `{}`: no queue declared here is sure to take all dead letters of the exchange \
                 `{exchange}`",
                layout.dead_name()
            );
        }
        for queue in consumer.beside(&topology, quorum_archive) {
            if queue.name == layout.archive_name() {
                declare_archive(connection, queue, &layout)?;
            } else {
                connection.declare_queue(&queue)?;
            }
        }
    }
    Ok(topology)
}

fn declare_archive(connection: &Connection, archive: Queue, layout: &Layout) -> Result<(), Error> {
    let status = match connection.declare_queue(&archive) {
        // It may have been declared before an upgrade of the broker, or with another bound; it still keeps what it is given.
        Err(err) if err.fault() == Fault::Mismatch => {
            log::warn!("{err}; it is used as it is");
            connection.declare_queue(&Queue::existing(archive.name))?
        }
        declared => declared?,
    };
    if let Some(warning) = layout.archive_bound().warning(status.messages) {
        log::warn!("{warning}");
    }
    Ok(())
}
