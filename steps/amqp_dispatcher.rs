//! Runs the consumers that a configuration file of amqp-dispatcher names: its queues, its bindings, its instances per queue.

mod command;
mod environment;
mod settings;
mod slots;

pub use environment::{broker_from_env, broker_url};
pub use slots::{AlreadyResponded, DispatchedConsumer, Proxy};

use bootstep::steps::{Connect, ConnectPublisher, SpawnPool};
use bootstep::{log_to_stderr, BoxError, Broker, Consumer, Context, Error, Fault, Publisher, RetryPolicy, Step, Stop, Worker};
use command::{Arguments, USAGE};
use settings::{find, twice, ConsumerSettings, Settings};
use slots::{Dispatching, Make, Slots};
use std::borrow::Cow;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

type StartUp = Arc<dyn Fn() -> Result<(), BoxError> + Send + Sync>;
type SetConsumer = Arc<dyn Fn(Consumer) -> Consumer + Send + Sync>;

/// The consumer argument by which an operator sees who consumes: host, process and class (`rabbitmqctl list_consumers arguments`).
/// amqp-dispatcher has that in the consumer tag or the connection's name, which cannot be chosen here.
pub const IDENTIFIED_BY: &str = "consumer-name";

/// A `prefetch_count` of 0 there means all that the queue has, in memory; here it means this many, or twice as many as there are
/// instances if that is more.
pub const UNLIMITED_PREFETCH: u16 = 300;

/// What a configuration file of amqp-dispatcher can name: consumers as `module:Class` and startup handlers as `module:function`,
/// each with what it stands for in Rust.
///
/// ```
/// use bootstep::steps::amqp_dispatcher::{AmqpDispatcher, DispatchedConsumer, Proxy};
/// use bootstep::{log_to_stderr, BoxError, Broker, MemoryBroker, Message, Publication};
/// use std::time::Duration;
///
/// struct Notify;
///
/// impl DispatchedConsumer for Notify {
///     fn consume(&mut self, proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError> {
///         proxy.publish("", "sent", Default::default(), message.body())?;
///         Ok(proxy.ack()?)
///     }
/// }
///
/// let config = "
/// queues:
///   - queue: notify
///     bindings:
///       - {exchange: amq.topic, routing_key: click.*}
///   - queue: sent
/// consumers:
///   - {consumer: 'workers:Notify', queue: notify, consumer_count: 2, prefetch_count: 10}
/// ";
/// let dispatcher = AmqpDispatcher::new().consumer("workers:Notify", || Ok(Notify));
/// assert_eq!(dispatcher.validate(config), [""; 0]);
///
/// let memory = MemoryBroker::new();
/// let running = dispatcher.worker(config, Broker::from(&memory))?.start()?;
/// memory.publish(Publication::new("amq.topic", "click.left", "hello"))?;
/// memory.drain(Duration::from_secs(10))?;
/// assert_eq!(memory.texts("sent"), ["hello"]);
/// assert_eq!(running.stop(), 0);
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone)]
pub struct AmqpDispatcher {
    consumers: Vec<(String, Make)>,
    startup_handlers: Vec<(String, StartUp)>,
    retry: RetryPolicy,
    options: Vec<SetConsumer>,
}

impl Default for AmqpDispatcher {
    fn default() -> Self {
        let retry = RetryPolicy::exponential(Duration::from_secs(1), 20).cap(Duration::from_secs(60));
        AmqpDispatcher { consumers: Vec::new(), startup_handlers: Vec::new(), retry, options: Vec::new() }
    }
}

impl AmqpDispatcher {
    /// Nothing is known yet.
    pub fn new() -> Self {
        AmqpDispatcher::default()
    }

    /// What `consumer: <name>` in the file stands for; `make` makes an instance of it, as often as `consumer_count` says and again
    /// for each that failed.
    pub fn consumer<C, F>(mut self, name: impl Into<String>, make: F) -> Self
    where
        C: DispatchedConsumer,
        F: Fn() -> Result<C, BoxError> + Send + Sync + 'static,
    {
        let make = move || make().map(|instance| Box::new(instance) as Box<dyn DispatchedConsumer>);
        self.consumers.push((name.into(), Arc::new(make)));
        self
    }

    /// What `startup_handler: <name>` in the file stands for: called once, before connecting.
    pub fn startup_handler<F>(mut self, name: impl Into<String>, run: F) -> Self
    where
        F: Fn() -> Result<(), BoxError> + Send + Sync + 'static,
    {
        self.startup_handlers.push((name.into(), Arc::new(run)));
        self
    }

