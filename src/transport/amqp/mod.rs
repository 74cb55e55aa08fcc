//! The transport to RabbitMQ, over amiquip.

mod address;
mod connection;
mod convert;
mod deadline;
mod fault;
mod outlet;
mod source;
mod wire;

pub(crate) use address::Address;
pub(crate) use connection::AmqpConnection;
