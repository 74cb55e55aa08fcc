//! The settings of celery-message-consumer: from a file, from the environment over it, or in code, under their names there.

use bootstep::{Error, Exchange, ExchangeKind, Fault, Table, Value as Field};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The prefix of every setting's name, unless this environment variable says another.
const NAMESPACE: (&str, &str) = ("EVENT_CONSUMER_CONFIG_NAMESPACE", "EVENT_CONSUMER");
/// The environment variable that names the file.
const FILE: &str = "EVENT_CONSUMER_APP_CONFIG";

/// Each has its delay in memory.
const MOST_RETRIES: u32 = 10_000;

/// What a variable's place is called.
const ENVIRONMENT: &str = "the environment";

const KNOWN: [&str; 13] = [
    "SERIALIZER",
    "ACCEPT",
    "QUEUE_NAME_PREFIX",
    "MAX_RETRIES",
    "BACKOFF_FUNC",
    "RETRY_HEADER",
    "PREFETCH_COUNT",
    "ARCHIVE_EXPIRY",
    "ARCHIVE_MAX_LENGTH",
    "ARCHIVE_QUEUE_ARGS",
    "USE_DJANGO",
    "EXCHANGES",
    "TEST_ENABLED",
];

/// What a deployment of celery-message-consumer can set, with its defaults.
#[derive(Clone)]
pub struct Settings {
    pub(super) queue_name_prefix: String,
    pub(super) max_retries: u32,
    pub(super) backoff: Arc<dyn Fn(u32) -> Duration + Send + Sync>,
    pub(super) retry_header: String,
    pub(super) prefetch_count: u16,
    pub(super) exchanges: BTreeMap<String, Exchange>,
    archive_expiry_ms: i64,
    archive_max_length: i64,
    archive_queue_arguments: Option<Table>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            queue_name_prefix: String::new(),
            max_retries: 4,
            backoff: Arc::new(|retries| Duration::from_millis([200, 1_000, 60_000, 1_800_000][retries.min(3) as usize])),
            retry_header: "x-retry-count".into(),
            prefetch_count: 1,
            exchanges: BTreeMap::new(),
            archive_expiry_ms: 24 * 24 * 3600 * 1000,
            archive_max_length: 1_000_000,
            archive_queue_arguments: None,
        }
    }
}

impl Settings {
    /// What the environment says: `EVENT_CONSUMER_APP_CONFIG` names a file (JSON, or TOML with the feature `toml`), and each variable
    /// `EVENT_CONSUMER_…` stands over the file's key of that name. `EVENT_CONSUMER_CONFIG_NAMESPACE` changes the prefix of both.
    ///
    /// # Errors
    /// [`Fault::Config`], with everything that is wrong.
    pub fn load() -> Result<Self, Error> {
        Settings::from_variables(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The same from variables that are given.
    ///
    /// # Errors
    /// As [`load`](Settings::load).
    pub fn from_variables<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error> {
        let variables: BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let namespace = variables.get(NAMESPACE.0).map_or(NAMESPACE.1, String::as_str);
        let mut settings = Settings::default();
        let mut wrong = Vec::new();
        if let Some(path) = variables.get(FILE) {
            for (name, value) in read_file(path)? {
                settings.set(namespace, &name, &value, path, &mut wrong);
            }
        }
        for (name, value) in variables.iter().filter(|(name, _)| *name != FILE && *name != NAMESPACE.0) {
            settings.set(namespace, name, &Value::String(value.clone()), ENVIRONMENT, &mut wrong);
        }
        match wrong.is_empty() {
            true => Ok(settings),
            false => {
                Err(Error::new(Fault::Config, format!("settings of celery-message-consumer are wrong: {}", wrong.join("; "))))
            }
        }
    }

    /// This adds an exchange under the reference name by which handlers name it (`EXCHANGES`; there are none by default).
    pub fn exchange(mut self, reference: impl Into<String>, exchange: Exchange) -> Self {
        self.exchanges.insert(reference.into(), exchange);
        self
    }

    /// What stands before the routing key in the name of a queue that has none of its own (`QUEUE_NAME_PREFIX`; nothing by default).
    pub fn queue_name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.queue_name_prefix = prefix.into();
        self
    }

    /// How often a message is tried again before it is archived (`MAX_RETRIES`; 4 by default, 10,000 at the most).
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries.min(MOST_RETRIES);
        self
    }

