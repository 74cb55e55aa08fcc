//! Consumes messages of fedora-messaging by its own configuration, with its callbacks, its exit codes and its health checks.

mod callback;
mod config;
mod exit_codes;
mod fields;
mod json;
mod message;
mod publisher;
#[cfg(feature = "schema")]
mod schemas;
mod severity;
mod topology;
mod url;

pub use callback::{outcome_of, Callback, Drop, HaltConsumer, Nack};
pub use config::{Config, Monitoring, CONF, DEFAULT_PATH};
pub use exit_codes::{
    exit_code_of, publish_exit_code_of, EXIT_CALLBACK, EXIT_CANCELLED, EXIT_CONFIG, EXIT_DECLARE, EXIT_FAILED, EXIT_HANDSHAKE,
    EXIT_PERMISSION, EXIT_REGISTER,
};
pub use fields::{Fields, Mistakes};
pub use json::{from_json, to_json};
pub use message::{FedoraMessage, BASE_SCHEMA};
pub use publisher::FedoraPublisher;
#[cfg(feature = "schema")]
pub use schemas::{Schema, Schemas};
pub use severity::{About, Severity};
pub use topology::{exchanges_in, queues_in};
pub use url::{broker_url, Tls};

use bootstep::steps::fedora_messaging as fm;
use bootstep::steps::{Connect, ConnectPublisher};
use bootstep::{
    log_to_stderr, BoxError, Broker, Consumer, ConsumerStep, CustomLayout, Departure, Error, Handler, Message, Outcome,
    Publication, Queue, RetryLayout, RetryPolicy, Topology, Worker,
};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

/// Consumes the queues of a configuration, each message with the same callback.
///
/// What is declared is what the configuration names, and nothing else, unless [`retry_nacks`](ConsumeFedoraMessages::retry_nacks) or
/// [`keep_dropped`](ConsumeFedoraMessages::keep_dropped) asks for more: Python consumers may share the queues. So what is dropped,
/// by a [`Drop`] or because it is no valid message, is rejected, and goes to the queue's dead-letter exchange. A queue that has none,
/// neither as an argument nor by a policy of the broker, loses it; where the configuration names none, the log says so at boot.
///
/// ```no_run
/// use bootstep::steps::fedora_messaging::{self, ConsumeFedoraMessages, FedoraMessage};
/// use serde::Deserialize;
/// use std::process::ExitCode;
///
/// #[derive(Deserialize)]
/// struct Settings {
///     greeting: String,
/// }
///
/// fn main() -> ExitCode {
///     fedora_messaging::run(|config| {
///         let settings: Settings = config.consumer_config()?;
///         Ok(ConsumeFedoraMessages::new(config, move |message: &FedoraMessage| {
///             println!("{}: {}", settings.greeting, message.topic);
///             Ok(())
///         }))
///     })
/// }
/// ```
pub struct ConsumeFedoraMessages {
    config: fm::Config,
    callback: Arc<dyn fm::Callback>,
    at_once: usize,
    nacks: Option<RetryPolicy>,
    keeps_dropped: bool,
    published: Option<fm::FedoraPublisher>,
    #[cfg(feature = "schema")]
    schemas: fm::Schemas,
}

impl ConsumeFedoraMessages {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "consume-fedora-messages";

    /// The queues of this configuration, and what handles their messages.
    pub fn new(config: &fm::Config, callback: impl fm::Callback) -> Self {
        ConsumeFedoraMessages {
            config: config.clone(),
            callback: Arc::new(callback),
            at_once: 1,
            nacks: None,
            keeps_dropped: false,
            published: None,
            #[cfg(feature = "schema")]
            schemas: fm::Schemas::default(),
        }
    }

    /// How many messages of each queue are handled at once (1 by default, as in Python).
    pub fn at_once(mut self, messages: usize) -> Self {
        self.at_once = messages;
        self
    }

    /// A nacked message waits for its next attempt as this policy says, in queues `<queue>.retry.<delay>` beside its own, and goes to
    /// `<queue>.archive` when the policy says no more; what is dropped is kept in `<queue>.dead`, unless the queue has a dead-letter
    /// exchange among its arguments. By default it comes again at once, for as often as it is nacked. Not for queues that the broker names.
    pub fn retry_nacks(mut self, policy: RetryPolicy) -> Self {
        self.nacks = Some(policy);
        self
    }

