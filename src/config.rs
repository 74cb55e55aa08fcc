//! The configuration of the daemon: a file, the environment and flags in; a broker, a worker and its consumers out.
//!
//! All of it is read before anything is done, and every mistake is told at once, each with the line or the name of what holds it.
//! docs/config.md is the reference.

mod broker;
mod consumers;
mod fields;
mod handling;
mod layers;
mod mistakes;
mod retry;
mod secret;
mod service;
mod toml_text;
mod topology;
mod tree;
#[cfg(feature = "yaml")]
mod yaml_text;

pub(crate) use consumers::Configured;
pub(crate) use mistakes::{error_of, Remark};
pub(crate) use service::Logging;

use crate::broker::{Broker, Connection};
use crate::context::Context;
use crate::error::{BoxError, Error, Fault};
use crate::handlers::Program;
use crate::step::Step;
use crate::steps;
use crate::topology::Topology;
use crate::worker::Worker;
use fields::Fields;
use mistakes::Mistakes;
use service::WorkerSettings;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Where settings come from, the weakest first.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    pub file: Option<PathBuf>,
    /// All variables; those that count are `AMQP_URL`, `BOOTSTEP_…` and `CREDENTIALS_DIRECTORY`.
    pub environment: Vec<(String, String)>,
    /// `--set`: `key=value` each.
    pub set: Vec<String>,
    /// `--url`.
    pub url: Option<String>,
    /// `--log`.
    pub log: Option<String>,
}

/// What values are read by that are about the machine.
struct Surroundings {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    /// A tool that only wants the broker may run where the programs are not.
    checks_programs: bool,
}

impl Surroundings {
    /// A relative path starts from the file's folder.
    fn path(&self, path: &str) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let joined = folder.join(path);
        // A program may run in a directory of its own, from where a relative path would lead elsewhere.
        std::path::absolute(&joined).unwrap_or(joined)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// All settings, read and found good.
#[derive(Default)]
pub(crate) struct Config {
    broker: Option<Broker>,
    worker: WorkerSettings,
    logging: Logging,
    // Without the feature it is told to be a mistake, and never served.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    health: Option<(String, u16)>,
    topology: Topology,
    consumers: Vec<Configured>,
    doubts: Vec<Remark>,
}

impl Config {
    /// All settings of these sources.
    ///
    /// # Errors
    /// [`Fault::Config`] with everything that is wrong, each mistake on a line of its own.
    pub fn load(sources: &Sources) -> Result<Config, Error> {
        Config::read(sources, true).map_err(|mistakes| error_of(&mistakes))
    }

    /// The same for a tool that runs no handler: the programs need not be there.
    ///
    /// # Errors
    /// As [`load`](Config::load).
    pub fn load_without_programs(sources: &Sources) -> Result<Config, Error> {
        Config::read(sources, false).map_err(|mistakes| error_of(&mistakes))
    }

    /// The same, with the mistakes one by one.
    pub fn read(sources: &Sources, checks_programs: bool) -> Result<Config, Vec<Remark>> {
        let mistakes = Mistakes::default();
        let around = Surroundings { file: sources.file.clone(), environment: sources.environment.clone(), checks_programs };
        let top = Fields::top(layers::merged(sources, &mistakes), &mistakes);
        let table = |name: &str| top.table(name);
        let mut config = Config {
            broker: table("broker").and_then(|fields| broker::read(&fields, &around)),
            worker: table("worker").map(|fields| WorkerSettings::read(&fields)).unwrap_or_default(),
            logging: table("logging").map(|fields| Logging::read(&fields)).unwrap_or_default(),
            health: table("health").and_then(|fields| service::health(&fields)),
            topology: topology::read(table("exchanges").as_ref(), table("queues").as_ref()),
            ..Config::default()
        };
        if let Some(consumers) = table("consumers") {
            config.consumers = consumers::read(&consumers, &config.topology, &around);
        }
        drop(top);
        let (mistakes, doubts) = mistakes.told();
        config.doubts = doubts;
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(mistakes)
        }
    }

    /// The broker that the settings name, if they do; without it, `guest` at `localhost` is meant.
    pub fn broker(&self) -> Option<Broker> {
        self.broker.clone()
    }

    /// A worker for all consumers of the file.
    ///
    /// # Errors
    /// [`Fault::Config`] if there is none.
    pub fn worker(&self, broker: Broker) -> Result<Worker, Error> {
        if self.consumers.is_empty() {
            let what = "the configuration has nothing to consume; add `[consumers.NAME]` with `run = [\"./program\"]`";
            return Err(Error::new(Fault::Config, what));
        }
        let mut worker = Worker::new(broker);
        self.add_to(&mut worker);
        Ok(worker)
    }

    /// The settings and consumers of the file over those that a worker has already.
    pub fn add_to(&self, worker: &mut Worker) {
        let WorkerSettings { threads, drain_within, boot_within, remember_moved } = self.worker.clone();
        let broker = worker.broker().clone();
        // Its settings are changed by value.
        let mut changed = std::mem::replace(worker, Worker::bare(broker));
        if let Some(limit) = drain_within {
            changed = changed.drain_within(limit);
        }
        if let Some(limit) = boot_within {
            changed = changed.boot_within(limit);
        }
        if let Some(messages) = remember_moved {
            changed = changed.remember_moved(messages);
        }
        if let Some(threads) = threads {
            changed.steps.replace(steps::SpawnPool::of(threads));
        }
        self.add_health(&mut changed);
        if self.consumers.is_empty() && self.topology != Topology::default() {
            changed.steps.add_first(Declare(self.topology.clone()));
        }
        for consumer in &self.consumers {
            changed.steps.add(consumer.clone());
        }
        *worker = changed;
    }

    #[cfg(feature = "http")]
    fn add_health(&self, worker: &mut Worker) {
        if let Some((host, port)) = &self.health {
            worker.steps.remove(steps::ServeHealth::NAME);
            // First, so that it answers during the boot.
            worker.steps.add_first(steps::ServeHealth::on(host.as_str(), *port));
        }
    }

    #[cfg(not(feature = "http"))]
    fn add_health(&self, _worker: &mut Worker) {}

    /// What is logged, and how.
    pub fn logging(&self) -> Logging {
        self.logging.clone()
    }

    /// The exchanges and queues of the file.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The consumers of the file, in its order.
    pub fn consumers(&self) -> &[Configured] {
        &self.consumers
    }

    /// The programs that handle messages: whoever ends the worker ends their children.
    pub fn programs(&self) -> Vec<Program> {
        self.consumers.iter().filter_map(|consumer| consumer.program.clone()).collect()
    }

    /// What is allowed, and probably not meant.
    pub fn doubts(&self) -> &[Remark] {
        &self.doubts
    }
}

/// Declares what no consumer of the file is there to declare.
struct Declare(Topology);

impl Step for Declare {
    fn name(&self) -> Cow<'_, str> {
        "declare-configured".into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        vec![steps::Connect::NAME.into()]
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        Ok(ctx.get::<Connection>()?.declare(&self.0)?)
    }
}

#[cfg(test)]
mod tests;
