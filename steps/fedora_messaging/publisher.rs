//! Publishing messages of fedora-messaging from anywhere, confirmed by the broker.

#[cfg(feature = "schema")]
use bootstep::steps::fedora_messaging::Schemas;
use bootstep::steps::fedora_messaging::{Config, FedoraMessage};
use bootstep::{Broker, Connection, Error, Fault};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a publish may take, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between attempts to reach a broker that does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Publishes to the exchange that a configuration names, and waits for the broker's confirm. Cheap to clone, good from any thread; a
/// callback may keep one.
///
/// It connects when it first publishes, and again when it finds its connection lost: then a message may come twice.
///
/// ```no_run
/// use bootstep::steps::fedora_messaging::{Config, FedoraMessage, FedoraPublisher};
/// use serde_json::json;
///
/// let publisher = FedoraPublisher::new(&Config::load()?)?;
/// publisher.publish(&FedoraMessage::new("bodhi.update.comment", &json!({"update": "FEDORA-2026-1"}))?)?;
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone)]
pub struct FedoraPublisher(Arc<Inner>);

struct Inner {
    broker: Broker,
    name: String,
    exchange: String,
    topic_prefix: String,
    priority: Option<u8>,
    patience: Duration,
    #[cfg(feature = "schema")]
    schemas: Option<Schemas>,
    connection: Mutex<Option<Connection>>,
    published: AtomicU64,
}

impl FedoraPublisher {
    /// A publisher with these settings: `amqp_url`, `tls`, `publish_exchange`, `topic_prefix`, `publish_priority`.
    ///
    /// # Errors
    /// When `amqp_url` cannot be read.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(FedoraPublisher::on(config.broker()?, config))
    }

    /// The same on a broker that was made elsewhere: in a test, one in memory.
    pub fn on(broker: Broker, config: &Config) -> Self {
        FedoraPublisher(Arc::new(Inner {
            broker,
            name: format!("bootstep publishing: {}", config.described()),
            exchange: config.publish_exchange.clone(),
            topic_prefix: config.topic_prefix.trim_end_matches('.').to_owned(),
            priority: config.publish_priority,
            patience: PATIENCE,
            #[cfg(feature = "schema")]
            schemas: None,
            connection: Mutex::default(),
            published: AtomicU64::new(0),
        }))
    }

    /// How long a publish may take, connecting and confirm together (30 s by default). For a publisher that has no clone yet.
    pub fn within(self, patience: Duration) -> Self {
        self.changed(|inner| inner.patience = patience)
    }

    /// Messages are checked by these schemas before they are sent (off by default). For a publisher that has no clone yet.
    #[cfg(feature = "schema")]
    pub fn schemas(self, schemas: Schemas) -> Self {
        self.changed(|inner| inner.schemas = Some(schemas))
    }

    fn changed(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }

    /// How many messages the broker has confirmed.
    pub fn published(&self) -> u64 {
        self.0.published.load(Ordering::Relaxed)
    }

    /// This publishes a message and waits until the broker has confirmed it. That nobody is subscribed to its topic is no error.
    ///
    /// # Errors
    /// [`Fault::Config`] for a message that does not satisfy its schema or AMQP's limits, [`Fault::NotFound`] when there is no such
    /// exchange, [`Fault::AccessRefused`] when it may not be published there, [`Fault::NotTaken`] when the broker refused it, and
    /// [`Fault::Timeout`], or what else kept it from connecting, when the time is over.
    pub fn publish(&self, message: &FedoraMessage) -> Result<(), Error> {
        let inner = &*self.0;
        let due = Instant::now() + inner.patience;
        let publication = [inner.written(message)?.to_publication(&inner.exchange)?];
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match inner.connection(due).and_then(|connection| connection.publish(&publication, left)) {
                Ok(()) => {
                    inner.published.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(err) if err.fault() == Fault::NotFound => {
                    let what = format!("the exchange `{}` (`publish_exchange`) is not on the broker", inner.exchange);
                    return Err(Error::new(Fault::NotFound, what).because(err));
                }
                Err(err) if !err.is_transient() => return Err(err),
                Err(err) => {
                    inner.disconnect();
                    // Nothing comes over this channel: it is a wait that the scheduler understands.
                    let _ =
                        crossbeam_channel::never::<()>().recv_timeout(AGAIN.min(due.saturating_duration_since(Instant::now())));
                    if Instant::now() >= due {
                        let what = format!("a message was not published within {:?}", inner.patience);
                        return Err(Error::new(err.fault(), what).because(err));
                    }
                }
            }
        }
    }
}

impl Inner {
    /// The message as the settings want it.
    fn written(&self, message: &FedoraMessage) -> Result<FedoraMessage, Error> {
        let mut message = message.clone();
        message.priority = message.priority.or(self.priority);
        #[cfg(feature = "schema")]
        if let Some(schemas) = &self.schemas {
            schemas.check(&message).map_err(|err| Error::new(Fault::Config, "a message is not published").because(err))?;
        }
        if !self.topic_prefix.is_empty() {
            message.topic = format!("{}.{}", self.topic_prefix, message.topic);
        }
        Ok(message)
    }

    /// Whoever waits here for another's attempt to connect waits no longer than that one may take.
    fn connection(&self, due: Instant) -> Result<Connection, Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match &*connection {
            Some(connection) => Ok(connection.clone()),
            None => {
                let opened = self.broker.connect_while(&self.name, || Instant::now() < due)?;
                Ok(connection.insert(opened).clone())
            }
        }
    }

    fn disconnect(&self) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
