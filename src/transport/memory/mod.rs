//! A broker in this process, with RabbitMQ's semantics or a refusal: what it does not model is an error, never ignored.
//!
//! `broker` is what users and tests hold, `connection` what the worker sees of it. Behind one mutex lies [`state::State`],
//! with one concern a file: `declare` (exchanges, queues), `bind` (what leads where), `route` (publishing), `dead` (dead
//! letters), `overflow` (full queues), `deliver` (consumers), `settle` (settlements, the end of a channel), `expire` (time),
//! `timeout` (the consumer timeout). `arguments` (with `checks` and `sameness`), `exchange` (over `binding`, over `headers`),
//! `line`, `queue`, `unsettled` and `x_death` decide without knowing of each other. Where a rule is RabbitMQ's own, it is that
//! of RabbitMQ 3.10.
//!
//! Of a queue it models all that its type may have (limits by number and bytes, expiry, priorities, delivery limit, single
//! active consumer); what only says where a queue lives on disk or in a cluster is checked and means nothing here. Streams it
//! does not model.

mod arguments;
mod bind;
mod binding;
mod broker;
mod checks;
mod connection;
#[cfg(feature = "cli")]
pub(crate) use binding::topic_meets;
pub(crate) use connection::MemoryConnection;
mod copies;
mod dead;
mod declare;
mod deliver;
mod drain;
mod exchange;
mod expire;
mod headers;
mod line;
mod outlet;
mod overflow;
mod queue;
mod refusal;
mod route;
mod sameness;
mod settle;
mod source;
mod state;
mod timeout;
mod unsettled;
mod x_death;

#[cfg(test)]
mod tests;

pub use broker::MemoryBroker;
