//! Running a handler on one message, and what is to be done after it: decode, handle, decide; the acting is elsewhere.

use crate::decode::{media_type, Decode, DecodeError};
use crate::delivered::Message;
use crate::error::{words_of, BoxError};
use crate::layout::{Departure, Layout, Next};
use crate::ledger::Verdict;
use crate::message::{Delivery, Publication};
use crate::outcome::{one_line, Outcome};
use crate::poison::Poison;
use crate::tally::Tally;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// What handles the messages of a queue, with state of its own; several threads call it at once.
///
/// ```
/// use bootstep::{BoxError, Consumer, Handler, Json, Message, Outcome};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default)]
/// struct Sum(AtomicU64);
///
/// impl Handler for Sum {
///     type Body = Json<u64>;
///     fn handle(&self, number: Json<u64>, _message: &Message) -> Result<Outcome, BoxError> {
///         self.0.fetch_add(*number, Ordering::Relaxed);
///         Ok(Outcome::Ack)
///     }
/// }
///
/// let consumer = Consumer::handled_by("numbers", Sum::default());
/// ```
pub trait Handler: Send + Sync + 'static {
    /// What it wants the body decoded to.
    type Body: Decode;

    /// This handles one message. `Err` or a panic is a failed attempt: tried again by the consumer's policy, then archived.
    fn handle(&self, body: Self::Body, message: &Message) -> Result<Outcome, BoxError>;
}

/// What happens around each message, on the thread that runs the handler: a database connection, a trace header.
///
/// Hooks begin in the order in which they were added and finish in reverse. Each that has begun is finished once, by `end` or
/// by `failed`, whatever happens in between; one that fails or panics there is not called again.
pub trait Hook: Send + Sync + 'static {
    /// Before the body is decoded. An `Err` is a failed attempt: the handler and the hooks after this one do not run, and this
    /// one is not told of the failure.
    fn begin(&self, _message: &Message) -> Result<(), BoxError> {
        Ok(())
    }

    /// After the handler has returned an outcome, and before anything comes of it. An `Err`, of a transaction that cannot be
    /// committed, makes it a failed attempt: what the handler said counts no more, and the hooks that have not ended are told.
    fn end(&self, _message: &Message, _outcome: &Outcome) -> Result<(), BoxError> {
        Ok(())
    }

    /// After the message could not be decoded, or a later hook or the handler has failed or panicked.
    fn failed(&self, _message: &Message, _reason: &str) {}
}

/// A closure as a handler.
pub(crate) struct Closure<F, B> {
    pub run: F,
    pub body: PhantomData<fn() -> B>,
}

impl<F, B> Handler for Closure<F, B>
where
    F: Fn(B, &Message) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    B: Decode + 'static,
{
    type Body = B;
    fn handle(&self, body: B, message: &Message) -> Result<Outcome, BoxError> {
        (self.run)(body, message)
    }
}

/// A handler of any body: decoding and handling in one.
pub(crate) trait AnyHandler: Send + Sync {
    fn decode_and_handle(&self, message: &Message) -> Result<Result<Outcome, BoxError>, DecodeError>;
}

impl<H: Handler> AnyHandler for H {
    fn decode_and_handle(&self, message: &Message) -> Result<Result<Outcome, BoxError>, DecodeError> {
        Ok(self.handle(H::Body::decode(message)?, message))
    }
}

/// What decides about a message that cannot be decoded.
pub(crate) type OnDecodeError = Arc<dyn Fn(&DecodeError, &Message) -> Outcome + Send + Sync>;

/// Everything that one message goes through on its way from bytes to a decision.
#[derive(Clone)]
pub(crate) struct Performance {
    pub handler: Arc<dyn AnyHandler>,
    pub hooks: Vec<Arc<dyn Hook>>,
    pub accept: Vec<String>,
    pub on_decode_error: Option<OnDecodeError>,
    pub layout: Layout,
    pub poison: Poison,
    pub tally: Arc<Tally>,
}

/// What is to be done about a message. The usual case is small.
#[derive(Debug)]
pub(crate) enum Decision {
    Ack,
    Other(Box<Plan>),
}

impl Decision {
    /// Whether it ends the worker.
    pub fn halts(&self) -> bool {
        matches!(self, Decision::Other(plan) if plan.halt.is_some())
    }
}

/// What is published and confirmed first, and how the message leaves then.
#[derive(Debug)]
pub(crate) struct Plan {
    pub publications: Vec<Publication>,
    pub verdict: Verdict,
    pub if_refused: IfRefused,
    pub halt: Option<(u8, String)>,
    /// Whether the attempt failed: an error, a panic, or the handler's word that it is to be tried again or given up.
    pub has_failed: bool,
}

