//! What a step sees of the worker: the broker, what earlier steps provide, and ways to report and to stop.

use crate::broker::{Broker, Connection};
use crate::consumer::Consumer;
use crate::error::{Error, Fault};
use crate::intake::{Control, Intake, Surroundings};
use crate::outcome::one_line;
use crate::pool::Pool;
use crate::publisher::Publisher;
use crate::recall::Recall;
use crate::shutdown::{Shutdown, Urgency};
use crate::tally::{Roster, Statuses};
use crate::topology::Topology;
use crossbeam_channel::{select, Sender};
use std::any::{type_name, Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a step sees of the worker. The worker hands it to each call of a step's `start` and `stop`.
pub struct Context {
    step: String,
    incarnation: u64,
    /// Whether the step has reported a failure since it was entered.
    told: Arc<AtomicBool>,
    broker: Broker,
    consumers: Vec<Consumer>,
    /// The same by the step that brings them.
    brought: HashMap<String, Vec<Consumer>>,
    provided: HashMap<TypeId, Provided>,
    intakes: HashMap<String, Vec<Intake>>,
    roster: Roster,
    reports: Sender<Report>,
    shutdown: Shutdown,
    /// Over every reconnect.
    recall: Recall,
    /// Intakes that did not drain, or threads that did not end.
    left_over: bool,
}

struct Provided {
    by: String,
    /// Kept while its step restarts.
    lasting: bool,
    value: Box<dyn Any + Send>,
}

/// A step's word that it has failed while running.
#[derive(Debug)]
pub(crate) struct Report {
    pub step: String,
    pub incarnation: u64,
    pub error: Error,
}

/// Tells the worker that a running step has failed, from any thread and for as long as anybody likes; the worker then stops,
/// in reverse order, all that stands on the step, and starts it again with growing delays.
#[derive(Clone)]
pub struct Reporter {
    step: String,
    incarnation: u64,
    told: Arc<AtomicBool>,
    reports: Sender<Report>,
}

impl Reporter {
    /// This step has failed. Only the first word since its start counts.
    pub fn failed(&self, error: Error) {
        if !self.told.swap(true, Ordering::AcqRel) {
            let report = Report { step: self.step.clone(), incarnation: self.incarnation, error };
            // There is room for a few from every step.
            let _ = self.reports.try_send(report);
        }
    }
}

impl Context {
    /// `brought` is what each step brings, in the order of the blueprint.
    pub(crate) fn new(
        broker: Broker,
        brought: Vec<(String, Vec<Consumer>)>,
        reports: Sender<Report>,
        shutdown: Shutdown,
        recall: Recall,
    ) -> Self {
        let roster = Roster::new(broker.clock());
        for (step, consumers) in &brought {
            for (place, consumer) in consumers.iter().enumerate() {
                let queue = &consumer.queue().name;
                let nth = consumers[..place].iter().filter(|other| other.queue().name == *queue).count();
                roster.tally(step, queue, nth, consumer.time_limits());
            }
        }
        Context {
            step: String::new(),
            incarnation: 0,
            told: Arc::default(),
            broker,
            consumers: brought.iter().flat_map(|(_, consumers)| consumers).cloned().collect(),
            brought: brought.into_iter().collect(),
            provided: HashMap::new(),
            intakes: HashMap::new(),
            roster,
            reports,
            shutdown,
            recall,
            left_over: false,
        }
    }

    /// How all consumers fare.
    pub(crate) fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// How all consumers of the worker fare, for as long as it runs and over every reconnect.
    pub fn statuses(&self) -> Statuses {
        Statuses::of(self.roster.clone())
    }

    /// The broker that the worker was made for.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// All consumers of all steps, in the order of the blueprint.
    pub fn consumers(&self) -> &[Consumer] {
        &self.consumers
    }

    /// The consumers that this step brings, as it said when the worker started: the same over every restart, and so are their
    /// handlers with what those keep.
    pub fn brought(&self) -> Vec<Consumer> {
        self.brought.get(&self.step).cloned().unwrap_or_default()
    }

    /// This gives a value to later steps, which ask for it by its type. It is withdrawn when this step stops.
    pub fn provide<T: Clone + Send + 'static>(&mut self, value: T) {
        self.insert(value, false);
    }

    /// This gives a value that stays while this step restarts, because it outlives what the step lost; it is withdrawn when the
    /// worker ends.
    pub fn provide_lasting<T: Clone + Send + 'static>(&mut self, value: T) {
        self.insert(value, true);
    }

    fn insert<T: Send + 'static>(&mut self, value: T, lasting: bool) {
        self.provided.insert(TypeId::of::<T>(), Provided { by: self.step.clone(), lasting, value: Box::new(value) });
    }

    /// What an earlier step provides.
    ///
    /// # Errors
    /// [`Fault::Blueprint`] when no step that runs provides it.
    pub fn get<T: Clone + Send + 'static>(&self) -> Result<T, Error> {
        let value = self.provided.get(&TypeId::of::<T>()).and_then(|provided| provided.value.downcast_ref::<T>());
        value.cloned().ok_or_else(|| {
            let wanted = type_name::<T>();
            Error::new(
                Fault::Blueprint,
                format!("no running step provides `{wanted}`; name the step that does among `requires`"),
            )
        })
    }

    /// This is how the step tells of a failure while it runs.
    pub fn reporter(&self) -> Reporter {
        let (told, reports) = (self.told.clone(), self.reports.clone());
        Reporter { step: self.step.clone(), incarnation: self.incarnation, told, reports }
    }

    /// This is how anything stops the worker.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// This starts consuming: a thread for each consumer. They end with this step.
    ///
    /// # Errors
    /// When a queue cannot be consumed, or a step is missing that provides connection, pool or publisher.
    pub fn consume(&mut self, consumers: &[Consumer]) -> Result<(), Error> {
        let shutdown = self.shutdown.clone();
        let around = Surroundings {
            connection: self.get::<Connection>()?,
            pool: self.get::<Pool>()?,
            publisher: self.get::<Publisher>()?,
            clock: self.broker.clock(),
            recall: self.recall.clone(),
            // Without a step that declares, nothing is known to be there.
            declared: self.get().or_else(|_| self.get::<Topology>().map(Arc::new)).unwrap_or_default(),
            halt: Arc::new(move |code, reason| {
                log::error!("the worker halts with exit code {code}: {}", one_line(&reason));
                shutdown.halt(code);
            }),
        };
        for consumer in consumers {
            let intakes = self.intakes.entry(self.step.clone()).or_default();
            let queue = &consumer.queue().name;
            let nth = intakes.iter().filter(|intake| intake.queue() == queue).count();
            let tally = self.roster.tally(&self.step, queue, nth, consumer.time_limits());
            intakes.push(Intake::start(consumer, &around, tally)?);
        }
        Ok(())
    }

    pub(crate) fn enter(&mut self, step: &str, incarnation: u64) {
        if (self.step.as_str(), self.incarnation) != (step, incarnation) {
            self.told = Arc::default();
        }
        self.step = step.to_owned();
        self.incarnation = incarnation;
    }

    /// Takes back what a step provided and started, after it has stopped or failed to start.
    pub(crate) fn withdraw(&mut self, step: &str, within: Duration) {
        let due = Instant::now() + within;
        for intake in self.intakes.remove(step).unwrap_or_default() {
            intake.tell(Control::Leave);
            self.wait_for(&intake, due);
        }
        self.provided.retain(|_, provided| provided.by != step || provided.lasting);
    }

    /// Tells all intakes at once to drain, so that none goes on consuming while another is waited for.
    pub(crate) fn drain_all(&self, due: Instant) {
        self.intakes.values().flatten().for_each(|intake| intake.tell(Control::Drain { due }));
    }

    /// Waits for a step's intakes to have drained.
    pub(crate) fn wait_drained(&mut self, step: &str, due: Instant) {
        // The intakes end by themselves at the deadline; the second is for getting there.
        let due = due + Duration::from_secs(1);
        for intake in self.intakes.remove(step).unwrap_or_default() {
            if !self.wait_for(&intake, due) || !intake.is_drained() {
                self.left_over = true;
            }
        }
    }

    pub(crate) fn has_left_over(&self) -> bool {
        self.left_over
    }

    fn wait_for(&self, intake: &Intake, due: Instant) -> bool {
        loop {
            if self.shutdown.urgency() == Urgency::Now {
                return false;
            }
            select! {
                recv(intake.ended()) -> _ => return true,
                recv(self.shutdown.wake()) -> _ => {}
                default(due.saturating_duration_since(Instant::now())) => {
                    log::warn!("`{}`: a handler still runs; its message will be delivered again", intake.queue());
                    return false;
                }
            }
        }
    }
}
