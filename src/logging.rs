//! Log lines on standard error, with what must never be logged kept out.

use log::{LevelFilter, Log, Metadata, Record};

/// Log lines go to standard error from now on, at the level that `RUST_LOG` says (`info` by default), unless the program has a
/// logger already. [`Worker::run`](crate::Worker::run) does this; a program that logs before calls it first.
pub fn log_to_stderr() {
    let inner = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).build();
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