    /// How long a message waits after so many retries (`BACKOFF_FUNC`; 0.2 s, 1 s, 1 min, then 30 min each by default). It is asked
    /// when the worker starts, once for each number, and not at each failure as there: what it draws at random is drawn then.
    pub fn backoff(mut self, delay: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        self.backoff = Arc::new(delay);
        self
    }

    /// The header that counts retries (`RETRY_HEADER`; `x-retry-count` by default).
    pub fn retry_header(mut self, name: impl Into<String>) -> Self {
        self.retry_header = name.into();
        self
    }

    /// How many messages of each queue are on their way at once (`PREFETCH_COUNT`; 1 by default, and at least).
    pub fn prefetch_count(mut self, messages: u16) -> Self {
        self.prefetch_count = messages;
        self
    }

    /// How long the archive keeps a message (`ARCHIVE_EXPIRY`; 24 days by default). There, setting it has no effect: a queue that the
    /// Python workers have declared with the default refuses another.
    pub fn archive_expiry(mut self, after: Duration) -> Self {
        self.archive_expiry_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// How many messages the archive keeps before it drops the oldest (`ARCHIVE_MAX_LENGTH`; 1,000,000 by default). There, setting
    /// it has no effect, as with [`archive_expiry`](Settings::archive_expiry).
    pub fn archive_max_length(mut self, messages: u32) -> Self {
        self.archive_max_length = messages.into();
        self
    }

    /// All that the archive is declared with (`ARCHIVE_QUEUE_ARGS`); expiry and length stand in here then, or do not count.
    pub fn archive_queue_arguments(mut self, arguments: Table) -> Self {
        self.archive_queue_arguments = Some(arguments);
        self
    }

    pub(super) fn archive_arguments(&self) -> Table {
        self.archive_queue_arguments.clone().unwrap_or_else(|| {
            let arguments: [(&str, Field); 3] = [
                ("x-message-ttl", self.archive_expiry_ms.into()),
                ("x-max-length", self.archive_max_length.into()),
                ("x-queue-mode", "lazy".into()),
            ];
            arguments.map(|(name, value)| (name.to_owned(), value)).into()
        })
    }

    /// Takes one setting, if it is one of ours, and notes what is wrong with it.
    fn set(&mut self, namespace: &str, name: &str, value: &Value, place: &str, wrong: &mut Vec<String>) {
        match name.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('_')) {
            // Kubernetes puts variables of that form into the environment, for a service of that name.
            Some(key) if place == ENVIRONMENT && !KNOWN.contains(&key) => {
                log::warn!("`{name}` ({place}) is no setting and is passed over; known are `{}`", KNOWN.join("`, `"));
            }
            Some(key) => {
                if let Err(why) = self.set_key(key, value) {
                    wrong.push(format!("`{name}` ({place}): {why}"));
                }
            }
            None if place != ENVIRONMENT && KNOWN.contains(&name) => {
                wrong.push(format!("`{name}` ({place}): without its prefix it is not read; write `{namespace}_{name}`"));
            }
            None => {}
        }
    }

    fn set_key(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "SERIALIZER" if text(value)? == "json" => {}
            "SERIALIZER" => return Err("only `json` can be read here".into()),
            "ACCEPT" => {
                let names = structured(value, "a list")?;
                let only_json = |names: &Vec<Value>| !names.is_empty() && names.iter().all(is_json);
                if !names.as_array().is_some_and(only_json) {
                    return Err("only `json` can be read here; say `[\"json\"]`, or leave it out".into());
                }
            }
            "QUEUE_NAME_PREFIX" => self.queue_name_prefix = text(value)?.to_owned(),
            "MAX_RETRIES" => self.max_retries = number(value, 0, MOST_RETRIES.into())? as u32,
            "BACKOFF_FUNC" => return Err("a function cannot be read from here; give it to `Settings::backoff`".into()),
            "RETRY_HEADER" if text(value)?.is_empty() => return Err("a header needs a name".into()),
            "RETRY_HEADER" => self.retry_header = text(value)?.to_owned(),
            "PREFETCH_COUNT" => self.prefetch_count = number(value, 1, u16::MAX.into())? as u16,
            // RabbitMQ takes 32 bits of milliseconds at the most.
            "ARCHIVE_EXPIRY" => self.archive_expiry_ms = number(value, 0, u32::MAX.into())?,
            "ARCHIVE_MAX_LENGTH" => self.archive_max_length = number(value, 0, u32::MAX.into())?,
            "ARCHIVE_QUEUE_ARGS" => self.archive_queue_arguments = Some(table(&structured(value, "a table")?)?),
            "EXCHANGES" => self.exchanges = exchanges(&structured(value, "a table")?)?,
            "USE_DJANGO" => {
                log::info!("`USE_DJANGO` has no meaning here; put a hook around each message: `MessageHandler::with`")
            }
            "TEST_ENABLED" => {}
            _ => return Err(format!("there is no such setting; known are `{}`", KNOWN.join("`, `"))),
        }
        Ok(())
    }
}

