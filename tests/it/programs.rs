//! Handlers that need no Rust: programs of all sorts of manners, printing, files, and web addresses.

mod checking;
mod ending;
mod files;
mod given;
#[cfg(feature = "webhook")]
mod http_post;
mod manners;
mod persistent;
mod working;

use bootstep::handlers::Program;
use bootstep::{Handler, Message, Outcome, Publication};
use std::fs;
use std::path::Path;

/// A shell script as a handler.
fn script(text: &str) -> Program {
    Program::new(["sh", "-c", text])
}

/// A message that no broker delivered.
fn message(body: impl Into<Vec<u8>>) -> Message {
    Message::from_publication(Publication::new("shop", "order.web", body))
}

/// What becomes of one message; an error in its words.
fn handled(handler: &impl Handler<Body = ()>, message: &Message) -> Result<Outcome, String> {
    handler.handle((), message).map_err(|err| err.to_string())
}

/// What a script has written into a file.
fn written(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Whether a process runs, whoever its parent is by now.
fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}

/// Whether a process is there at all, be it only for its parent to hear of its end.
fn is_there(id: &str) -> bool {
    Path::new(&format!("/proc/{}", id.trim())).exists()
}
