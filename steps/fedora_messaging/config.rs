//! fedora-messaging's configuration: its TOML as it is, with its defaults, and everything wrong with it told at once.

use bootstep::steps::fedora_messaging::{broker_url, exchanges_in, queues_in, Fields, Mistakes, Tls};
use bootstep::{Broker, Error, Exchange, Fault, Queue};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The file that is read if nothing else is said; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/fedora-messaging/config.toml";

/// The environment variable that names another file.
pub const CONF: &str = "FEDORA_MESSAGING_CONF";

const KEYS: [&str; 15] = [
    "amqp_url",
    "client_properties",
    "publish_exchange",
    "topic_prefix",
    "publish_priority",
    "passive_declares",
    "exchanges",
    "queues",
    "bindings",
    "qos",
    "callback",
    "monitoring",
    "consumer_config",
    "tls",
    "log_config",
];

/// The configuration of a consumer or publisher of fedora-messaging.
///
/// A key of the file takes the place of its default as a whole: a file with one queue has one queue.
///
/// ```
/// use bootstep::steps::fedora_messaging::Config;
///
/// let config = Config::from_toml(r#"
///     amqp_url = "amqp://rabbit/%2Fpubsub?connection_attempts=3"
///
///     [queues.my_queue]
///     durable = true
///     auto_delete = false
///     exclusive = false
///     arguments = {}
///
///     [[bindings]]
///     queue = "my_queue"
///     exchange = "amq.topic"
///     routing_keys = ["bodhi.#", "koji.#"]
/// "#)?;
/// assert_eq!(config.queues[0].bindings.len(), 2);
/// assert_eq!(config.publish_exchange, "amq.topic");
/// let err = Config::from_toml("bindngs = []").unwrap_err();
/// assert!(err.to_string().contains("`bindngs` is not known; the nearest is `bindings`"));
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The broker (`amqp://?connection_attempts=3&retry_delay=5` by default: the one on this machine, as `guest`).
    pub amqp_url: String,
    /// What an operator sees of the connections; `app` is `Unknown` by default.
    pub client_properties: BTreeMap<String, String>,
    /// Where messages are published (`amq.topic` by default).
    pub publish_exchange: String,
    /// What is put before the topic of a published message, with a dot between (nothing by default).
    pub topic_prefix: String,
    /// The priority of published messages (none by default).
    pub publish_priority: Option<u8>,
    /// Whether exchanges and queues are only checked for (off by default).
    pub passive_declares: bool,
    /// The exchanges to declare (`amq.topic` by default). One that the broker brings, `amq.…`, is only checked for.
    pub exchanges: Vec<Exchange>,
    /// The queues to consume, with their bindings; by default one that the broker names, bound to `amq.topic` with `#`.
    pub queues: Vec<Queue>,
    /// How many messages are prefetched (10 by default; 0 for as many as there are).
    pub prefetch_count: u16,
    /// The Python path of a callback: of no use here, where callbacks are Rust.
    pub callback: Option<String>,
    /// Where `/live` and `/ready` are served (nowhere by default).
    pub monitoring: Option<Monitoring>,
    /// The files of an `amqps:` URL.
    pub tls: Tls,
    consumer_config: toml::Table,
}

/// Where the worker's health is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// The address to listen on; empty, the default, is every one of IPv4.
    pub address: String,
    /// The port.
    pub port: u16,
}

impl Config {
    /// The configuration of the file that `FEDORA_MESSAGING_CONF` names; without that, of `/etc/fedora-messaging/config.toml`, and
    /// if there is none, the defaults.
    ///
    /// # Errors
    /// [`Fault::Config`] when the file cannot be read, or with all that is wrong with it.
    pub fn load() -> Result<Self, Error> {
        match std::env::var_os(CONF) {
            Some(path) => Config::from_file(path),
            None if Path::new(DEFAULT_PATH).exists() => Config::from_file(DEFAULT_PATH),
            None => Config::from_toml(""),
        }
    }

