//! A synchronous, thread-based worker for RabbitMQ.
//!
//! A worker boots from a *blueprint* of dependency-ordered *steps* (connect, spawn the pool, declare dead letters, then consumer
//! steps), starts one blocking intake thread per queue, feeds a pool of threads that run handlers, and gets every outcome back
//! over a channel. No async runtime.
//!
//! ```no_run
//! use bootstep::{Broker, Consumer, Outcome, Worker};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     let mut worker = Worker::new(Broker::from_env());
//!     worker.steps.add(Consumer::new("greetings", |text: String, _| {
//!         println!("hello, {text}");
//!         Ok(Outcome::Ack)
//!     }));
//!     worker.run()
//! }
//! ```
//!
//! # The data path
//!
//! ```text
//! broker ─▶ intake thread ─▶ pool thread: decode ▶ handle ▶ decide ─▶ intake thread: ledger ▶ settle ─▶ broker
//!           (owns the channel) (never touches the broker)   │           (the only place a message leaves by)
//!                                                           └─ what it publishes ─▶ publisher thread: confirm ─▶ back to the ledger
//! ```
//!
//! What becomes of a message is its handler's last line, an [`Outcome`]. `Err` or a panic is a failed attempt:
//!
//! | outcome | what is done, in this order |
//! |---|---|
//! | [`Ack`](Outcome::Ack) | what the handler published is confirmed; then ack |
//! | [`Retry`](Outcome::Retry), `Err`, a panic | published to `<queue>.retry.<delay>`, confirmed, then ack; from there the broker brings it back. After the last delay: archive. Other places to wait: [`RetryLayout`] |
//! | [`Archive`](Outcome::Archive) | published to `<queue>.archive`, confirmed, then ack |
//! | [`Reject`](Outcome::Reject), undecodable | `basic.reject` if a queue declared here is sure to take what the queue dead-letters; else published to `<queue>.dead`, confirmed, then ack |
//! | [`Requeue`](Outcome::Requeue) | `basic.nack` with requeue |
//! | [`Halt`](Outcome::Halt) | requeue or ack; then the worker drains and ends with the code |
//!
//! While a queue around it refuses a message (full, missing, an alarm), the original stays on its queue, unsettled; its consumer
//! begins with no other, and moving it is tried again with growing delays, ten seconds at the most. What was moved, and comes again
//! because its ack was lost with the connection, is acked without another run ([`Worker::remember_moved`]). What has come again too
//! often is archived without a run ([`Consumer::poison_after`]); while nearly everything fails, nothing is run
//! ([`Consumer::kill_switch`]).
//!
//! # Invariants
//!
//! 1. A message leaves the worker only through the [`Ledger`], once. Every delivery is identified by epoch (one opening of one
//!    channel) and tag; an outcome from an earlier epoch is dropped and counted, never sent.
//! 2. Publish, wait for the confirm, then ack. A crash in between repeats a message; the other order would lose it.
//! 3. Every queue in the process is bounded; backpressure is the broker's prefetch.
//! 4. Handlers run on pool threads (or, where a consumer says so, on its intake thread), under no lock of ours; a panic is
//!    caught and is a failed attempt.
//! 5. A transport knows nothing of retries, archives, outcomes or steps.
//! 6. Nothing waits without a deadline: not a connect, a call, a publish, a confirm, a close, or a drain.
//! 7. Steps are started and stopped by one thread; `stop` exactly once for each `start` that succeeded. Stopping a thread means
//!    dropping what it reads from.
//! 8. Nothing in [`steps`] uses what a user's step could not use.
//! 9. No body, password or credential is ever logged. (amiquip's own `debug` and `trace` lines hold them: a program that installs
//!    a logger of its own must keep the target `amiquip` at `info`; [`Worker::run`]'s does.)
//!
//! Delivery is at-least-once: whatever fails, a message is on its queue, waiting for its retry, in the archive, in the dead
//! letters, or done. Where the broker itself moves a message, it is as safe as RabbitMQ's dead-lettering
//! (<https://www.rabbitmq.com/docs/dlx#safety>):
//! - From a *classic* retry queue back to its main queue, a message can be lost when the broker is killed, or when the main queue
//!   does not exist at that moment. Declare the main queue with [`Queue::quorum`], and this hop is at-least-once.
//! - A rejected message whose queue has a dead-letter exchange of yours, with a queue declared here that is sure to take it (its
//!   binding takes the key, it has no bound and no expiry, it lasts), is dead-lettered by the broker: unconfirmed, unless the
//!   queue is a quorum queue with `x-dead-letter-strategy` `at-least-once`. Anything else is published to `<queue>.dead` and
//!   confirmed.
//! - A quorum queue with a delivery limit (20 by default since RabbitMQ 4.0) drops, or dead-letters, what was handed back that
//!   often (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>); a retry starts the count anew, a requeue or
//!   a lost connection does not. Give such a queue a dead-letter exchange.
//! - In [`RetryLayout::Shared`], which is another worker's contract, the hop back from the retry queue is that of a classic queue,
//!   and the archive drops its oldest messages after 24 days or a million.
//!
//! # One blueprint, and what restarts
//!
//! When a step fails while running, the worker stops, in reverse order, everything that stands on it, and starts it again with
//! growing delays. The pool does not require the connection, so running handlers do not notice a reconnect. The publishing
//! connection is nobody's requirement: when it is lost, consuming goes on and publishes wait. A closed channel or a cancelled
//! consumer is mended by that consumer alone. See [`Step`] and [`Blueprint`].
//!
//! Unlike Celery on purpose: one blueprint, since the graph says what stands on the connection; no `mingle` and no `gossip`, since workers
//! need no knowledge of each other; independent steps always in the order they were added; `stop` once for each `start` that
//! succeeded, with a reason, in the place of `close`, `stop`, `terminate` and `shutdown`; nothing replaced, pulled in or left out in
//! silence. [`coming_from::celery_bootsteps`] has the calls of both, event by event.
//!
//! At boot, a broker that does not answer is tried again, at most a second apart, for ever or up to
//! [`Worker::boot_within`]; a refused login, a missing virtual host, other arguments (406) end the boot with an error that names
//! the step. Whatever is lost later is one line in the log, with its cause and a remedy.
//!
//! # Watching handlers
//!
//! One thread, the watchdog, looks at what handlers are at: [`Consumer::soft_time_limit`], [`Consumer::stuck_after`] and
//! [`Consumer::time_limit`] say what is told and done of one that takes too long. [`Running::consumers`] tells how each consumer
//! fares.
//!
//! # What makes it fast
//!
//! Waking a thread costs more than a quick handler does, so one wakeup serves many messages at every hop. The pool gets batches,
//! sized by how long this queue's handlers have taken (about 0.2 ms of work, 64 messages at the most); what stands behind a
//! message that turns out slow is taken back after 20 ms, for another thread if there is one. A thread that is done goes on with
//! the next batch of its queue by itself, and of idle ones the last to go idle is woken first. Settled messages are acked
//! together, by one `basic.ack` for all up to the first that is still out.
//!
//! Where the prefetch is 48 or more and messages flow (12 or more between two looks), the intake looks for them by the clock, every
//! 0.25 ms to 1 ms (1 us for each message of the prefetch); so it does, every 1 ms, while 16 or more threads are at work and their
//! line is long. Deliveries and acks wait for that look. Without a flow, and with handlers of less than about 25 us, deliveries may
//! wait for a batch that is out, and acks for others, for 1 ms. Acks that stand behind a message still out go after 2 to 3 ms.
//! A handler that is cheap and never blocks can do without any hop: [`Consumer::on_intake_thread`]. `benches/peers` measures all
//! of it beside other clients, `benches/micro` counts what each part costs.
//!
//! # Testing without a broker
//!
//! [`MemoryBroker`] is a broker in this process, with RabbitMQ's semantics or a refusal, and a clock that the test turns. Nothing
//! in such a test sleeps. `examples/testing_steps.rs` is a whole test file.
//!
//! **A handler alone** is called as any function is, with a message that no broker delivered:
//!
//! ```
//! use bootstep::{headers, BoxError, Handler, Json, Message, Outcome, Properties, Publication};
//!
//! struct Double;
//!
//! impl Handler for Double {
//!     type Body = Json<u64>;
//!     fn handle(&self, number: Json<u64>, message: &Message) -> Result<Outcome, BoxError> {
//!         if message.attempt() > 1 {
//!             return Ok(Outcome::archive("once is enough"));
//!         }
//!         message.publish("numbers", "doubled", (2 * *number).to_string());
//!         Ok(Outcome::Ack)
//!     }
//! }
//!
//! let message = Message::from_publication(Publication::new("numbers", "single", "21"));
//! assert_eq!(Double.handle(Json(21), &message)?, Outcome::Ack);
//! assert_eq!(message.published(), [Publication::new("numbers", "doubled", "42")]);
//!
//! let second = Publication::new("numbers", "single", "21").with(Properties::default().header(headers::RETRIES, 1));
//! let outcome = Double.handle(Json(21), &Message::from_publication(second))?;
//! assert_eq!(outcome, Outcome::archive("once is enough"));
//! # Ok::<(), BoxError>(())
//! ```
//!
//! **A worker with retries.** [`drain`](MemoryBroker::drain) waits until nothing is left to do, and turns the clock to each retry;
//! [`rest`](MemoryBroker::rest) waits for what can be done now, for a test that turns the clock itself. Archive, retry queues and
//! dead letters are queues to look at:
//!
//! ```
//! use bootstep::{headers, Broker, Consumer, ConsumerStep, MemoryBroker, Outcome, Publication, RetryPolicy, Worker};
//! use std::time::Duration;
//!
//! struct PaintFences;
//!
//! impl ConsumerStep for PaintFences {
//!     fn consumers(&self) -> Vec<Consumer> {
//!         let paint = Consumer::new("fences", |fence: String, message| match message.attempt() {
//!             1 => Ok(Outcome::retry("it rains")),
//!             _ if fence == "stone" => Ok(Outcome::archive("that is a wall")),
//!             _ => Ok(Outcome::Ack),
//!         });
//!         vec![paint.retry(RetryPolicy::fixed(Duration::from_secs(3600), 3))]
//!     }
//! }
//!
//! const SOON: Duration = Duration::from_secs(10);
//! let memory = MemoryBroker::new();
//! let mut worker = Worker::new(Broker::from(&memory));
//! worker.steps.add(PaintFences);
//! // All steps run when this returns, so the queues are there.
//! let running = worker.start()?;
//!
//! memory.publish(Publication::new("", "fences", "wood"))?;
//! memory.rest(SOON)?;
//! assert_eq!(memory.texts("fences.retry.3600s"), ["wood"]);
//! memory.advance(Duration::from_secs(3599));
//! memory.rest(SOON)?;
//! assert_eq!(memory.texts("fences.retry.3600s"), ["wood"]);
//!
//! memory.publish(Publication::new("", "fences", "stone"))?;
//! memory.publish(Publication::new("", "fences", b"\xff".to_vec()))?;
//! memory.drain(SOON)?;
//! assert_eq!(memory.texts("fences.archive"), ["stone"]);
//! assert_eq!(memory.messages("fences.archive")[0].header(headers::REASON), Some(&"that is a wall".into()));
//! assert_eq!(memory.bodies("fences.dead"), [b"\xff"]);
//! assert_eq!(running.stop(), 0);
//! # Ok::<(), bootstep::Error>(())
//! ```
//!
//! **A step** is tested in a worker that has little else: [`Worker::bare`], the step, and one that requires it and looks at what it
//! provides. A step that must not start says why in the error of [`Worker::start`]:
//!
//! ```
//! use bootstep::{BoxError, Broker, Context, MemoryBroker, Step, Worker};
//! use std::borrow::Cow;
//! use std::sync::mpsc::{channel, Sender};
//!
//! struct OpenShop { pieces: u32 }
//!
//! impl Step for OpenShop {
//!     fn name(&self) -> Cow<'_, str> { "open-shop".into() }
//!     fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
//!         if self.pieces == 0 {
//!             return Err("the shelf is empty".into());
//!         }
//!         Ok(ctx.provide(self.pieces))
//!     }
//! }
//!
//! struct Look(Sender<u32>);
//!
//! impl Step for Look {
//!     fn name(&self) -> Cow<'_, str> { "look".into() }
//!     fn requires(&self) -> Vec<Cow<'static, str>> { vec!["open-shop".into()] }
//!     fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
//!         Ok(self.0.send(ctx.get()?)?)
//!     }
//! }
//!
//! let broker = Broker::from(&MemoryBroker::new());
//! let (seen, see) = channel();
//! let mut worker = Worker::bare(broker.clone());
//! worker.steps.add(Look(seen)).add(OpenShop { pieces: 7 });
//! let running = worker.start()?;
//! assert_eq!(see.recv()?, 7);
//! assert_eq!(running.stop(), 0);
//!
//! let mut worker = Worker::bare(broker);
//! worker.steps.add(OpenShop { pieces: 0 });
//! assert_eq!(worker.start().unwrap_err().to_string(), "step `open-shop` did not start: the shelf is empty");
//! # Ok::<(), BoxError>(())
//! ```
//!
//! **A broker that goes away.** [`sever`](MemoryBroker::sever) cuts all connections, and
//! [`stop_listening`](MemoryBroker::stop_listening) refuses new ones. The worker tries again after a delay by the broker's clock,
//! which [`until`](MemoryBroker::until) turns:
//!
//! ```
//! use bootstep::{Broker, Consumer, MemoryBroker, Outcome, Publication, Queue, Worker};
//! use std::time::Duration;
//!
//! const SOON: Duration = Duration::from_secs(10);
//! let memory = MemoryBroker::new();
//! let mut worker = Worker::new(Broker::from(&memory));
//! worker.steps.add(Consumer::new("fences", |_fence: String, message| {
//!     message.publish("amq.fanout", "painted", "done");
//!     Ok(Outcome::Ack)
//! }));
//! let running = worker.start()?;
//! memory.declare_queue(&Queue::new("painted").bind("amq.fanout", ""))?;
//!
//! memory.stop_listening();
//! memory.sever();
//! memory.publish(Publication::new("", "fences", "wood"))?;
//! memory.advance(Duration::from_secs(3600));
//! assert_eq!((memory.consumers("fences"), memory.texts("fences").len()), (0, 1));
//!
//! memory.listen();
//! memory.until("the worker is back", SOON, |memory| memory.consumers("fences") == 1)?;
//! memory.drain(SOON)?;
//! assert_eq!(memory.texts("painted"), ["done"]);
//! assert_eq!(running.stop(), 0);
//! # Ok::<(), bootstep::Error>(())
//! ```
//!
//! What to mind: handlers run side by side, on threads, so what two of them leave has no order unless the consumer's
//! [`concurrency`](Consumer::concurrency) is 1. A handler that waits for a time should go by [`Broker::clock`]: while it runs,
//! `drain` and `rest` wait for it, and `drain` turns that clock. Alarms (memory, disk) are not modelled, and neither is what a
//! broker loses when it is killed. [`Worker::new`] takes Ctrl-C for the worker; a test that hangs ends by it only with
//! `worker.steps.remove(steps::HandleSignals::NAME)`.
//!
//! # Features
//!
//! None is on by default, and none wants anything installed but Rust and a C compiler:
//!
//! | feature | what it adds |
//! |---|---|
//! | `tls` | `amqps://` over rustls (see [`Broker::amqp`]) |
//! | `toml` | settings files in TOML, and `steps::fedora_messaging`, which is configured by one |
//! | `yaml` | `steps::amqp_dispatcher`, which is configured by a YAML file |
//! | `schema` | JSON Schemas for the messages of `steps::fedora_messaging`; nothing is fetched |
//! | `http` | `steps::ServeHealth`: `/live` and `/ready` |
//! | `programs` | `handlers`: programs in any language, and other handlers that need no Rust |
//! | `webhook` | `handlers::HttpPost`: messages that are posted to a URL |
//! | `cli` | the command line: the binary `bootstep`, and `cli::main` for one of your own |
//! | `daemon` | everything that the released binary has |
//!
//! # The code map
//!
//! `src/` holds nouns, the machinery; `steps/` holds verbs, what the worker does when it boots. In reading order, lowest layer
//! first; an import never goes up:
//!
//! | where | what |
//! |---|---|
//! | `error`, `message`, `outcome`, `retry`, `clock`, `topology`, `ledger`, `limits`, `kill_switch`, `remedy`, `told`, `shutdown`, `logging`, `tagged` | values and pure rules |
//! | `delivered`, `decode`, `message_json`, [`celery`], `poison`, `layout`, `recall` | a message as a handler meets it, its body, as JSON, Celery's tasks, whether it is to be handled at all, where it goes when it is moved, and which were |
//! | `stint`, `tally`, `watchdog` | what handlers are at, what became of messages, and who looks after both |
//! | `transport/` | the private contract, and its two flavours `amqp/` and `memory/` |
//! | `broker` | [`Broker`] and [`Connection`]: what the rest sees of a transport |
//! | `handler`, `pool`, `publisher`, `consumer`, `intake` | the data path above |
//! | `context`, `step`, `blueprint`, `supervisor`, `worker` | boot, restart, end |
//! | [`steps`] | the shipped steps, each a template to copy |
//! | `handlers` | handlers that need no Rust: programs, printing, files, web addresses |
//! | `config` | the configuration: a file, the environment and flags in, a broker, a worker and its consumers out |
//! | `cli` | the command line, one file a subcommand |
//! | [`coming_from`] | pages for those who come from another system |
//! | `fuzzing` | in no build but the fuzzer's and the tests': what holds for any input |