    /// When and how often a message is tried again that failed, or was nacked or rejected to be requeued. By default twenty times, after
    /// 1, 2, 4, 8, 16, 32 and then each time 60 seconds: a quarter of an hour in all. There it is for ever, and at once.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// This sets what else each consumer can be told, beyond the file: hooks, time limits, another retry layout. Call it again for
    /// more; [`Consumer::queue`] tells which one it is.
    ///
    /// ```
    /// use bootstep::steps::amqp_dispatcher::AmqpDispatcher;
    ///
    /// let dispatcher = AmqpDispatcher::new().with(|consumer| consumer.poison_after(5));
    /// ```
    pub fn with(mut self, set: impl Fn(Consumer) -> Consumer + Send + Sync + 'static) -> Self {
        self.options.push(Arc::new(set));
        self
    }

    /// All that is wrong with a configuration file, each in words with its line; nothing if a worker could run it.
    pub fn validate(&self, config: &str) -> Vec<String> {
        self.resolve(config).err().unwrap_or_default()
    }

    /// The step that declares and consumes what the file says. Its handlers want as many threads as there are instances in all
    /// ([`Dispatch::instances`]); [`worker`](AmqpDispatcher::worker) gives them.
    ///
    /// # Errors
    /// All that is wrong with the file ([`Fault::Config`]).
    pub fn step(&self, config: &str) -> Result<Dispatch, Error> {
        self.resolve(config).map_err(|mistakes| Error::new(Fault::Config, mistakes.join("\n")))
    }

    /// A worker that does what the file says; its startup handler has been called when this returns.
    ///
    /// # Errors
    /// All that is wrong with the file ([`Fault::Config`]), or the startup handler's failure ([`Fault::Step`]).
    pub fn worker(&self, config: &str, broker: Broker) -> Result<Worker, Error> {
        let mut step = self.step(config)?;
        step.start_up()?;
        Ok(step.into_worker(broker))
    }

    /// The whole program: reads the command line (`--config`, by default `config.yml`; `--validate`) and the environment, boots, and runs
    /// until a signal. The exit code is 0, or 1 when anything went wrong, as there; 2 for a command line that cannot be understood.
    pub fn run(&self) -> ExitCode {
        match Arguments::parse(std::env::args().skip(1)) {
            Ok(Some(arguments)) => self.run_with(&arguments),
            Ok(None) => {
                println!("{USAGE}");
                ExitCode::SUCCESS
            }
            Err(what) => {
                eprintln!("{what}\n{USAGE}");
                ExitCode::from(2)
            }
        }
    }

    fn run_with(&self, arguments: &Arguments) -> ExitCode {
        let path = arguments.config.display();
        let config = match std::fs::read_to_string(&arguments.config) {
            Ok(config) => config,
            Err(err) => {
                eprintln!("the configuration file `{path}` cannot be read: {err}");
                return ExitCode::FAILURE;
            }
        };
        if arguments.validate {
            let mistakes = self.validate(&config);
            mistakes.iter().for_each(|mistake| println!("{path}: {mistake}"));
            return if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        match self.boot(&config) {
            // A boot that failed later has been logged.
            Ok(worker) => match worker.run_to_end() {
                Ok(0) => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            },
            Err(err) => {
                eprintln!("{path}: {err}");
                ExitCode::FAILURE
            }
        }
    }

    /// As there: the startup handler may set the environment up, and logging.
    fn boot(&self, config: &str) -> Result<Worker, Error> {
        let mut step = self.step(config)?;
        step.start_up()?;
        log_to_stderr();
        Ok(step.into_worker(broker_from_env()?))
    }

    fn resolve(&self, config: &str) -> Result<Dispatch, Vec<String>> {
        let (settings, mut mistakes) = Settings::parse(config);
        mistakes.extend(twice(&self.consumers, "consumer"));
        mistakes.extend(twice(&self.startup_handlers, "startup handler"));
        let startup = settings.startup_handler.as_ref();
        let startup = startup.map(|name| find(&self.startup_handlers, name, "`startup_handler`", &mut mistakes));
        let entries = settings.consumers.iter().filter_map(|entry| {
            let make = find(&self.consumers, &entry.consumer, "`consumer`", &mut mistakes)?;
            Some((entry.clone(), Slots::new(&entry.consumer, make, entry.consumer_count)))
        });
        let entries = entries.collect();
        match mistakes.is_empty() {
            true => {
                let (retry, options) = (self.retry.clone(), self.options.clone());
                Ok(Dispatch { settings, entries, startup: startup.flatten(), retry, options })
            }
            false => Err(mistakes),
        }
    }
}

/// The step that declares and consumes what a configuration file says; made by [`AmqpDispatcher::step`].
///
/// What it declares: the queues of the file with their bindings, in their order. Exchanges must be there. Around each queue that is
/// consumed stand retry queues, an archive, and, unless the file names a dead-letter exchange, dead letters
/// ([`RetryLayout::Levels`](bootstep::RetryLayout::Levels)).
pub struct Dispatch {
    settings: Settings,
    entries: Vec<(ConsumerSettings, Arc<Slots>)>,
    startup: Option<StartUp>,
    retry: RetryPolicy,
    options: Vec<SetConsumer>,
}

impl Dispatch {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "amqp-dispatcher";

