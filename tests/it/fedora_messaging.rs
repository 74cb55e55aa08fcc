//! Consumers of fedora-messaging: its configuration, its messages, its callbacks' answers, and its exit codes.

mod answers;
mod config;
mod declaring;
mod exit_codes;
mod messages;
#[cfg(feature = "http")]
mod monitoring;
mod nacks;
mod poison;
mod publishing;
#[cfg(feature = "schema")]
mod schemas;

use crate::support::stage::{Stage, SOON};
use bootstep::steps::fedora_messaging::{Callback, Config, ConsumeFedoraMessages, FedoraMessage};
use bootstep::{BoxError, Publication, Queue, Running};
use serde_json::json;
use std::sync::mpsc::{channel, Receiver, Sender};

/// A durable queue `mine` that dead-letters to `mine.lost`, bound to `amq.topic`.
const ONE_QUEUE: &str = r##"
    [queues.mine]
    durable = true
    auto_delete = false
    exclusive = false
    arguments = {"x-dead-letter-exchange" = "", "x-dead-letter-routing-key" = "mine.lost"}

    [[bindings]]
    queue = "mine"
    exchange = "amq.topic"
    routing_keys = ["test.#"]
"##;

fn config(text: &str) -> Config {
    Config::from_toml(text).unwrap()
}

/// Tells each message, and answers `Ok`.
fn telling() -> (impl Callback, Receiver<FedoraMessage>) {
    let (tell, told): (Sender<FedoraMessage>, _) = channel();
    (move |message: &FedoraMessage| -> Result<(), BoxError> { Ok(tell.send(message.clone())?) }, told)
}

fn start(stage: &Stage, consumer: ConsumeFedoraMessages) -> Running {
    consumer.worker_on(stage.broker.clone()).unwrap().drain_within(SOON).start().unwrap()
}

/// A message to `test.<word>` whose body says the word.
fn message(word: &str) -> FedoraMessage {
    FedoraMessage::new(format!("test.{word}"), &json!({ "word": word })).unwrap()
}

fn publication(word: &str) -> Publication {
    message(word).to_publication("amq.topic").unwrap()
}

/// Where `mine` dead-letters to.
fn declare_lost(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("mine.lost")).unwrap();
}
