//! The shortest worker: a queue and a closure.
//!
//! `AMQP_URL=amqp://guest:guest@localhost cargo run --example greetings` runs until Ctrl-C. Without `AMQP_URL` it greets once, on
//! the memory broker.

use bootstep::{Broker, Consumer, Error, MemoryBroker, Outcome, Publication, Worker};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> Result<ExitCode, Error> {
    let greet = Consumer::new("example.greetings", |text: String, _| {
        println!("hello, {text}");
        Ok(Outcome::Ack)
    });
    if std::env::var_os("AMQP_URL").is_some() {
        let mut worker = Worker::new(Broker::from_env());
        worker.steps.add(greet);
        return Ok(worker.run());
    }
    let memory = MemoryBroker::new();
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.add(greet);
    let running = worker.start()?;
    memory.publish(Publication::new("", "example.greetings", "memory broker"))?;
    memory.drain(Duration::from_secs(10))?;
    Ok(ExitCode::from(running.stop()))
}