fn is_json(name: &Value) -> bool {
    matches!(name.as_str(), Some("json" | "application/json"))
}

fn read_file(path: &str) -> Result<Map<String, Value>, Error> {
    let wrong = |what: String| Error::new(Fault::Config, format!("the settings file `{path}` (`{FILE}`) {what}"));
    let text = std::fs::read_to_string(path).map_err(|err| wrong("cannot be read".into()).because(err))?;
    if path.ends_with(".json") {
        return serde_json::from_str(&text).map_err(|err| wrong("is not a JSON object".into()).because(err));
    }
    #[cfg(feature = "toml")]
    if path.ends_with(".toml") {
        return toml::from_str(&text).map_err(|err| wrong("is not TOML".into()).because(err));
    }
    let toml = if cfg!(feature = "toml") { "or `.toml`" } else { "(or `.toml`, if this was built with the feature `toml`)" };
    Err(wrong(format!("is of a kind that is not known; give it the ending `.json` {toml}")))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "this must be text".into())
}

fn number(value: &Value, least: i64, most: i64) -> Result<i64, String> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("this must be a number from {least} to {most}"))
}

/// A variable of the environment holds JSON where a file has a list or a table.
fn structured(value: &Value, what: &str) -> Result<Value, String> {
    match value {
        Value::String(text) => serde_json::from_str(text).map_err(|err| format!("this must be {what} in JSON: {err}")),
        other => Ok(other.clone()),
    }
}

fn table(value: &Value) -> Result<Table, String> {
    let entries = value.as_object().ok_or("this must be a table")?;
    entries.iter().map(|(name, value)| Ok((name.clone(), field(name, value)?))).collect()
}

fn field(name: &str, value: &Value) -> Result<Field, String> {
    match value {
        Value::Bool(truth) => Ok((*truth).into()),
        Value::String(text) => Ok(text.as_str().into()),
        Value::Number(number) if number.is_i64() => Ok(number.as_i64().unwrap_or_default().into()),
        _ => Err(format!("`{name}` must be text, a whole number, or true or false")),
    }
}

fn exchanges(value: &Value) -> Result<BTreeMap<String, Exchange>, String> {
    let entries = value.as_object().ok_or("this must be a table of exchanges")?;
    entries.iter().map(|(reference, entry)| Ok((reference.clone(), exchange(reference, entry)?))).collect()
}

/// An exchange by kombu's keywords and defaults.
fn exchange(reference: &str, value: &Value) -> Result<Exchange, String> {
    let entries = value.as_object().ok_or_else(|| format!("`{reference}` must be a table"))?;
    let mut exchange = Exchange::direct("");
    for (keyword, value) in entries {
        let wrong = |kind: &str| format!("`{keyword}` of `{reference}` must be {kind}");
        let truth = || value.as_bool().ok_or_else(|| wrong("true or false"));
        match keyword.as_str() {
            "name" => exchange.name = value.as_str().ok_or_else(|| wrong("text"))?.to_owned(),
            "type" => {
                exchange.kind = match value.as_str().ok_or_else(|| wrong("text"))? {
                    "direct" => ExchangeKind::Direct,
                    "fanout" => ExchangeKind::Fanout,
                    "topic" => ExchangeKind::Topic,
                    "headers" => ExchangeKind::Headers,
                    other => ExchangeKind::Other(other.to_owned()),
                }
            }
            "durable" => exchange.durable = truth()?,
            "auto_delete" => exchange.auto_delete = truth()?,
            "internal" => exchange.internal = truth()?,
            "passive" | "no_declare" => exchange.passive |= truth()?,
            "arguments" => exchange.arguments = table(value)?,
            // Of messages that are published there; nothing is from here.
            "delivery_mode" => {}
            _ => return Err(format!("`{keyword}` of `{reference}` is no keyword of an exchange")),
        }
    }
    Ok(exchange)
}