    /// What is dropped, and what a quorum queue has delivered as often as it may, is kept in a queue `<queue>.dead` beside each queue
    /// that has a name and no dead-letter exchange among its arguments. By default the queue dead-letters it, or it is gone.
    pub fn keep_dropped(mut self) -> Self {
        self.keeps_dropped = true;
        self
    }

    /// What this publisher publishes is counted at `/ready`.
    pub fn count_published(mut self, publisher: &fm::FedoraPublisher) -> Self {
        self.published = Some(publisher.clone());
        self
    }

    /// Messages are checked by these schemas; those that do not satisfy theirs are dropped.
    #[cfg(feature = "schema")]
    pub fn schemas(mut self, schemas: fm::Schemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// A worker with this step, on the broker of its configuration, that serves its health where the configuration says.
    ///
    /// # Errors
    /// When `amqp_url` cannot be read, or `monitoring` is set and the feature `http` is not.
    pub fn worker(self) -> Result<Worker, Error> {
        let broker = self.config.broker()?;
        self.worker_on(broker)
    }

    /// The same on a broker that was made elsewhere: in a test, one in memory.
    ///
    /// # Errors
    /// As [`worker`](ConsumeFedoraMessages::worker).
    pub fn worker_on(self, broker: Broker) -> Result<Worker, Error> {
        let mut worker = Worker::new(broker);
        let whose = self.config.described();
        worker.steps.replace(Connect::default().of(whose.as_str())).replace(ConnectPublisher::default().of(whose));
        self.warn_of_dropping();
        if let Some(monitoring) = &self.config.monitoring {
            serve_health(&mut worker, monitoring, self.published.clone())?;
        }
        worker.steps.add(self);
        Ok(worker)
    }

    /// This runs the worker and gives the process's exit code, as `fedora-messaging consume` does.
    pub fn run(self) -> ExitCode {
        log_to_stderr();
        ExitCode::from(match self.worker().map(Worker::run_to_end) {
            Ok(Ok(code)) => code,
            // It is in the log.
            Ok(Err(err)) => fm::exit_code_of(&err, ConsumeFedoraMessages::NAME),
            Err(err) => told(&err, fm::EXIT_CONFIG),
        })
    }

    fn warn_of_dropping(&self) {
        if self.nacks.is_none() && !self.keeps_dropped {
            for queue in self.config.queues.iter().filter(|queue| queue.durable && queue.dead_letter_exchange().is_none()) {
                let name = &queue.name;
                log::warn!(
                    "`{name}` has no dead-letter exchange here: unless a policy gives it one, what is dropped from it is gone"
                );
            }
        }
    }

    fn consumer(&self, queue: &Queue) -> Consumer {
        let handler = HandleFedoraMessages {
            callback: self.callback.clone(),
            nacks_wait: self.nacks.is_some(),
            #[cfg(feature = "schema")]
            schemas: self.schemas.clone(),
        };
        // 0 is no limit to Python.
        let prefetch = if self.config.prefetch_count == 0 { u16::MAX } else { self.config.prefetch_count };
        let consumer = Consumer::handled_by(queue.clone(), handler).prefetch(prefetch).concurrency(self.at_once);
        let consumer = self.config.exchanges.iter().cloned().fold(consumer, Consumer::exchange);
        let consumer = consumer.halt_when_deleted(fm::EXIT_CANCELLED);
        let dead_letters_itself = queue.dead_letter_exchange().is_some();
        match &self.nacks {
            Some(policy) if dead_letters_itself => consumer.retry(policy.clone()).trust_dead_letter_exchange(),
            Some(policy) => consumer.retry(policy.clone()),
            None if self.keeps_dropped && !dead_letters_itself && !queue.name.is_empty() => {
                consumer.layout(KeepDropped { kept_in: format!("{}.dead", queue.name) })
            }
            None => consumer.retry_layout(RetryLayout::Bare),
        }
    }
}

impl ConsumerStep for ConsumeFedoraMessages {
    fn consumers(&self) -> Vec<Consumer> {
        self.config.queues.iter().map(|queue| self.consumer(queue)).collect()
    }

