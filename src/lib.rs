//! A synchronous, thread-based worker for RabbitMQ.

mod clock;
mod error;
mod message;
mod topology;
#[allow(dead_code)]
mod transport;

pub use clock::Clock;
pub use error::{BoxError, Error, Fault};
pub use message::{Properties, Publication, Table, Value};
pub use topology::{Binding, Exchange, ExchangeKind, Queue, Topology};
pub use transport::memory::MemoryBroker;
pub use transport::QueueStatus;