    /// How many messages may be handled at once: the sum of all `consumer_count`.
    pub fn instances(&self) -> usize {
        self.entries.iter().map(|(entry, _)| entry.consumer_count).sum()
    }

    /// This calls the startup handler, if the file names one that was not called yet. Else the step does it when it starts.
    ///
    /// # Errors
    /// When it fails or panics ([`Fault::Step`]).
    pub fn start_up(&mut self) -> Result<(), Error> {
        let Some(run) = self.startup.take() else { return Ok(()) };
        let what = || format!("the startup handler `{}` failed", self.settings.startup_handler.as_deref().unwrap_or_default());
        match catch_unwind(AssertUnwindSafe(|| run())) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(err)) => Err(Error::new(Fault::Step, what()).because(err)),
            Err(_) => Err(Error::new(Fault::Step, format!("{}: it panicked", what()))),
        }
    }

    /// Among the other steps that a worker needs.
    fn into_worker(self, broker: Broker) -> Worker {
        let (mut worker, name) = (Worker::new(broker), environment::process_name());
        worker
            .steps
            .replace(Connect::default().of(name.as_str()))
            .replace(ConnectPublisher::default().of(name))
            .replace(SpawnPool::of(self.instances()))
            .add(self);
        worker
    }

    fn consumer(&self, entry: &ConsumerSettings, slots: &Arc<Slots>) -> Consumer {
        let queue = self.settings.queue(&entry.queue);
        let dead_letters = queue.dead_letter_exchange().is_some();
        let prefetch = match entry.prefetch_count {
            0 => UNLIMITED_PREFETCH.max(u16::try_from(2 * entry.consumer_count).unwrap_or(u16::MAX)),
            messages => messages,
        };
        let consumer = Consumer::handled_by(queue, Dispatching(slots.clone()))
            .retry(self.retry.clone())
            .prefetch(prefetch)
            .concurrency(entry.consumer_count)
            .argument(IDENTIFIED_BY, format!("{}-[{}]", environment::process_name(), entry.consumer));
        let consumer = if dead_letters { consumer.trust_dead_letter_exchange() } else { consumer };
        self.options.iter().fold(consumer, |consumer, set| set(consumer))
    }
}

impl Step for Dispatch {
    fn name(&self) -> Cow<'_, str> {
        Dispatch::NAME.into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        // Not the publishing connection: when it is lost, consuming goes on.
        ["connect", "spawn-pool", "declare-dead-letters"].map(Cow::Borrowed).into()
    }

    fn brings(&self) -> Vec<Consumer> {
        let mut consumers: Vec<Consumer> = self.entries.iter().map(|(entry, slots)| self.consumer(entry, slots)).collect();
        // The queues that nobody here consumes are declared with the first.
        let is_consumed = |name: &str| self.entries.iter().any(|(entry, _)| entry.queue == name);
        let others = self.settings.queues.iter().filter(|queue| !is_consumed(&queue.name));
        if !consumers.is_empty() {
            let first = others.fold(consumers.remove(0), |first, queue| first.also_declare(queue.clone()));
            consumers.insert(0, first);
        }
        consumers
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        self.start_up()?;
        for (_, slots) in &self.entries {
            slots.fill(ctx.get::<Publisher>()?, ctx.shutdown())?;
        }
        let consumers = ctx.brought();
        Ok(ctx.consume(&consumers)?)
    }

    fn stop(&mut self, _ctx: &mut Context, stop: Stop) {
        // Over a restart the instances stay, and when the worker leaves now nobody is waited for.
        if let Stop::Drain { .. } = stop {
            let due = Instant::now() + stop.patience(Duration::from_secs(30));
            std::thread::scope(|all| {
                for (_, slots) in &self.entries {
                    let end = || slots.end(due);
                    // Without a thread of its own, one after the other.
                    if std::thread::Builder::new().spawn_scoped(all, end).is_err() {
                        slots.end(due);
                    }
                }
            });
        }
    }
}
