//! What the memory broker promises, each promise a test.

use super::connection::MemoryConnection;
use super::source::MemorySource;
use super::{outlet, source, MemoryBroker};
use crate::clock::Clock;
use crate::error::Fault;
use crate::message::{Delivery, Properties, Publication, Table, Value};
use crate::topology::{Binding, Exchange, ExchangeKind, Queue, Topology};
use crate::transport::{Incoming, Outlet, Settle, Source, Subscription, Taken, Transport};
use std::time::Duration;

mod consuming;
mod draining;
mod dying;
mod expiring;
mod refusing;
mod routing;

const SOON: Duration = Duration::from_secs(5);

fn broker_with(queues: impl IntoIterator<Item = Queue>) -> (MemoryBroker, MemoryConnection) {
    let broker = MemoryBroker::new();
    for queue in queues {
        broker.declare_queue(&queue).unwrap();
    }
    let connection = broker.connect("test").unwrap();
    (broker, connection)
}

fn subscription(queue: &str, prefetch: u16) -> Subscription {
    Subscription { queue: queue.into(), prefetch, exclusive: false, arguments: Table::new() }
}

fn consume<'a>(connection: &'a MemoryConnection, queue: &str, prefetch: u16) -> MemorySource<'a> {
    source::open(connection, &subscription(queue, prefetch)).unwrap()
}

fn publish(broker: &MemoryBroker, queue: &str, bodies: &[&str]) {
    for body in bodies {
        broker.publish(Publication::new("", queue, *body)).unwrap();
    }
}

fn delivered(source: &MemorySource<'_>) -> Vec<Delivery> {
    let read = |incoming| match incoming {
        Incoming::Delivery(delivery) => Some(delivery),
        _ => None,
    };
    source.receiver().try_iter().filter_map(read).collect()
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.parts.body.to_vec()).unwrap()).collect()
}

fn ready(broker: &MemoryBroker, queue: &str) -> Vec<String> {
    broker.bodies(queue).into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

fn deaths(publication: &Publication) -> Vec<Table> {
    let Some(Value::Array(deaths)) = publication.properties.headers.as_ref().unwrap().get("x-death") else {
        panic!("no x-death in {publication:?}")
    };
    let table = |death: &Value| match death {
        Value::Table(table) => table.clone(),
        other => panic!("{other:?}"),
    };
    deaths.iter().map(table).collect()
}

fn expiring(queue: &str, ms: u64) -> Queue {
    Queue::new(queue).message_ttl(Duration::from_millis(ms))
}
