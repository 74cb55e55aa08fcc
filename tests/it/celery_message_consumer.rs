//! The step for deployments of celery-message-consumer, against its contract: queues, counts, delays, archive, settings.

mod contract;
mod faults;
mod registering;
mod settings;

use bootstep::steps::celery_message_consumer::{CeleryMessageConsumer, MessageHandler, Settings};
use bootstep::{Exchange, Message, Outcome, Publication};
use serde_json::Value as Json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);

/// What handlers were given, in order.
type Given = Arc<Mutex<Vec<String>>>;

fn quick() -> Settings {
    Settings::default().backoff(|_| SHORT)
}

/// The deployment of the README there: `default` is a topic exchange called `data`.
fn mode_c() -> Settings {
    quick().exchange("default", Exchange::topic("data"))
}

/// A handler that notes what it is given, with the routing key.
fn noting(key: &str, given: &Given) -> MessageHandler {
    let given = given.clone();
    MessageHandler::new(key, move |body: Json, message: &Message| {
        given.lock().unwrap().push(format!("{} {body}", message.routing_key()));
        Ok(Outcome::Ack)
    })
}

/// A handler that notes what it is given, and fails.
fn failing(key: &str, given: &Given) -> MessageHandler {
    let given = given.clone();
    MessageHandler::new(key, move |body: Json, _: &Message| {
        given.lock().unwrap().push(body.to_string());
        Err("the press is jammed".into())
    })
}

fn step(settings: Settings, handlers: impl IntoIterator<Item = MessageHandler>) -> CeleryMessageConsumer {
    let mut step = CeleryMessageConsumer::new(settings);
    for handler in handlers {
        step.add(handler).unwrap();
    }
    step
}

/// As kombu publishes it.
fn json(exchange: &str, key: &str, body: &str) -> Publication {
    let mut json = Publication::new(exchange, key, body).content_type("application/json").mandatory();
    json.properties.content_encoding = Some("utf-8".into());
    json.properties.priority = Some(0);
    json
}
