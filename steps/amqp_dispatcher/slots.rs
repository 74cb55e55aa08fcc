//! The instances of a consumer, one for each message that is handled at a time; one that failed is replaced.

mod proxy;

pub use proxy::{AlreadyResponded, Proxy};

use bootstep::{BoxError, Handler, Message, Outcome, Publisher, Shutdown};
use crossbeam_channel::{Receiver, Sender};
use std::error::Error;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A consumer as amqp-dispatcher knows it: an instance handles one message at a time, and keeps what it likes in between.
///
/// ```
/// use bootstep::steps::amqp_dispatcher::{DispatchedConsumer, Proxy};
/// use bootstep::{BoxError, Message, Publication};
/// use std::error::Error;
///
/// #[derive(Default)]
/// struct Count {
///     orders: u64,
/// }
///
/// impl DispatchedConsumer for Count {
///     fn consume(&mut self, proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError> {
///         self.orders += u64::from(!message.body().is_empty());
///         Ok(proxy.ack()?)
///     }
///     fn shutdown(&mut self, _exception: Option<&(dyn Error + 'static)>) {
///         println!("{} orders", self.orders);
///     }
/// }
///
/// let mut count = Count::default();
/// let message = Message::from_publication(Publication::new("shop", "order.web", "two cups"));
/// count.consume(&Proxy::detached(&message), &message)?;
/// assert_eq!(count.orders, 1);
/// # Ok::<(), BoxError>(())
/// ```
pub trait DispatchedConsumer: Send + 'static {
    /// This handles one message. Returning without a response acks it; `Err` or a panic without one is a failed attempt: the
    /// message is tried again after a delay, and the instance is replaced.
    ///
    /// # Errors
    /// Whatever went wrong; [`shutdown`](DispatchedConsumer::shutdown) is told.
    fn consume(&mut self, proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError>;

    /// This is called once, on a thread of its own, before the instance goes: with what it failed with, or with nothing when
    /// the worker ends (nothing by default). Only when it has returned is a new instance made in its place, so taking its
    /// time here slows down what fails.
    fn shutdown(&mut self, _exception: Option<&(dyn Error + 'static)>) {}
}

/// What makes an instance.
pub type Make = Arc<dyn Fn() -> Result<Box<dyn DispatchedConsumer>, BoxError> + Send + Sync>;

/// An instance, or the place of one that could not be made: it is tried again when a message comes.
type Slot = Option<Box<dyn DispatchedConsumer>>;

/// How often a handler that waits for an instance looks whether the worker is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The instances of one consumer.
pub struct Slots {
    class: String,
    make: Make,
    count: usize,
    free: Sender<Slot>,
    waiting: Receiver<Slot>,
    worker: OnceLock<(Publisher, Shutdown)>,
}

impl Slots {
    /// Room for so many.
    pub fn new(class: &str, make: Make, count: usize) -> Arc<Self> {
        // One place for each, so that giving an instance back never waits.
        let (free, waiting) = crossbeam_channel::bounded(count);
        Arc::new(Slots { class: class.to_owned(), make, count, free, waiting, worker: OnceLock::new() })
    }

    /// This makes the instances; again, it does nothing.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn fill(self: &Arc<Self>, publisher: Publisher, worker: Shutdown) -> Result<(), BoxError> {
        if self.worker.get().is_some() {
            return Ok(());
        }
        for _ in 0..self.count {
            match self.make() {
                Ok(instance) => self.put(Some(instance)),
                Err(err) => {
                    let made: Vec<Slot> = self.waiting.try_iter().collect();
                    made.into_iter().flatten().for_each(|instance| shut_down(instance, None));
                    return Err(err);
                }
            }
        }
        // Nobody else sets it: a step is started by one thread.
        let _ = self.worker.set((publisher, worker));
        Ok(())
    }

    /// This ends all instances that come free until then, each with its `shutdown`.
    pub fn end(&self, due: Instant) {
        if self.worker.get().is_none() {
            return;
        }
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let mut gone = 0;
        while let Ok(slot) = self.waiting.recv_deadline(due) {
            gone += 1;
            if let Some(instance) = slot {
                let (class, alive) = (self.class.clone(), alive.clone());
                in_background(&class, move || {
                    let _alive = alive;
                    shut_down(instance, None);
                });
            }
            if gone == self.count {
                break;
            }
        }
        drop(alive);
        // Each holds the other end until it is done.
        if ended.recv_deadline(due) == Err(crossbeam_channel::RecvTimeoutError::Timeout) || gone < self.count {
            log::warn!("`{}`: not all instances ended in time; they are left behind", self.class);
        }
    }

    fn make(&self) -> Result<Box<dyn DispatchedConsumer>, BoxError> {
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)())).unwrap_or_else(|panic| Err(Panicked::of(&*panic).into()));
        made.map_err(|err| format!("no instance of `{}` could be made: {err}", self.class).into())
    }

    fn put(&self, slot: Slot) {
        // There is a place for each, and the other end is ours.
        let _ = self.free.try_send(slot);
    }

    /// An instance as soon as one is free; none when the worker stops before that.
    fn take(&self, worker: &Shutdown) -> Option<Slot> {
        loop {
            match self.waiting.recv_timeout(LOOK_AGAIN) {
                Ok(slot) => return Some(slot),
                Err(_) if worker.is_asked() => return None,
                Err(_) => {}
            }
        }
    }

    fn replace(self: &Arc<Self>, instance: Box<dyn DispatchedConsumer>, failure: Failure) {
        let slots = self.clone();
        in_background(&self.class, move || {
            shut_down(instance, Some(&failure));
            let stops = slots.worker.get().is_some_and(|(_, worker)| worker.is_asked());
            let next = if stops { None } else { slots.make().map_err(|err| log::error!("{err}")).ok() };
            slots.put(next);
        });
    }
}

