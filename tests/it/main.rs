//! The tests that see the crate as its users do: through the public API only.

#[cfg(feature = "yaml")]
mod amqp_dispatcher;
mod blueprint;
mod bootsteps;
mod broker;
mod celery_amqp_events;
mod celery_message_consumer;
#[cfg(feature = "cli")]
mod cli;
mod consume_from;
mod consumer_timeout;
mod consuming;
mod decode_errors;
mod examples;
#[cfg(feature = "toml")]
mod fedora_messaging;
mod hooks;
mod hostile;
mod hosts;
mod kill_switch;
mod ledger;
mod likeness;
mod limits;
mod moved;
mod pauses_together;
mod pausing;
mod poison;
#[cfg(all(feature = "programs", unix))]
mod programs;
mod recovery;
mod recovery_lines;
mod retry;
#[cfg(feature = "http")]
mod serve_health;
mod server_named;
mod sharing;
mod shutdown;
mod shutdown_process;
mod support;
mod tidy;
mod topology;
mod unreadable;

/// Once more, as an outsider: a step that reaches for something private fails the build of the tests.
#[path = "../../steps/mod.rs"]
#[allow(dead_code, unused_imports, missing_docs)]
mod steps_as_an_outsider;
