//! The thread that owns a queue's channel: deliveries out to the pool, decisions back, settles.
//!
//! It never blocks on the pool or the publisher: what they cannot take yet stays in a backlog here, bounded by the prefetch.
//! Each opening of the channel is an epoch with a ledger of its own; whatever comes back from an earlier one is dropped.

mod acks;
mod batches;
mod desk;
mod ending;
mod filling;
mod flow;
mod held;
mod mending;
mod publishing;

use crate::broker::Connection;
use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::error::{Error, Fault};
use crate::handler::Performance;
use crate::kill_switch::Switch;
use crate::pool::Pool;
use crate::publisher::Publisher;
use crate::recall::Recall;
use crate::remedy::with_remedy;
use crate::tally::{ConsumerState, Tally};
use crate::told::Told;
use crate::topology::{Queue, Topology};
use crate::transport::{ConsumeVisit, Source, Subscription};
use crossbeam_channel::{Receiver, Sender};
use filling::Filling;
use mending::Backoff;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A consumer that went on for so long has proved itself: what ends it next is a first failure.
const PROVED_AFTER: Duration = Duration::from_secs(30);

/// What an intake works with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub connection: Connection,
    pub pool: Pool,
    pub publisher: Publisher,
    pub clock: Clock,
    pub recall: Recall,
    pub declared: Arc<Topology>,
    /// Called when a handler asks the worker to halt.
    pub halt: Arc<dyn Fn(u8, String) + Send + Sync>,
}

/// A running intake; dropping it ends the thread as [`Control::Leave`] does.
pub(crate) struct Intake {
    queue: String,
    control: Sender<Control>,
    ended: Receiver<()>,
    clean: Arc<AtomicBool>,
}

/// What an intake can be told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    /// Cancel, hand back what has not begun, let what runs finish until then.
    Drain { due: Instant },
    /// End now; what is unsettled comes again.
    Leave,
}

/// How an epoch ended.
pub(super) enum Ended {
    /// As told.
    Told,
    /// The channel is gone, or the consumer on it: a new one mends it.
    Channel(Error),
    /// The broker cancelled the consumer, and never says why; the oldest message had been held for so long.
    Cancelled { held: Option<Duration> },
    /// The connection is gone: whoever opened it mends it.
    Lost(Error),
}

impl Intake {
    /// Starts consuming, and returns when the broker has agreed to it.
    pub fn start(consumer: &Consumer, around: &Surroundings, tally: Arc<Tally>) -> Result<Self, Error> {
        // The queue may have been declared by others.
        consumer.check()?;
        consumer.check_broker(&around.connection)?;
        let unnamed = Some(consumer).filter(|consumer| consumer.queue().name.is_empty()).cloned();
        let consumer = consumer.named_by(&around.connection)?;
        let (control, orders) = crossbeam_channel::bounded(2);
        let (ready, answer) = crossbeam_channel::bounded(1);
        let (alive, ended) = crossbeam_channel::bounded(0);
        let performance = consumer.performance(&around.declared, around.connection.frame_max(), tally.clone());
        let mut thread = Thread {
            filling: Filling::of(performance.layout.archive_bound()),
            performance: Arc::new(performance),
            tally,
            subscription: consumer.subscription(),
            consumer: consumer.clone(),
            unnamed,
            around: around.clone(),
            orders,
            ready: Some(ready),
            declared_again: None,
            switch: consumer.switch(),
            lacks_a_place: false,
            clean: Arc::new(AtomicBool::new(true)),
        };
        let clean = thread.clean.clone();
        let queue = consumer.queue().name.clone();
        std::thread::Builder::new()
            .name(format!("intake {queue}"))
            .spawn(move || {
                let _alive: Sender<()> = alive;
                let connection = thread.around.connection.clone();
                if std::panic::catch_unwind(AssertUnwindSafe(|| thread.run())).is_err() {
                    // Our own bug; a queue that nobody consumes in silence would be worse than a restart.
                    connection.tell_lost(&Error::new(Fault::Lost, "an intake thread panicked; please report this"));
                }
            })
            .map_err(|err| Error::new(Fault::Step, format!("no thread could be started for `{queue}`")).because(err))?;
        // The calls inside have deadlines of their own, shorter than this one together.
        match answer.recv_timeout(Duration::from_secs(60)) {
            Ok(Ok(())) => Ok(Intake { queue, control, ended, clean }),
            Ok(Err(err)) => Err(err),
            Err(_) => Err(Error::new(Fault::Timeout, format!("consuming from `{queue}` did not begin in time"))),
        }
    }

