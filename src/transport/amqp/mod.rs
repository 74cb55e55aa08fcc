//! The transport to RabbitMQ, over amiquip.

mod address;
mod connection;
mod convert;
mod deadline;
mod dial;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod outlet;
mod settings;
mod source;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod wire;

#[cfg(feature = "cli")]
pub(crate) use address::Address;
pub(crate) use address::Addresses;
pub(crate) use connection::AmqpConnection;
#[cfg(feature = "cli")]
pub(crate) use settings::{Mechanism, TlsSettings};
