//! Log lines on standard error, with what must never be logged kept out.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether each line that we put on standard error is a JSON object.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// The same by this filter, in the syntax of `RUST_LOG`, and in this format.
pub(crate) fn log_as(filter: &str, format: LogFormat) {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    if format == LogFormat::Json {
        builder.format(|line, record| {
            let (level, target, message) = (record.level().as_str(), record.target(), record.args().to_string());
            let time = line.timestamp_millis().to_string();
            writeln!(line, "{}", as_json(&time, level, target, &message))
        });
    }
    let inner = builder.build();
    let level = inner.filter();
    if log::set_boxed_logger(Box::new(Capped(inner))).is_ok() {
        log::set_max_level(level);
        IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    }
}

fn as_json(time: &str, level: &str, target: &str, message: &str) -> serde_json::Value {
    serde_json::json!({ "time": time, "level": level, "target": target, "message": message })
}

/// What a program has written on its standard error goes to ours, whatever the level: as it is, or each line as a record of the
/// program's, so that who reads JSON meets nothing else.
#[cfg(feature = "programs")]
pub(crate) fn pass_on(program: &str, lines: &[u8]) {
    let mut records = Vec::new();
    if IS_JSON.load(Ordering::Relaxed) {
        let time = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
        for line in String::from_utf8_lossy(lines).lines() {
            records.extend(format!("{}\n", as_json(&time, "INFO", program, line)).bytes());
        }
    }
    // Nobody may be there to read it; the program has done its part.
    let _ = std::io::stderr().lock().write_all(if records.is_empty() { lines } else { &records });
}

/// A logger that the program installed itself is not ours to cap.
pub(crate) fn warn_of_login() {
    if log::log_enabled!(target: "amiquip", log::Level::Debug) {
        log::warn!(
            "the program's logger takes `debug` lines of `amiquip`, which hold the password: keep that target at `info`"
        );
    }
}

/// Whose lines below `info` hold secrets: amiquip's the login with its password, ureq's the whole URL, and among its parts may be a key.
const TELL_SECRETS: [&str; 2] = ["amiquip", "ureq"];

/// Those lines are dropped whatever `RUST_LOG` says.
struct Capped(env_logger::Logger);

impl Log for Capped {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let may_tell = metadata.level() > LevelFilter::Info && TELL_SECRETS.iter().any(|it| metadata.target().starts_with(it));
        !may_tell && self.0.enabled(metadata)
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

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn what_tells_secrets_is_dropped_at_any_level_that_was_asked_for() {
        let capped = Capped(env_logger::Builder::new().parse_filters("trace").build());
        let check = |target: &str, level: Level, expected: bool| {
            let metadata = Metadata::builder().target(target).level(level).build();
            assert_eq!(capped.enabled(&metadata), expected, "{target} {level}");
        };
        for target in ["amiquip::connection", "ureq::run", "ureq_proto::client"] {
            check(target, Level::Trace, false);
            check(target, Level::Debug, false);
            check(target, Level::Info, true);
        }
        check("bootstep::intake", Level::Trace, true);
        check("rustls::client", Level::Debug, true);
    }
}
