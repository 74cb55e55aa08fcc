//! `[worker]`, `[logging]` and `[health]`: how the process runs, apart from what it consumes.

use super::fields::{unknown, Fields};
use std::time::Duration;

pub(super) const WORKER_KEYS: [&str; 4] = ["threads", "drain_within", "boot_within", "remember_moved"];
pub(super) const LOGGING_KEYS: [&str; 2] = ["level", "format"];
pub(super) const HEALTH_KEYS: [&str; 1] = ["listen"];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// `[worker]`, as far as it is set.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerSettings {
    pub threads: Option<usize>,
    pub drain_within: Option<Duration>,
    pub boot_within: Option<Duration>,
    pub remember_moved: Option<usize>,
}

impl WorkerSettings {
    pub fn read(fields: &Fields<'_>) -> Self {
        fields.only(&WORKER_KEYS);
        let whole =
            |name: &str, least: i64, most: i64| fields.whole(name, least..=most).and_then(|it| usize::try_from(it).ok());
        WorkerSettings {
            threads: whole("threads", 1, 10_000),
            drain_within: fields.time("drain_within"),
            boot_within: fields.time("boot_within"),
            remember_moved: whole("remember_moved", 0, 10_000_000),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logging {
    /// In the syntax of `RUST_LOG`, which wins over it.
    pub level: Option<String>,
    /// One JSON object a line.
    pub json: bool,
}

impl Logging {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        fields.only(&LOGGING_KEYS);
        let level = fields.text("level");
        for part in level.iter().flat_map(|level| level.split(',')) {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
            if !LEVELS.contains(&level.to_lowercase().as_str()) {
                let hint = unknown(level, &LEVELS);
                fields.wrong(
                    "level",
                    &format!("has `{level}`, which is no level (a module's is written `bootstep=debug`); {hint}"),
                );
            }
        }
        Logging { level, json: fields.one_of("format", &["text", "json"]) == Some("json") }
    }
}

/// Where health is served: a host and a port.
pub(super) fn health(fields: &Fields<'_>) -> Option<(String, u16)> {
    fields.only(&HEALTH_KEYS);
    if cfg!(not(feature = "http")) {
        fields.wrong_at_all("needs the feature `http`, which this program was built without; leave it out");
    }
    if !fields.has("listen") {
        fields.wrong_at_all("has no `listen`; say where, such as \"127.0.0.1:8080\"");
    }
    let text = fields.text("listen")?;
    let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parsed {
        Some((host, port)) if !host.trim_start_matches('[').contains('[') => {
            Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
        }
        _ => {
            fields.wrong("listen", "is no address and port, such as \"127.0.0.1:8080\" or \"[::]:8080\"");
            None
        }
    }
}
