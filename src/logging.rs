//! Log lines on standard error, with what must never be logged kept out.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;

/// Log lines go to standard error from now on, at the level that `RUST_LOG` says (`info` by default), unless the program has a
/// logger already. [`Worker::run`](crate::Worker::run) does this; a program that logs before calls it first.
pub fn log_to_stderr() {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into());
    log_as(&filter, LogFormat::Text);
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: `time`, `level`, `target` and `message`.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    Json,
}

/// The same by this filter, in the syntax of `RUST_LOG`, and in this format.
pub(crate) fn log_as(filter: &str, format: LogFormat) {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    if format == LogFormat::Json {
        builder.format(|line, record| {
            let (level, target, message) = (record.level().as_str(), record.target(), record.args().to_string());
            let time = line.timestamp_millis().to_string();
            let json = serde_json::json!({ "time": time, "level": level, "target": target, "message": message });
            writeln!(line, "{json}")
        });
    }
    let inner = builder.build();
    let level = inner.filter();
    if log::set_boxed_logger(Box::new(Capped(inner))).is_ok() {
        log::set_max_level(level);
    }
}

/// A logger that the program installed itself is not ours to cap.
pub(crate) fn warn_of_login() {
    if log::log_enabled!(target: "amiquip", log::Level::Debug) {
        log::warn!(
            "the program's logger takes `debug` lines of `amiquip`, which hold the password: keep that target at `info`"
        );
    }
}

/// amiquip's `debug` lines hold the login with its password: they are dropped whatever `RUST_LOG` says.
struct Capped(env_logger::Logger);

impl Log for Capped {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let login = metadata.target().starts_with("amiquip") && metadata.level() > LevelFilter::Info;
        !login && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}