/// What to do if a publication is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfRefused {
    /// The message itself must not be lost, so it is kept and its copy tried again.
    TryAgain,
    /// What the handler published may be wrong for ever, so that is a failed attempt.
    FailAttempt,
    /// It came again so often and cannot go to the end of its queue: that is full, and only handling makes room there.
    HandleAlone { times: u32 },
}

impl Plan {
    /// What is published is tried until the broker takes it; then the message leaves.
    fn leaving(publications: Vec<Publication>, verdict: Verdict) -> Self {
        Plan { publications, verdict, if_refused: IfRefused::TryAgain, halt: None, has_failed: false }
    }

    /// A message leaves its queue when its copy is safe elsewhere.
    fn moving(copy: Publication) -> Self {
        Plan::leaving(vec![copy], Verdict::Ack)
    }

    fn departing(departure: Departure) -> Decision {
        Decision::Other(Box::new(match departure {
            Departure::Publish(copy) => Plan::moving(copy),
            Departure::Requeue => Plan::leaving(Vec::new(), Verdict::Requeue),
            Departure::Reject => Plan::leaving(Vec::new(), Verdict::Reject),
            Departure::Discard => Plan::leaving(Vec::new(), Verdict::Ack),
        }))
    }
}

impl Performance {
    /// A delivery as the handler meets it.
    pub fn message(&self, delivery: &Delivery, queue: &Arc<str>) -> Message {
        Message::new(delivery, queue).counted_by(self.layout.counted_by())
    }

    /// Runs hooks and handler; never panics, whatever they do.
    pub fn perform(&self, message: &Message) -> Decision {
        let begun = Cell::new(0);
        let ran = catch_unwind(AssertUnwindSafe(|| self.run(message, &begun)));
        let outcome = ran.unwrap_or_else(|panic| self.failed(message, &begun, format!("panicked: {}", words_of(&*panic))));
        self.decide(message, outcome)
    }

    /// `begun` is how many hooks have begun and not finished, for whoever catches a panic out of here.
    fn run(&self, message: &Message, begun: &Cell<usize>) -> Outcome {
        for hook in &self.hooks {
            if let Err(err) = hook.begin(message) {
                return self.failed(message, begun, format!("a hook failed: {}", chain(&*err)));
            }
            begun.set(begun.get() + 1);
        }
        match self.unfit(message).map_or_else(|| self.handler.decode_and_handle(message), Err) {
            Ok(Ok(outcome)) => match self.finish(begun, |hook| hook.end(message, &outcome)) {
                Ok(()) => outcome,
                Err(err) => self.failed(message, begun, format!("a hook could not end: {}", chain(&*err))),
            },
            Ok(Err(err)) => self.failed(message, begun, chain(&*err)),
            Err(err) => {
                self.tell_failed(message, begun, &err.to_string());
                match &self.on_decode_error {
                    Some(decide) => decide(&err, message),
                    None => Outcome::reject(err),
                }
            }
        }
    }

    fn failed(&self, message: &Message, begun: &Cell<usize>, reason: String) -> Outcome {
        self.tally.failed.add_one();
        self.tell_failed(message, begun, &reason);
        Outcome::Retry { reason, after: None }
    }

    fn tell_failed(&self, message: &Message, begun: &Cell<usize>, reason: &str) {
        let told = self.finish(begun, |hook| {
            // A hook that panics here must not take the message with it.
            let _ = catch_unwind(AssertUnwindSafe(|| hook.failed(message, reason)));
            Ok(())
        });
        debug_assert!(told.is_ok(), "none of them can stop it");
    }

    fn finish(&self, begun: &Cell<usize>, tell: impl Fn(&Arc<dyn Hook>) -> Result<(), BoxError>) -> Result<(), BoxError> {
        while let Some(last) = begun.get().checked_sub(1) {
            // Counted as finished first: one that fails or panics is not told twice.
            begun.set(last);
            tell(&self.hooks[last])?;
        }
        Ok(())
    }

    fn unfit(&self, message: &Message) -> Option<DecodeError> {
        let flawed = message.flaw().map(|why| DecodeError::new(format!("the message cannot be read as it came: {why}")));
        flawed.or_else(|| self.unaccepted(message))
    }

    fn unaccepted(&self, message: &Message) -> Option<DecodeError> {
        let content_type = message.properties().content_type.as_deref().unwrap_or_default();
        let accepted = |known: &String| media_type(content_type).eq_ignore_ascii_case(known);
        (!self.accept.is_empty() && !self.accept.iter().any(accepted)).then(|| {
            let wanted = self.accept.join("`, `");
            DecodeError::new(format!("the content type `{content_type}` is not accepted here; accepted is `{wanted}`"))
        })
    }