/// Runs it on a thread of its own, or here if there is none left.
fn in_background(class: &str, run: impl FnOnce() + Send + 'static) {
    let run = Arc::new(Mutex::new(Some(run)));
    let take = |run: &Mutex<Option<_>>| run.lock().unwrap_or_else(PoisonError::into_inner).take();
    let same = run.clone();
    let begin = move || take(&same).into_iter().for_each(|run| run());
    if let Err(err) = std::thread::Builder::new().name("bootstep-instance".into()).spawn(begin) {
        log::warn!("`{class}`: no thread could be started to end an instance, which holds up its messages: {err}");
        take(&run).into_iter().for_each(|run| run());
    }
}

/// Tells an instance that it goes; whatever that does, it does no harm.
fn shut_down(mut instance: Box<dyn DispatchedConsumer>, failure: Option<&Failure>) {
    let told = catch_unwind(AssertUnwindSafe(|| {
        instance.shutdown(failure.map(|failure| &*failure.0 as &(dyn Error + 'static)));
        drop(instance);
    }));
    if let Err(panic) = told {
        log::error!("an instance panicked as it was shut down: {}", Panicked::of(&*panic).0);
    }
}

/// What consumes a queue with these instances.
pub struct Dispatching(pub Arc<Slots>);

impl Handler for Dispatching {
    type Body = ();

    fn handle(&self, (): (), message: &Message) -> Result<Outcome, BoxError> {
        let slots = &self.0;
        let (publisher, worker) = slots.worker.get().ok_or("the step `amqp-dispatcher` has not started")?;
        let Some(slot) = slots.take(worker) else { return Ok(Outcome::Requeue) };
        let mut instance = match slot.map_or_else(|| slots.make(), Ok) {
            Ok(instance) => instance,
            Err(err) => {
                slots.put(None);
                return Err(err);
            }
        };
        let proxy = Proxy::new(message, publisher.clone());
        let ended = catch_unwind(AssertUnwindSafe(|| instance.consume(&proxy, message)));
        let ended = ended.unwrap_or_else(|panic| Err(Panicked::of(&*panic).into()));
        let Err(failure) = ended.map_err(|err| Failure(Arc::from(err))) else {
            slots.put(Some(instance));
            return proxy.outcome(Ok::<(), BoxError>(()));
        };
        if proxy.has_responded() {
            log::error!("`{}` failed after it had responded to its message, which counts: {failure}", slots.class);
        }
        slots.replace(instance, failure.clone());
        proxy.outcome(Err(failure))
    }
}

/// What an instance failed with: for the message's reason, and for the instance's `shutdown`.
#[derive(Clone, Debug)]
struct Failure(Arc<dyn Error + Send + Sync>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A panic as an error.
#[derive(Debug)]
struct Panicked(String);

impl Panicked {
    fn of(panic: &(dyn std::any::Any + Send)) -> Self {
        let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Panicked(words.unwrap_or("without words").to_owned())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl Error for Panicked {}