    /// The configuration of a file.
    ///
    /// # Errors
    /// As [`load`](Config::load).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|err| {
            Error::new(Fault::Config, format!("the configuration `{}` cannot be read", path.display())).because(err)
        })?;
        Config::from_toml(&text)
            .map_err(|err| Error::new(Fault::Config, format!("the configuration `{}` is wrong", path.display())).because(err))
    }

    /// The configuration of this text.
    ///
    /// # Errors
    /// As [`load`](Config::load).
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        // The message alone: the error as a whole quotes the line, in which there may be a password.
        let parsed: toml::Table = toml::from_str(text).map_err(|err| {
            let line = text.get(..err.span().map_or(0, |span| span.start)).unwrap_or_default().matches('\n').count() + 1;
            Error::new(Fault::Config, format!("line {line} is not TOML: {}", err.message()))
        })?;
        let table = parsed.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        let mistakes = Mistakes::default();
        let config = Config::read(&Fields::new(&table, "", &mistakes));
        mistakes.told("the configuration of fedora-messaging is wrong").map(|()| config)
    }

    fn read(fields: &Fields<'_>) -> Self {
        fields.only(&KEYS);
        let passive = fields.truth("passive_declares").unwrap_or(false);
        let callback = fields.text("callback");
        if callback.is_some() || fields.raw().contains_key("log_config") {
            log::info!("`callback` and `log_config` are Python's and do nothing here; `RUST_LOG` sets what is logged");
        }
        Config {
            amqp_url: fields.text("amqp_url").unwrap_or_else(|| "amqp://?connection_attempts=3&retry_delay=5".into()),
            client_properties: client_properties(fields),
            publish_exchange: fields.text("publish_exchange").unwrap_or_else(|| "amq.topic".into()),
            topic_prefix: fields.text("topic_prefix").unwrap_or_default(),
            publish_priority: fields.whole("publish_priority", 0..=255).and_then(|number| u8::try_from(number).ok()),
            passive_declares: passive,
            exchanges: exchanges_in(fields, passive),
            queues: queues_in(fields, passive),
            prefetch_count: prefetch(fields),
            callback,
            monitoring: monitoring(fields),
            tls: tls(fields),
            consumer_config: fields.table("consumer_config").map(|table| table.raw().clone()).unwrap_or_default(),
        }
    }

    /// The broker that the settings name.
    ///
    /// # Errors
    /// When `amqp_url` cannot be read.
    pub fn broker(&self) -> Result<Broker, Error> {
        Broker::amqp(&broker_url(&self.amqp_url, &self.tls)?)
    }

    /// What the file has under `consumer_config`, as a type of one's own.
    ///
    /// # Errors
    /// When it is something else; the error names the key.
    pub fn consumer_config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let read = T::deserialize(toml::Value::Table(self.consumer_config.clone()));
        read.map_err(|err| Error::new(Fault::Config, format!("`consumer_config` is wrong: {}", without_values(err.message()))))
    }

    /// What an operator sees of the connections, on one line.
    pub fn described(&self) -> String {
        let properties: Vec<_> = self.client_properties.iter().map(|(name, value)| format!("{name} {value}")).collect();
        properties.join(", ")
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the URL, which has a password, nor the callback's own settings.
        let queues: Vec<&str> = self.queues.iter().map(|queue| queue.name.as_str()).collect();
        write!(f, "Config({}, queues {queues:?})", self.described())
    }
}

/// What serde says, without the value that it quotes: it may be a password.
fn without_values(message: &str) -> String {
    let is_name_only = |start: &str| message.starts_with(start);
    match (message.split_once(':'), message.rsplit_once(", expected ")) {
        _ if is_name_only("missing field") || is_name_only("unknown field") => message.to_owned(),
        (Some((kind, _)), Some((_, wanted))) => format!("{kind}, expected {wanted}"),
        _ => "it is not what the callback wants".to_owned(),
    }
}

fn client_properties(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let Some(table) = fields.table("client_properties") else {
        return BTreeMap::from([("app".to_owned(), "Unknown".to_owned())]);
    };
    for reserved in ["product", "information", "version"] {
        if table.raw().contains_key(reserved) {
            table.wrong(reserved, "is reserved; leave it out");
        }
    }
    table.raw().keys().filter_map(|name| Some((name.clone(), table.text(name)?))).collect()
}

fn prefetch(fields: &Fields<'_>) -> u16 {
    let Some(table) = fields.table("qos") else { return 10 };
    table.rather(&["prefetch_count", "prefetch_size"]);
    if table.whole("prefetch_size", 0..=i64::MAX).is_some_and(|bytes| bytes > 0) {
        table.wrong("prefetch_size", "is not 0; RabbitMQ knows no limit in bytes");
    }
    table.whole("prefetch_count", 0..=65_535).and_then(|count| u16::try_from(count).ok()).unwrap_or(10)
}

fn monitoring(fields: &Fields<'_>) -> Option<Monitoring> {
    let table = fields.table("monitoring").filter(|table| !table.raw().is_empty())?;
    table.rather(&["address", "port"]);
    table.needs(&["port"]);
    let port = table.whole("port", 0..=65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    Some(Monitoring { address: table.text("address").unwrap_or_default(), port })
}

fn tls(fields: &Fields<'_>) -> Tls {
    let Some(table) = fields.table("tls") else { return Tls::default() };
    table.rather(&["ca_cert", "certfile", "keyfile"]);
    let path = |name| table.text(name).filter(|path| !path.is_empty());
    Tls { ca_cert: path("ca_cert"), certfile: path("certfile"), keyfile: path("keyfile") }
}
