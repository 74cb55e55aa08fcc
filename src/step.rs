//! Steps: what a worker does when it boots, and how it undoes it.

use crate::consumer::Consumer;
use crate::context::Context;
use crate::error::BoxError;
use std::any::type_name;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Something the worker does when it boots. Steps start in the order of what they require and stop in reverse, all on one
/// thread; `stop` is called exactly once for each `start` that succeeded.
///
/// A name is owned or borrowed, so that it may be made from a step's fields.
///
/// ```
/// use bootstep::{BoxError, Context, Step, Stop};
/// use std::borrow::Cow;
///
/// struct OpenDatabase { path: String }
///
/// impl Step for OpenDatabase {
///     fn name(&self) -> Cow<'_, str> {
///         "open-database".into()
///     }
///     fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
///         // A real one would open it; later steps get what is provided by its type.
///         ctx.provide(self.path.clone());
///         Ok(())
///     }
/// }
/// ```
pub trait Step: Send + 'static {
    /// What other steps call it; no two steps of a worker have the same name.
    fn name(&self) -> Cow<'_, str>;

    /// The names of the steps that must run before this one starts (none by default).
    fn requires(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }

    /// This starts it.
    ///
    /// # Errors
    /// At boot, an [`Error`](crate::Error) that may pass (nobody answers, a deadline) is tried again; any other ends the boot.
    /// After a reconnect, everything is tried again.
    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError>;

    /// This stops it, and is told why (nothing by default). What it provided is withdrawn after.
    fn stop(&mut self, _ctx: &mut Context, _stop: Stop) {}

    /// The consumers that this step will start (none by default): their queues are declared before. A
    /// [`ConsumerStep`] has this done.
    fn brings(&self) -> Vec<Consumer> {
        Vec::new()
    }
}

/// Why a step is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// Something it stands on has failed; it will be started again. Wait for nothing.
    Restart,
    /// The worker stops: finish what has begun, up to the deadline.
    Drain {
        /// By then it should have ended.
        deadline: Instant,
    },
    /// The worker leaves: wait for nothing.
    Now,
}

impl Stop {
    /// How long a step may wait for what it closes: what is left to the deadline, but half a second at the least and `most` at
    /// the most; a fifth of a second where nothing is to be waited for.
    pub fn patience(self, most: Duration) -> Duration {
        match self {
            Stop::Drain { deadline } => {
                deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(500)).min(most)
            }
            Stop::Restart | Stop::Now => Duration::from_millis(200),
        }
    }
}

/// A step that consumes queues; every `ConsumerStep` is a [`Step`].
///
/// ```
/// use bootstep::{Broker, Consumer, ConsumerStep, Outcome, Worker};
///
/// struct ConsumeOrders { queue: String }
///
/// impl ConsumerStep for ConsumeOrders {
///     fn consumers(&self) -> Vec<Consumer> {
///         vec![Consumer::new(self.queue.as_str(), |order: String, _message| {
///             println!("{order}");
///             Ok(Outcome::Ack)
///         })]
///     }
/// }
///
/// let mut worker = Worker::new(Broker::from_env());
/// worker.steps.add(ConsumeOrders { queue: "orders".into() });
/// ```
pub trait ConsumerStep: Send + 'static {
    /// What it consumes. It may be asked a few times before the worker starts, since the step's name is made of it by default;
    /// the answer given when the worker starts holds for as long as that runs, over every reconnect.
    fn consumers(&self) -> Vec<Consumer>;

    /// What other steps call it; by default its type and its queues, so that two values of one type have two names.
    fn step_name(&self) -> String {
        let full = type_name::<Self>();
        let path = full.split('<').next().unwrap_or(full);
        let queues: Vec<String> = self.consumers().iter().map(|consumer| consumer.queue().name.clone()).collect();
        format!("{}({})", path.rsplit("::").next().unwrap_or(path), queues.join(", "))
    }

    /// The names of further steps that must run before it (none by default), beyond connection, pool and declarations.
    fn also_requires(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}

/// The steps that every consumer step stands on. The publishing connection is not among them: when it is lost, consuming goes
/// on and publishes wait.
const CONSUMER_STEPS_REQUIRE: [&str; 3] = ["connect", "spawn-pool", "declare-dead-letters"];

impl<C: ConsumerStep> Step for C {
    fn name(&self) -> Cow<'_, str> {
        self.step_name().into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        let mut requires: Vec<_> = CONSUMER_STEPS_REQUIRE.iter().map(|name| Cow::Borrowed(*name)).collect();
        requires.extend(self.also_requires());
        requires
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        // Nothing, if whoever wraps this step does not pass on what it brings.
        let consumers = Some(ctx.brought()).filter(|brought| !brought.is_empty()).unwrap_or_else(|| self.consumers());
        Ok(ctx.consume(&consumers)?)
    }

    fn brings(&self) -> Vec<Consumer> {
        self.consumers()
    }
}

impl ConsumerStep for Consumer {
    fn consumers(&self) -> Vec<Consumer> {
        vec![self.clone()]
    }

    fn step_name(&self) -> String {
        format!("consume({})", self.queue().name)
    }
}

/// The steps of a worker, in the order they were added.
#[derive(Default)]
pub struct Steps(Vec<Box<dyn Step>>);

impl Steps {
    /// This adds a step. Steps that do not require each other start in the order in which they were added.
    pub fn add(&mut self, step: impl Step) -> &mut Self {
        self.0.push(Box::new(step));
        self
    }

    /// This adds a step before all others: it starts first, unless it requires one of them, and stops last.
    pub fn add_first(&mut self, step: impl Step) -> &mut Self {
        self.0.insert(0, Box::new(step));
        self
    }

    /// This takes a step out, by its name; `None` if there is none of that name.
    pub fn remove(&mut self, name: &str) -> Option<Box<dyn Step>> {
        let place = self.0.iter().position(|step| step.name() == name)?;
        Some(self.0.remove(place))
    }

    /// This puts a step in the place of the one of the same name, or at the end.
    pub fn replace(&mut self, step: impl Step) -> &mut Self {
        let place = self.0.iter().position(|other| other.name() == step.name());
        match place {
            Some(place) => self.0[place] = Box::new(step),
            None => self.0.push(Box::new(step)),
        }
        self
    }

    /// The names, in the order in which the steps were added.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|step| step.name().into_owned()).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Step> {
        self.0.iter().map(|step| step.as_ref())
    }

    pub(crate) fn into_boxes(self) -> Vec<Box<dyn Step>> {
        self.0
    }
}
