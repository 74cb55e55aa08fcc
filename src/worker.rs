//! The worker: steps in, a running thing out, an exit code at the end.

use crate::blueprint::Blueprint;
use crate::broker::Broker;
use crate::consumer::{topology_of, Consumer};
use crate::context::Context;
use crate::error::{Error, Fault};
use crate::logging;
use crate::recall::{self, Recall};
use crate::remedy::with_remedy;
use crate::shutdown::{Shutdown, Urgency};
use crate::step::{Step, Steps};
use crate::steps;
use crate::supervisor::{End, Supervisor};
use crate::tally::{ConsumerStatus, Roster};
use crate::told::Told;
use crate::watchdog;
use crossbeam_channel::{select, Receiver, Sender};
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

/// Everything was settled, or handed back.
pub const EXIT_DRAINED: u8 = 0;
/// At the deadline something was still unsettled, or somebody asked to leave at once; it will be delivered again.
pub const EXIT_NOT_DRAINED: u8 = 1;
/// A setting is wrong: the blueprint, the URL, a name.
pub const EXIT_CONFIG: u8 = 2;
/// A step did not start.
pub const EXIT_BOOT: u8 = 3;

/// A handler ran for longer than its consumer's [`time_limit`](crate::Consumer::time_limit); its message will be delivered again.
pub const EXIT_STUCK: u8 = 4;

/// How long `run` still waits for the end when somebody asked to leave at once.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);

/// A worker to be: a broker and steps.
///
/// ```no_run
/// use bootstep::{Broker, Consumer, Outcome, Worker};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let mut worker = Worker::new(Broker::from_env());
///     worker.steps.add(Consumer::new("greetings", |text: String, _| {
///         println!("hello, {text}");
///         Ok(Outcome::Ack)
///     }));
///     worker.run()
/// }
/// ```
pub struct Worker {
    /// What it does when it boots.
    pub steps: Steps,
    broker: Broker,
    drain_limit: Duration,
    boot_deadline: Option<Duration>,
    remember_moved: usize,
}

impl Worker {
    /// A worker with the shipped steps: handle signals, connect, connect the publisher, spawn the pool, declare dead letters.
    pub fn new(broker: Broker) -> Self {
        let mut worker = Worker::bare(broker);
        worker
            .steps
            // First, so that Ctrl-C works while the broker is away at boot.
            .add(steps::HandleSignals::default())
            .add(steps::Connect::default())
            .add(steps::ConnectPublisher::default())
            .add(steps::SpawnPool::default())
            .add(steps::DeclareDeadLetters::default());
        worker
    }

    /// A worker without any step.
    pub fn bare(broker: Broker) -> Self {
        Worker {
            steps: Steps::default(),
            broker,
            drain_limit: Duration::from_secs(30),
            boot_deadline: None,
            remember_moved: recall::MOST,
        }
    }

    /// The broker that it was made for.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The same worker at another broker.
    #[cfg(feature = "cli")]
    pub(crate) fn on(mut self, broker: Broker) -> Self {
        self.broker = broker;
        self
    }

