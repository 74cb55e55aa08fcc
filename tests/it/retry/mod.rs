//! Failed attempts: where they wait, in each of the layouts, how they come again, and how they end.

mod archive;
mod custom;
mod levels;
mod native;
mod policy;
mod shared;

use bootstep::{Consumer, Message, Outcome};
use std::sync::{Arc, Mutex};

/// A consumer whose handler fails every time, and the attempts it has seen.
fn always_failing(queue: impl Into<bootstep::Queue>) -> (Consumer, Arc<Mutex<Vec<u32>>>) {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = attempts.clone();
    let consumer = Consumer::new(queue, move |_: Vec<u8>, message: &Message| {
        seen.lock().unwrap().push(message.attempt());
        Ok(Outcome::retry("the press is jammed"))
    });
    (consumer, attempts)
}

fn text(message: &Message, name: &str) -> String {
    message.header(name).map(ToString::to_string).unwrap_or_default()
}
