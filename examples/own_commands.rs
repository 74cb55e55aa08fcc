//! A worker with a command line: `run`, `check`, `publish` and the tools for its archive, in a binary of one's own.
//!
//! `cargo run --features cli --example own_commands -- --help` lists them. With RabbitMQ at `AMQP_URL`:
//! `… -- run` consumes, and in another terminal `… -- publish --queue example.notes 'a note'` gives it something to do.

use bootstep::{BoxError, Broker, Consumer, Message, Outcome, RetryPolicy, Worker};
use std::process::ExitCode;
use std::time::Duration;

fn note(text: String, message: &Message) -> Result<Outcome, BoxError> {
    if text.contains("illegible") {
        return Err("nobody can read this".into());
    }
    println!("attempt {}: {text}", message.attempt());
    Ok(Outcome::Ack)
}

fn main() -> ExitCode {
    let mut worker = Worker::new(Broker::from_env());
    let notes = Consumer::new("example.notes", note).retry(RetryPolicy::fixed(Duration::from_millis(200), 1));
    worker.steps.add(notes);
    bootstep::cli::main(worker)
}