#[cfg(all(feature = "programs", not(unix)))]
compile_error!(
    "the features `programs`, `webhook`, `cli` and `daemon` need a Unix: process groups and signals end programs there"
);

extern crate self as bootstep;

mod blueprint;
mod broker;
pub mod celery;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
pub mod coming_from;
#[cfg(feature = "cli")]
mod config;
mod consumer;
mod context;
mod decode;
mod delivered;
#[cfg(feature = "programs")]
mod duration;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
#[cfg(all(feature = "programs", unix))]
pub mod handlers;
mod intake;
mod kill_switch;
mod layout;
mod ledger;
mod limits;
mod logging;
mod message;
#[cfg(feature = "programs")]
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod message_json;
mod outcome;
mod poison;
mod pool;
mod publisher;
mod recall;
mod remedy;
mod retry;
mod shutdown;
mod step;
#[path = "../steps/mod.rs"]
pub mod steps;
mod stint;
mod supervisor;
mod tagged;
mod tally;
mod told;
mod topology;
mod transport;
mod watchdog;
mod worker;

pub use blueprint::Blueprint;
pub use broker::{Answers, Broker, Connection, Inbox, Letter, Receipt, Subscribe};
pub use clock::Clock;
pub use consumer::{declare_around, topology_of, Consumer};
pub use context::{Context, Reporter};
pub use decode::{Decode, DecodeError, Json};
pub use delivered::{headers, Message};
pub use error::{BoxError, Error, Fault};
pub use handler::{Handler, Hook};
pub use kill_switch::KillSwitch;
pub use layout::{Archive, CustomLayout, Departure, RetryLayout, SharedLayout};
pub use ledger::{Command, Event, Ledger, Ticket, Verdict};
pub use logging::log_to_stderr;
pub use message::{Properties, Publication, Table, Value};
pub use outcome::Outcome;
pub use pool::Pool;
pub use publisher::Publisher;
pub use retry::RetryPolicy;
pub use shutdown::Shutdown;
pub use step::{ConsumerStep, Step, Steps, Stop};
pub use tally::{ConsumerState, ConsumerStatus, Statuses};
pub use topology::{Binding, Exchange, ExchangeKind, Queue, Topology};
pub use transport::memory::MemoryBroker;
pub use transport::QueueStatus;
pub use worker::{Running, Worker, EXIT_BOOT, EXIT_CONFIG, EXIT_DRAINED, EXIT_NOT_DRAINED, EXIT_STUCK};

/// The README's examples are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
