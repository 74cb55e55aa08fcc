//! What consumers want declared on the broker, and around their queues: retries, archives, dead letters.

use super::Consumer;
use crate::broker::Connection;
use crate::error::{Error, Fault};
use crate::layout::Bound;
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
        // One that the broker names is declared when it is consumed, and anew for each connection.
        if !consumer.queue.name.is_empty() {
            add(&mut topology.queues, &consumer.queue, "queue", |queue| &queue.name)?;
        }
        for queue in &consumer.more_queues {
            add(&mut topology.queues, queue, "queue", |queue| &queue.name)?;
        }
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
    for consumer in consumers {
        let layout = consumer.queues_around(&topology);
        if let Some((exchange, dead)) = layout.distrusted() {
            let queue = &consumer.queue.name;
            log::info!(
                "`{queue}`: rejected messages go to `{dead}`: no queue declared here is sure to take all dead letters of the exchange \
                 `{exchange}`"
            );
        }
    }
    declare_beside(connection, consumers, &topology)?;
    Ok(topology)
}

/// What stands beside the queues, each thing once: several of them may share it.
fn declare_beside(connection: &Connection, consumers: &[Consumer], topology: &Topology) -> Result<(), Error> {
    let quorum_archive = connection.is_rabbitmq_from((4, 0, 0));
    let (mut beside, mut archives) = (Topology::default(), Vec::new());
    for consumer in consumers {
        let layout = consumer.queues_around(topology);
        let Topology { exchanges, queues } = consumer.beside(topology, quorum_archive);
        for exchange in &exchanges {
            add(&mut beside.exchanges, exchange, "exchange", |exchange| &exchange.name)?;
        }
        for queue in &queues {
            match layout.lenient_archive() == Some(queue.name.clone()) {
                true => archives.push((queue.clone(), layout.archive_bound())),
                false => add(&mut beside.queues, queue, "queue", |queue| &queue.name)?,
            }
        }
        if let (None, Some(bound)) = (layout.lenient_archive(), layout.archive_bound()) {
            // Many consumers may share it; one look is enough.
            if !archives.iter().any(|(archive, _)| archive.name == bound.archive) {
                archives.push((Queue::existing(&*bound.archive), Some(bound)));
            }
        }
    }
    connection.declare(&beside)?;
    archives.into_iter().try_for_each(|(archive, bound)| declare_archive(connection, archive, bound))
}

fn declare_archive(connection: &Connection, archive: Queue, bound: Option<Bound>) -> Result<(), Error> {
    let status = match connection.declare_queue(&archive) {
        // It may have been declared before an upgrade of the broker, or with another bound; it still keeps what it is given.
        Err(err) if err.fault() == Fault::Mismatch => {
            log::warn!("{err}; it is used as it is");
            connection.declare_queue(&Queue::existing(archive.name))?
        }
        declared => declared?,
    };
    if let Some(warning) = bound.and_then(|bound| bound.warning(status.messages)) {
        log::warn!("{warning}");
    }
    Ok(())
}
