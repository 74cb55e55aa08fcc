//! A program that stands in for amqp-dispatcher: it reads its YAML file, and runs the consumers that the file names.
//!
//! `cargo run --example amqp_dispatcher --features yaml` needs no broker: it runs `amqp_dispatcher.yml` beside this file on the memory
//! broker, and ends by itself. With any option (`--config FILE`, `--validate`), or with `RABBITMQ_URL` set, it is the program:
//! `RABBITMQ_URL=amqp://guest:guest@localhost:5672/ cargo run --example amqp_dispatcher --features yaml -- --config
//! examples/amqp_dispatcher.yml` runs until Ctrl-C.

use bootstep::steps::amqp_dispatcher::{AmqpDispatcher, DispatchedConsumer, Proxy};
use bootstep::{BoxError, Broker, Error, MemoryBroker, Message, Publication, Table};
use std::process::ExitCode;
use std::time::Duration;

const CONFIG: &str = include_str!("amqp_dispatcher.yml");

/// One instance for each message that is handled at a time.
#[derive(Default)]
struct Notify {
    sent: u64,
}

impl DispatchedConsumer for Notify {
    fn consume(&mut self, proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError> {
        match message.body() {
            b"" => {
                println!("nothing to say, to the dead letters");
                return Ok(proxy.reject(false)?);
            }
            b"shaky" if message.attempt() == 1 => return Err("the line went dead".into()),
            body => proxy.publish("", "example.sent", Table::new(), body)?,
        }
        self.sent += 1;
        println!("told by `{}` at attempt {}", message.routing_key(), message.attempt());
        Ok(proxy.ack()?)
    }

    fn shutdown(&mut self, exception: Option<&(dyn std::error::Error + 'static)>) {
        let why = exception.map_or_else(|| "the worker ends".into(), ToString::to_string);
        println!("an instance goes after {} messages: {why}", self.sent);
    }
}

fn main() -> ExitCode {
    let dispatcher = AmqpDispatcher::new().consumer("workers.notify:Notify", || Ok(Notify::default())).startup_handler(
        "workers.startup:startup",
        || {
            println!("starting up");
            Ok(())
        },
    );
    if std::env::args().len() > 1 || std::env::var_os("RABBITMQ_URL").is_some() {
        return dispatcher.run();
    }
    println!("neither an option nor RABBITMQ_URL is given: this runs on the memory broker, in this process");
    match in_memory(&dispatcher) {
        Ok(code) => ExitCode::from(code),
        Err(err) => {
            eprintln!("{err}");
            ExitCode::FAILURE
        }
    }
}

fn in_memory(dispatcher: &AmqpDispatcher) -> Result<u8, Error> {
    let memory = MemoryBroker::new();
    let running = dispatcher.worker(CONFIG, Broker::from(&memory))?.start()?;
    for (key, body) in [("click.left", "hello"), ("transaction.new", "shaky"), ("click.right", "")] {
        memory.publish(Publication::new("amq.topic", key, body))?;
    }
    // The clock of the memory broker is turned by hand: this waits for the retry without waiting.
    memory.drain(Duration::from_secs(10))?;
    println!("sent: {:?}", memory.texts("example.sent"));
    println!("rejected: {}", memory.messages("example.notify.rejected").len());
    let code = running.stop();
    println!("ended with exit code {code}");
    Ok(code)
}
