//! A synchronous, thread-based worker for RabbitMQ.

extern crate self as bootstep;

mod blueprint;
mod broker;
mod clock;
mod consumer;
mod context;
mod decode;
mod delivered;
mod error;
mod handler;
mod intake;
mod layout;
mod ledger;
mod logging;
mod message;
mod outcome;
mod pool;
mod publisher;
mod retry;
mod shutdown;
mod step;
#[path = "../steps/mod.rs"]
pub mod steps;
mod supervisor;
mod topology;
mod transport;
mod worker;

pub use blueprint::Blueprint;
pub use broker::{Broker, Connection, Inbox, Letter};
pub use clock::Clock;
pub use consumer::{declare_around, topology_of, Consumer};
pub use context::{Context, Reporter};
pub use decode::{Decode, DecodeError, Json};
pub use delivered::{headers, Message};
pub use error::{BoxError, Error, Fault};
pub use handler::{Handler, Hook};
pub use ledger::{Command, Event, Ledger, Ticket, Verdict};
pub use message::{Properties, Publication, Table, Value};
pub use outcome::Outcome;
pub use pool::Pool;
pub use publisher::Publisher;
pub use retry::RetryPolicy;
pub use shutdown::Shutdown;
pub use step::{ConsumerStep, Step, Steps, Stop};
pub use topology::{Binding, Exchange, ExchangeKind, Queue, Topology};
pub use transport::memory::MemoryBroker;
pub use transport::QueueStatus;
pub use worker::{Running, Worker, EXIT_BOOT, EXIT_CONFIG, EXIT_DRAINED, EXIT_NOT_DRAINED};