    /// Tells it what to do; the last word counts.
    pub fn tell(&self, control: Control) {
        let _ = self.control.try_send(control);
    }

    /// Disconnects when it has ended.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }

    /// Whether it has ended with everything settled.
    pub fn is_drained(&self) -> bool {
        matches!(self.ended.try_recv(), Err(err) if err.is_disconnected()) && self.clean.load(Ordering::Acquire)
    }

    /// The queue it consumes.
    pub fn queue(&self) -> &str {
        &self.queue
    }
}

struct Thread {
    consumer: Consumer,
    /// The same with a queue that the broker is to name.
    unnamed: Option<Consumer>,
    performance: Arc<Performance>,
    tally: Arc<Tally>,
    subscription: Subscription,
    around: Surroundings,
    orders: Receiver<Control>,
    filling: Filling,
    /// When the queue was last found missing and declared again, by the clock that the delay before the next attempt goes by.
    declared_again: Option<Instant>,
    /// Stops handling while nearly everything fails.
    switch: Option<Switch>,
    /// What was given up on found no place when the last channel ended: until something has gone well, one message at a time is
    /// tried. Otherwise all that waits for a place would be handled anew at each consumer timeout.
    lacks_a_place: bool,
    /// Cleared when a drain leaves something unsettled.
    clean: Arc<AtomicBool>,
    /// Whom to tell how the first attempt to consume went.
    ready: Option<Sender<Result<(), Error>>>,
}

impl Thread {
    fn run(&mut self) {
        let (mut backoff, mut told) = (Backoff::new(), Told::default());
        loop {
            let began = self.around.clock.now();
            let connection = self.around.connection.clone();
            let subscription = self.subscription.clone();
            let ended = connection.visit(&subscription, Visit(self));
            if self.around.clock.now().saturating_duration_since(began) > PROVED_AFTER {
                backoff = Backoff::new();
                told.forget();
            }
            let err = match ended {
                Ok(Ended::Told) => return,
                Ok(Ended::Lost(err)) => return connection.tell_lost(&err),
                Err(err) if matches!(err.fault(), Fault::Lost | Fault::Timeout) => {
                    self.tell_ready(Err(err));
                    return;
                }
                // At boot the step's start tells it, and the boot decides.
                Err(err) if self.ready.is_some() => return self.tell_ready(Err(err)),
                Ok(Ended::Channel(err)) | Err(err) => err,
                Ok(Ended::Cancelled { held }) => match self.why_cancelled(held) {
                    // The connection told its loss itself.
                    err if matches!(err.fault(), Fault::Lost | Fault::Timeout) => return,
                    err => err,
                },
            };
            let queue = self.subscription.queue.clone();
            if err.fault() == Fault::NotFound {
                if let Some(code) = self.consumer.exit_code_when_deleted() {
                    return (self.around.halt)(code, format!("`{queue}`: {err}"));
                }
                if self.declare_again(&err) {
                    continue;
                }
            }
            let delay = backoff.next_delay(&err);
            let what = with_remedy(&err);
            let level = if told.is_news(&what, self.around.clock.now()) { log::Level::Warn } else { log::Level::Debug };
            log::log!(level, "`{queue}`: {what}; a new channel is opened in {delay:?}");
            crossbeam_channel::select! {
                // Whatever is told while nothing is consumed means the end: there is nothing to drain.
                recv(self.orders) -> _ => return,
                recv(self.around.clock.after(delay)) -> _ => {}
            }
        }
    }

