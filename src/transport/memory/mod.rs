//! A broker in this process, with RabbitMQ's semantics or a refusal: what it does not model is an error, never ignored.
//!
//! `broker` is what users and tests hold, `connection` what the worker sees of it. Behind one mutex lies [`state::State`],
//! with one concern a file: `declare` (exchanges, queues), `bind` (what leads where), `route` (publishing and
//! dead-lettering), `deliver` (consumers and settlements), `expire` (time). `arguments`, `exchange` (over `binding`, over
//! `headers`), `queue`, `unsettled` and `x_death` decide without knowing of each other. Where a rule is RabbitMQ's own, it is that of RabbitMQ 3.10.

mod arguments;
mod bind;
mod binding;
mod broker;
mod connection;
pub(crate) use connection::MemoryConnection;
mod copies;
mod declare;
mod deliver;
mod drain;
mod exchange;
mod expire;
mod headers;
mod outlet;
mod queue;
mod refusal;
mod route;
mod source;
mod state;
mod unsettled;
mod x_death;

#[cfg(test)]
mod tests;

pub use broker::MemoryBroker;