    /// How long running handlers may take at a shutdown (30 s by default).
    pub fn drain_within(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// How long the boot may wait for a broker that does not answer (for ever by default).
    pub fn boot_within(mut self, limit: Duration) -> Self {
        self.boot_deadline = Some(limit);
        self
    }

    /// How many messages are remembered that were moved (to wait for their retry, to the archive, to the dead letters) or published
    /// all they had to, so that none runs once more because its ack was lost with the connection: 10,000 by default, 0 for none.
    ///
    /// A message is remembered for 15 minutes if its ack could not be sent. If it was sent, only a message with a `message-id` is,
    /// for a minute.
    pub fn remember_moved(mut self, messages: usize) -> Self {
        self.remember_moved = messages;
        self
    }

    /// This boots, runs until a signal or a handler stops it, and gives the process's exit code: 0 when everything was
    /// settled, 1 when not in time, 2 for a wrong setting, 3 when a step did not start, 4 when a handler ran over its limit, or
    /// the code a handler halts with.
    ///
    /// Logs go to standard error if no other logger is installed; `RUST_LOG` sets what is logged (`info` by default).
    pub fn run(self) -> ExitCode {
        match self.run_to_end() {
            Ok(code) => ExitCode::from(code),
            Err(err) => {
                let wrong_setting = matches!(err.fault(), Fault::Config | Fault::Blueprint);
                ExitCode::from(if wrong_setting { EXIT_CONFIG } else { EXIT_BOOT })
            }
        }
    }

    /// The same for a program with exit codes of its own: the code of a worker that has booted, or the error that ended the boot,
    /// which is logged as well.
    ///
    /// # Errors
    /// As [`start`](Worker::start).
    pub fn run_to_end(self) -> Result<u8, Error> {
        logging::log_to_stderr();
        let started = self.start().inspect_err(|err| log::error!("{}", with_remedy(err)));
        started.map(|running| {
            let code = running.wait();
            log::info!("ended with exit code {code}");
            code
        })
    }

    /// This boots, and returns when every step runs (or somebody asked for the end before that).
    ///
    /// # Errors
    /// When the blueprint has no order, or a step does not start; the steps before it have been stopped then.
    pub fn start(self) -> Result<Running, Error> {
        let blueprint = Blueprint::of(&self.steps)?;
        let mut given: Vec<Option<Box<dyn Step>>> = self.steps.into_boxes().into_iter().map(Some).collect();
        let in_order = blueprint.added().filter_map(|place| given[place].take());
        let steps: Vec<Box<dyn Step>> = in_order.collect();
        let shutdown = Shutdown::new();
        // Each start of a step reports once at the most; there is room for a few starts of every step.
        let (report, reports) = crossbeam_channel::bounded(16 + 4 * steps.len());
        let brought: Vec<(String, Vec<Consumer>)> =
            blueprint.names().zip(&steps).map(|(name, step)| (name.to_owned(), step.brings())).collect();
        let recall = Recall::new(self.remember_moved, self.broker.clock());
        let context = Context::new(self.broker, brought, report, shutdown.clone(), recall);
        topology_of(context.consumers())?;
        logging::warn_of_login();
        log::info!("boot order:\n{blueprint}");
        let roster = context.roster();
        let (alive, ended) = crossbeam_channel::bounded(0);
        let halt = shutdown.clone();
        watchdog::start(roster.clone(), ended, move |reason| {
            log::error!("{reason}; the worker leaves with exit code {EXIT_STUCK}");
            halt.halt(EXIT_STUCK);
        })?;

        let supervisor = Supervisor {
            blueprint: blueprint.clone(),
            steps,
            context,
            reports,
            shutdown: shutdown.clone(),
            boot_deadline: self.boot_deadline,
            drain_limit: self.drain_limit,
            told: Told::default(),
        };
        let (booted, answer) = crossbeam_channel::bounded(1);
        let (tell_end, ended) = crossbeam_channel::bounded(1);
        std::thread::Builder::new()
            .name("bootstep-worker".into())
            .spawn(move || {
                let _alive: Sender<()> = alive;
                let end = supervisor.run(&booted);
                let _ = tell_end.try_send(end);
            })
            .map_err(|err| Error::new(Fault::Step, "no thread could be started for the worker").because(err))?;
        let answer = select! {
            recv(answer) -> answer => answer.ok(),
            // A step is at a call that takes its time; whoever leaves now does not wait for it.
            recv(shutdown.leaving()) -> _ => None,
        };
        if let Some(Err(err)) = answer {
            // The steps that ran are being stopped: the error is told when that is done.
            let _ = ended.recv();
            return Err(err);
        }
        Ok(Running { blueprint, shutdown, roster, ended })
    }
}

/// A worker that has booted. Dropping it asks it to drain, and does not wait.
pub struct Running {
    blueprint: Blueprint,
    shutdown: Shutdown,
    roster: Roster,
    ended: Receiver<End>,
}

impl Running {
    /// The order in which its steps started.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// How each consumer fares, in the order in which they start: whether it consumes, and what became of its messages.
    ///
    /// ```
    /// use bootstep::{Broker, Consumer, ConsumerState, MemoryBroker, Outcome, Publication, Worker};
    /// use std::time::Duration;
    ///
    /// let memory = MemoryBroker::new();
    /// let mut worker = Worker::new(Broker::from(&memory));
    /// worker.steps.add(Consumer::new("greetings", |_greeting: String, _message| Ok(Outcome::Ack)));
    /// let running = worker.start()?;
    /// memory.publish(Publication::new("", "greetings", "hello"))?;
    /// memory.drain(Duration::from_secs(10))?;
    ///
    /// let status = &running.consumers()[0];
    /// assert_eq!((status.queue.as_str(), &status.state), ("greetings", &ConsumerState::Consuming));
    /// assert_eq!((status.delivered, status.acked), (1, 1));
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    pub fn consumers(&self) -> Vec<ConsumerStatus> {
        self.roster.statuses()
    }

    /// A handle to stop it with, from anywhere.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// This stops it and waits for the end: [`Running::wait`]'s exit code.
    pub fn stop(self) -> u8 {
        self.shutdown.drain();
        self.wait()
    }

    /// This waits until it ends, and gives the exit code that [`Worker::run`] would.
    pub fn wait(self) -> u8 {
        let end = select! {
            recv(self.ended) -> end => end.ok(),
            recv(self.shutdown.leaving()) -> _ => self.ended.recv_timeout(LEAVE_LIMIT).ok(),
        };
        let settled = self.shutdown.urgency() != Urgency::Now && end.is_some_and(|end| end.drained && end.boot.is_ok());
        match self.shutdown.code() {
            // Zero says that everything is settled, whoever asked for it.
            Some(code) if code != EXIT_DRAINED => code,
            _ if settled => EXIT_DRAINED,
            _ => EXIT_NOT_DRAINED,
        }
    }
}

impl fmt::Debug for Running {
    /// What a test prints whose worker should not have started.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<&str> = self.blueprint.names().collect();
        write!(f, "Running({})", steps.join(", "))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.drain();
    }
}