    /// A message that came again so often goes to the end of its queue, where it is a new one.
    pub fn to_the_end(&self, message: &Message, times: u32) -> Decision {
        let Some(sent_back) = self.layout.to_the_end(message, times) else {
            // Uncounted, it would come again for ever.
            return self.give_up(message, "it came again, and has no room for a header that counts how often");
        };
        log::info!("`{}`: a message came again ({times}); it is counted, and goes to the end of the queue", message.queue());
        let if_refused = IfRefused::HandleAlone { times };
        Decision::Other(Box::new(Plan { if_refused, ..Plan::moving(sent_back) }))
    }

    /// Turns an outcome into what is published and how the message leaves.
    pub fn decide(&self, message: &Message, outcome: Outcome) -> Decision {
        let has_failed = matches!(outcome, Outcome::Retry { .. } | Outcome::Archive { .. });
        let mut decision = self.act_on(message, outcome);
        if let Decision::Other(plan) = &mut decision {
            plan.has_failed = has_failed;
        }
        decision
    }

    fn act_on(&self, message: &Message, outcome: Outcome) -> Decision {
        let published = message.take_outbox();
        let plan = |publications, verdict| Decision::Other(Box::new(Plan::leaving(publications, verdict)));
        let queue = message.queue();
        self.count(&outcome);
        match outcome {
            Outcome::Ack if published.is_empty() => Decision::Ack,
            Outcome::Ack => {
                Decision::Other(Box::new(Plan { if_refused: IfRefused::FailAttempt, ..Plan::leaving(published, Verdict::Ack) }))
            }
            Outcome::Retry { reason, after } => match self.layout.retry(message, after, &reason, fastrand::f64()) {
                Next::Depart(departure) => {
                    self.tally.retried.add_one();
                    let (attempt, whereto) = (message.attempt(), whereto(&departure, "waits in"));
                    log::warn!("`{queue}`: attempt {attempt} failed, {whereto}: {}", one_line(&reason));
                    Plan::departing(*departure)
                }
                Next::Fail(delay) => {
                    self.tally.retried.add_one();
                    let attempt = message.attempt();
                    log::warn!("`{queue}`: attempt {attempt} failed, comes again in {delay:?}: {}", one_line(&reason));
                    if let Some(after) = after {
                        log::debug!("`{queue}`: the handler asked for {after:?}; the queue's own delay is what counts");
                    }
                    plan(Vec::new(), Verdict::Fail)
                }
                Next::GiveUp => self.give_up(message, &reason),
            },
            Outcome::Archive { reason } => self.give_up(message, &reason),
            Outcome::Reject { reason } => {
                let departure = self.layout.dead(message, &reason);
                log::warn!("`{queue}`: a message was rejected, {}: {}", whereto(&departure, "kept in"), one_line(&reason));
                Plan::departing(departure)
            }
            Outcome::Requeue => plan(Vec::new(), Verdict::Requeue),
            Outcome::Halt { code, reason, requeue } => {
                let (published, verdict) = match requeue {
                    true => (Vec::new(), Verdict::Requeue),
                    false => (published, Verdict::Ack),
                };
                let halt = Some((code, reason));
                Decision::Other(Box::new(Plan {
                    if_refused: IfRefused::FailAttempt,
                    halt,
                    ..Plan::leaving(published, verdict)
                }))
            }
        }
    }

    /// Of a retry it is not known yet whether there is one left.
    fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Ack | Outcome::Halt { requeue: false, .. } => self.tally.acked.add_one(),
            Outcome::Requeue | Outcome::Halt { requeue: true, .. } => self.tally.requeued.add_one(),
            Outcome::Reject { .. } => self.tally.rejected.add_one(),
            Outcome::Retry { .. } | Outcome::Archive { .. } => {}
        }
    }

    /// A message that is not tried any more goes to the archive.
    pub fn give_up(&self, message: &Message, reason: &str) -> Decision {
        self.tally.archived.add_one();
        let departure = self.layout.archive(message, reason);
        let (queue, attempt, whereto) = (message.queue(), message.attempt(), whereto(&departure, "kept in"));
        log::error!("`{queue}`: given up after attempt {attempt}, {whereto}: {}", one_line(reason));
        Plan::departing(departure)
    }
}

/// Where a message goes, in words for the log.
fn whereto(departure: &Departure, deed: &str) -> String {
    match departure {
        Departure::Publish(copy) if copy.exchange.is_empty() => format!("{deed} `{}`", copy.routing_key),
        Departure::Publish(copy) => format!("{deed} what `{}` routes to", copy.exchange),
        Departure::Requeue => "handed back".into(),
        Departure::Reject => "left to the queue's dead-letter exchange".into(),
        Departure::Discard => "kept nowhere".into(),
    }
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(err) = cause {
        let words = err.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = err.source();
    }
    text
}
