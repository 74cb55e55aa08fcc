//! What handles a message, and what it can say beside being done: `Nack`, `Drop`, `HaltConsumer`.

use bootstep::steps::fedora_messaging::{FedoraMessage, EXIT_FAILED};
use bootstep::{BoxError, Outcome};
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

/// What handles messages: a function, or a type with state of its own.
///
/// | it answers | the message | the worker |
/// |---|---|---|
/// | `Ok(())` | is acked | goes on |
/// | [`Nack`] | goes back to its queue, or waits for another try | goes on |
/// | [`Drop`] | goes to the queue's dead letters | goes on |
/// | [`HaltConsumer`] | is acked, or goes back | ends with the exit code |
/// | another `Err`, a panic | goes back, and so does all that was prefetched | ends with exit code 13 |
///
/// ```
/// use bootstep::steps::fedora_messaging::{Callback, FedoraMessage, HaltConsumer};
/// use bootstep::BoxError;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// #[derive(Default)]
/// struct StopAfterTen(AtomicU32);
///
/// impl Callback for StopAfterTen {
///     fn call(&self, message: &FedoraMessage) -> Result<(), BoxError> {
///         println!("{}", message.topic);
///         match self.0.fetch_add(1, Ordering::Relaxed) {
///             9 => Err(HaltConsumer::default().into()),
///             _ => Ok(()),
///         }
///     }
/// }
/// ```
pub trait Callback: Send + Sync + 'static {
    /// This handles one message.
    fn call(&self, message: &FedoraMessage) -> Result<(), BoxError>;
}

impl<F> Callback for F
where
    F: Fn(&FedoraMessage) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn call(&self, message: &FedoraMessage) -> Result<(), BoxError> {
        self(message)
    }
}

/// A callback's word that a message is to be tried again.
///
/// By itself it goes back to its queue and comes again at once, as often as it is nacked: that is the contract. With
/// [`retry_nacks`](bootstep::steps::fedora_messaging::ConsumeFedoraMessages::retry_nacks) it waits, and is given up after so many tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    after: Option<Duration>,
}

impl Nack {
    /// It comes again after this long, if nacked messages wait at all.
    pub fn after(delay: Duration) -> Self {
        Nack { after: Some(delay) }
    }
}

/// A callback's word that nothing will come of a message: it goes to the queue's dead letters, if it has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drop;

/// A callback's word that the worker should end. By default with exit code 0, the message acked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HaltConsumer {
    /// The exit code of the process.
    pub exit_code: u8,
    /// Why, for the log.
    pub reason: Option<String>,
    /// Whether the message goes back to its queue; otherwise it is acked.
    pub requeue: bool,
}

impl HaltConsumer {
    /// The worker ends with this exit code, and the message is acked.
    pub fn with_code(exit_code: u8, reason: impl Into<String>) -> Self {
        HaltConsumer { exit_code, reason: Some(reason.into()), requeue: false }
    }

    /// The same with the message handed back.
    pub fn requeue(mut self) -> Self {
        self.requeue = true;
        self
    }
}

impl fmt::Display for Nack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the callback nacked it")
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the callback dropped it")
    }
}

impl fmt::Display for HaltConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_deref().unwrap_or("the callback asked for it"))
    }
}

impl std::error::Error for Nack {}
impl std::error::Error for Drop {}
impl std::error::Error for HaltConsumer {}

/// What becomes of a message: the callback's answer as an outcome. `nacks_wait` where nacked messages wait for another try.
pub fn outcome_of(callback: &dyn Callback, message: &FedoraMessage, nacks_wait: bool) -> Outcome {
    let answer = match catch_unwind(AssertUnwindSafe(|| callback.call(message))) {
        Ok(Ok(())) => return Outcome::Ack,
        Ok(Err(err)) => err,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let words = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
            format!("it panicked: {words}").into()
        }
    };
    if let Some(nack) = answer.downcast_ref::<Nack>() {
        let later = Outcome::retry(nack);
        return match (nacks_wait, nack.after) {
            (true, Some(delay)) => later.after(delay),
            (true, None) => later,
            (false, _) => Outcome::Requeue,
        };
    }
    if let Some(drop) = answer.downcast_ref::<Drop>() {
        return Outcome::reject(drop);
    }
    if let Some(halt) = answer.downcast_ref::<HaltConsumer>() {
        return Outcome::Halt { code: halt.exit_code, reason: halt.to_string(), requeue: halt.requeue };
    }
    let mut reason = format!("the callback failed on message {:?} ({}): {answer}", message.id, message.topic);
    let mut cause = answer.source();
    while let Some(err) = cause {
        reason = format!("{reason}: {err}");
        cause = err.source();
    }
    Outcome::halt(EXIT_FAILED, reason)
}
