//! `archive list`, `show` and `group`, against RabbitMQ: what is printed, and that everything is on its queue after.

mod costs;
mod endings;
mod large;
mod looks;

use super::{bootstep, said};
use crate::support::stage::Stage;
use bootstep::{Message, Publication, Queue, Value};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A queue on a broker, and the program for it.
struct Place {
    stage: Stage,
    url: String,
    queue: Queue,
}

impl Place {
    fn with(queue: Queue) -> Place {
        let (stage, url) = Stage::rabbitmq_with_url();
        stage.connection.declare_queue(&queue).unwrap();
        Place { stage, url, queue }
    }

    fn archive() -> Place {
        Place::with(Queue::new("orders.archive"))
    }

    /// The program with these arguments, on this broker.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bootstep(arguments);
        command.env("AMQP_URL", &self.url);
        command
    }

    /// What it prints with these arguments.
    fn said(&self, arguments: &[&str]) -> (String, String, i32) {
        said(&mut self.command(arguments))
    }

    /// What it prints to standard output where all goes well.
    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let (out, err, code) = self.said(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    fn send(&self, messages: impl IntoIterator<Item = Publication>) {
        let messages: Vec<_> = messages.into_iter().map(|message| message.to("", &*self.queue.name).mandatory()).collect();
        self.stage.send(&messages).unwrap();
        self.until_ready(messages.len());
    }

    #[track_caller]
    fn until_ready(&self, count: usize) {
        let name = &self.queue.name;
        self.stage.until(&format!("`{name}` has {count} messages"), || self.stage.ready(name) as usize == count);
    }

    /// What is on the queue, taken.
    fn bodies(&self, count: usize) -> Vec<String> {
        let text = |message: Message| String::from_utf8_lossy(message.body()).into_owned();
        self.stage.take(&self.queue.name, count).into_iter().map(text).collect()
    }
}

/// A message as the worker archives it.
fn given_up(body: &str, reason: &str) -> Publication {
    given_up_ago(body, reason, 60)
}

fn given_up_ago(body: &str, reason: &str, seconds: u64) -> Publication {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut publication = Publication::new("", "", body);
    let properties = publication.properties.clone();
    publication.properties = properties
        .header("x-bootstep-reason", reason)
        .header("x-bootstep-first-failed", Value::Timestamp(now - seconds))
        .header("x-bootstep-retries", 2)
        .header("x-bootstep-exchange", "shop")
        .header("x-bootstep-routing-key", "order.paid")
        .header("x-bootstep-queue", "orders");
    publication
}
