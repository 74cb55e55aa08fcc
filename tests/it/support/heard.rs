//! What was logged: the warnings of all tests together, to be told apart by the names in them.

use log::{LevelFilter, Log, Metadata, Record};
use std::sync::{Mutex, Once};

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("bootstep") {
            WARNINGS.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// From now on, warnings are noted.
pub fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        log::set_logger(&Listener).expect("no other test sets a logger");
        log::set_max_level(LevelFilter::Warn);
    });
}

/// How many warnings there were with all of these words in them.
pub fn heard(words: &[&str]) -> usize {
    let warnings = WARNINGS.lock().unwrap();
    warnings.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
}
