//! A consumer of fedora-messaging: its configuration, its callback, its schemas, its health check and its exit code.
//!
//! `cargo run --example fedora_messaging --all-features` needs no broker: it uses the memory broker and ends by itself. With
//! `FEDORA_MESSAGING_CONF=/etc/fedora-messaging/config.toml` it consumes as that says, until Ctrl-C or `systemctl stop`
//! (`examples/deploy/bootstep-fm@.service`).

use bootstep::steps::fedora_messaging::{
    self, Callback, Config, ConsumeFedoraMessages, Drop, FedoraMessage, FedoraPublisher, HaltConsumer, Nack, Schema, Schemas,
    CONF,
};
use bootstep::{BoxError, Broker, Error, MemoryBroker, Queue, RetryPolicy};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// What is consumed where no file says otherwise.
const CONFIG: &str = r##"
[client_properties]
app = "example"

[queues.comments]
durable = true
auto_delete = false
exclusive = false
arguments = {"x-dead-letter-exchange" = "", "x-dead-letter-routing-key" = "comments.lost"}

[[bindings]]
queue = "comments"
exchange = "amq.topic"
routing_keys = ["bodhi.update.comment", "example.end"]

[consumer_config]
greeting = "heard"
"##;

/// What the callback finds under `consumer_config`.
#[derive(Deserialize)]
struct Settings {
    greeting: String,
}

/// A comment on an update.
#[derive(Deserialize)]
struct Comment {
    author: String,
    text: String,
}

/// The callback, with its settings.
struct ReadComments {
    settings: Settings,
}

impl Callback for ReadComments {
    fn call(&self, message: &FedoraMessage) -> Result<(), BoxError> {
        if message.topic == "example.end" {
            return Err(HaltConsumer::with_code(42, "that was all").into());
        }
        let comment: Comment = message.body_as()?;
        match comment.text.as_str() {
            "spam" => {
                println!("dropped: a comment of {}", comment.author);
                Err(Drop.into())
            }
            "later" => {
                println!("nacked: a comment of {}", comment.author);
                Err(Nack::after(Duration::from_secs(60)).into())
            }
            text => {
                println!("{} {}: {text}", self.settings.greeting, comment.author);
                Ok(())
            }
        }
    }
}

fn consumer(config: &Config) -> Result<ConsumeFedoraMessages, BoxError> {
    let comment = Schema::new(
        "bodhi.update.comment",
        json!({"type": "object", "required": ["author", "text"], "properties": {"text": {"type": "string"}}}),
    );
    let callback = ReadComments { settings: config.consumer_config()? };
    let waiting = RetryPolicy::fixed(Duration::from_secs(60), 2);
    Ok(ConsumeFedoraMessages::new(config, callback).schemas(Schemas::new([comment])?).retry_nacks(waiting))
}

fn main() -> Result<ExitCode, BoxError> {
    if std::env::var_os(CONF).is_some() {
        return Ok(fedora_messaging::run(consumer));
    }
    println!("{CONF} is not set: this runs on the memory broker, in this process");
    in_memory()?;
    Ok(ExitCode::SUCCESS)
}

fn in_memory() -> Result<(), BoxError> {
    let memory = MemoryBroker::new();
    let config = Config::from_toml(CONFIG)?;
    memory.declare_queue(&Queue::new("comments.lost"))?;
    let running = consumer(&config)?.worker_on(Broker::from(&memory))?.start()?;

    let publisher = FedoraPublisher::on(Broker::from(&memory), &config);
    let comment = |author: &str, text: serde_json::Value| -> Result<(), Error> {
        let message = FedoraMessage::new("bodhi.update.comment", &json!({"author": author, "text": text}))?;
        publisher.publish(&message.schema("bodhi.update.comment", Some("bodhi_messages")))
    };
    comment("ada", "works for me".into())?;
    comment("eve", "spam".into())?;
    comment("joe", 7.into())?;
    comment("max", "later".into())?;
    // The clock of the memory broker is turned by hand: this waits for the retries without waiting.
    memory.drain(Duration::from_secs(10))?;
    for queue in ["comments.lost", "comments.archive"] {
        println!("in `{queue}`: {}", memory.texts(queue).join(", "));
    }
    publisher.publish(&FedoraMessage::new("example.end", &json!({}))?)?;
    println!("ended with exit code {}", running.wait());
    Ok(())
}
