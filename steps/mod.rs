//! The boot: every step that is shipped, one a file, each a template to copy.
//!
//! Each imports from `bootstep` exactly what a user's own step could; the worker adds the first of them in
//! [`Worker::new`](crate::Worker). The modules speak another system's protocol, for whoever takes over from it.

#[cfg(feature = "yaml")]
pub mod amqp_dispatcher;
pub mod celery_amqp_events;
pub mod celery_message_consumer;
mod connect;
mod connect_publisher;
pub mod consume_from;
mod declare_dead_letters;
#[cfg(feature = "toml")]
pub mod fedora_messaging;
mod handle_signals;
#[cfg(feature = "http")]
pub mod serve_health;
mod spawn_pool;

pub use connect::Connect;
pub use connect_publisher::ConnectPublisher;
pub use declare_dead_letters::DeclareDeadLetters;
pub use handle_signals::HandleSignals;
#[cfg(feature = "http")]
pub use serve_health::ServeHealth;
pub use spawn_pool::SpawnPool;