    /// A queue that is gone is the one reason that can be looked for.
    fn why_cancelled(&self, held: Option<Duration>) -> Error {
        let name = &self.consumer.queue().name;
        match self.around.connection.declare_queue(&Queue::existing(name.as_str())) {
            Err(err) if err.fault() == Fault::NotFound => Error::new(Fault::NotFound, "the queue was deleted (or has expired)"),
            Err(err) if matches!(err.fault(), Fault::Lost | Fault::Timeout) => err,
            _ => ending::cancelled(held),
        }
    }

    /// A queue of ours that somebody deleted is declared again at once: what waits for its retry has nowhere else to go, and a
    /// classic retry queue drops what comes due while its main queue is missing.
    fn declare_again(&mut self, err: &Error) -> bool {
        let name = self.consumer.queue().name.clone();
        let now = self.around.clock.now();
        let just_did = |last| now.saturating_duration_since(last) < Duration::from_secs(1);
        if self.consumer.queue().passive || self.declared_again.is_some_and(just_did) {
            return false;
        }
        self.declared_again = Some(now);
        let declared = match self.unnamed.clone() {
            Some(unnamed) => unnamed.named_by(&self.around.connection).map(|named| self.consume_instead(named)),
            None => self.around.connection.declare_queue(self.consumer.queue()).map(drop),
        };
        match declared {
            Ok(()) => log::warn!("`{name}`: {err}; it is declared again"),
            Err(again) if matches!(again.fault(), Fault::Lost | Fault::Timeout) => {}
            Err(again) => {
                log::warn!("`{name}`: {err}; it cannot be declared again: {}", with_remedy(&again));
                return false;
            }
        }
        true
    }

    /// The broker names a queue anew each time.
    fn consume_instead(&mut self, named: Consumer) {
        let frame_max = self.around.connection.frame_max();
        self.performance = Arc::new(named.performance(&self.around.declared, frame_max, self.tally.clone()));
        self.subscription = named.subscription();
        self.consumer = named;
    }

    /// Whatever refuses a message may have been deleted. Declaring what stands beside the queue again costs little, next to a
    /// message that cannot leave.
    fn declare_beside(&self) {
        let connection = &self.around.connection;
        let beside = self.consumer.beside(&self.around.declared, connection.is_rabbitmq_from((4, 0, 0)));
        let exchanges = beside.exchanges.iter().map(|exchange| connection.declare_exchange(exchange));
        for declared in exchanges.chain(beside.queues.iter().map(|queue| connection.declare_queue(queue).map(drop))) {
            match declared {
                // It is there, from before an upgrade.
                Err(err) if err.fault() == Fault::Mismatch => {}
                // One word is enough; whoever reads the deliveries hears of a lost connection too, and tells it.
                Err(err) if matches!(err.fault(), Fault::Lost | Fault::Timeout) => return,
                Err(err) => return log::warn!("{}", with_remedy(&err)),
                Ok(()) => {}
            }
        }
    }

    fn tell_ready(&mut self, result: Result<(), Error>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.try_send(result);
        }
    }
}

struct Visit<'a>(&'a mut Thread);

impl ConsumeVisit for Visit<'_> {
    type Output = Ended;

    fn visit<S: Source>(self, source: &mut S) -> Ended {
        self.0.tell_ready(Ok(()));
        let tally = self.0.tally.clone();
        tally.set_state(ConsumerState::Consuming);
        let ended = desk::Desk::open(self.0, next_epoch()).work(source);
        tally.set_state(ConsumerState::Away);
        ended
    }
}

/// Never the same in this process, whatever connection or queue.
fn next_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
