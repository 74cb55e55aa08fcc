//! Failed attempts: where they wait, how they come again, and how they end.

mod levels;
mod policy;

use bootstep::Message;

fn text(message: &Message, name: &str) -> String {
    message.header(name).map(ToString::to_string).unwrap_or_default()
}