    fn step_name(&self) -> String {
        ConsumeFedoraMessages::NAME.into()
    }
}

/// Loads the configuration, makes the consumer, runs it, and gives the process's exit code, as `fedora-messaging consume` does: 2 for a
/// wrong configuration, 1 when `make` fails or panics, and then those of [`exit_code_of`], 12 when a queue is deleted, 13 when a callback fails, or
/// what a [`HaltConsumer`] says.
pub fn run(make: impl FnOnce(&fm::Config) -> Result<fm::ConsumeFedoraMessages, BoxError>) -> ExitCode {
    log_to_stderr();
    let config = match fm::Config::load() {
        Ok(config) => config,
        Err(err) => return ExitCode::from(told(&err, fm::EXIT_CONFIG)),
    };
    // A panic has been printed, and would end with a code of Rust's own.
    match catch_unwind(AssertUnwindSafe(|| make(&config))) {
        Ok(Ok(consumer)) => consumer.run(),
        Ok(Err(err)) => ExitCode::from(told(&*err, fm::EXIT_CALLBACK)),
        Err(_) => ExitCode::from(fm::EXIT_CALLBACK),
    }
}

fn told(err: &dyn std::error::Error, code: u8) -> u8 {
    log::error!("{err}; ended with exit code {code}");
    code
}

#[cfg(feature = "http")]
fn serve_health(worker: &mut Worker, at: &fm::Monitoring, publisher: Option<fm::FedoraPublisher>) -> Result<(), Error> {
    let published = move || publisher.as_ref().map_or(0, fm::FedoraPublisher::published);
    worker.steps.add_first(bootstep::steps::ServeHealth::on(at.address.as_str(), at.port).published(published));
    Ok(())
}

#[cfg(not(feature = "http"))]
fn serve_health(_worker: &mut Worker, _at: &fm::Monitoring, _publisher: Option<fm::FedoraPublisher>) -> Result<(), Error> {
    Err(Error::new(
        bootstep::Fault::Config,
        "`monitoring` is set, and this program was built without the feature `http` of bootstep",
    ))
}

struct HandleFedoraMessages {
    callback: Arc<dyn fm::Callback>,
    nacks_wait: bool,
    #[cfg(feature = "schema")]
    schemas: fm::Schemas,
}

impl HandleFedoraMessages {
    fn read(&self, message: &Message) -> Result<fm::FedoraMessage, bootstep::DecodeError> {
        let message = fm::FedoraMessage::read(message)?;
        #[cfg(feature = "schema")]
        self.schemas.check(&message)?;
        Ok(message)
    }
}

impl Handler for HandleFedoraMessages {
    type Body = ();

    fn handle(&self, _body: (), message: &Message) -> Result<Outcome, BoxError> {
        let answer = || match self.read(message) {
            Ok(message) => fm::outcome_of(&*self.callback, &message, self.nacks_wait),
            Err(why) => Outcome::reject(why),
        };
        // An error that cannot be told, for one. As a failed attempt it would come again at once, for ever.
        Ok(catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| {
            // Its end may panic as well.
            std::mem::forget(panic);
            Outcome::halt(fm::EXIT_FAILED, "a message cannot be handled: telling what is wrong with it panicked")
        }))
    }
}

/// What is dropped stands in a queue of its own; all else is as in Python.
struct KeepDropped {
    kept_in: String,
}

impl CustomLayout for KeepDropped {
    fn topology(&self) -> Topology {
        Topology::default().queue(Queue::new(self.kept_in.as_str()))
    }

    /// What a quorum queue delivered as often as it may.
    fn archive(&self, message: &Message, copy: Publication, reason: &str) -> Departure {
        self.reject(message, copy, reason)
    }

    fn reject(&self, _message: &Message, copy: Publication, _reason: &str) -> Departure {
        Departure::Publish(copy.to("", self.kept_in.as_str()))
    }
}
