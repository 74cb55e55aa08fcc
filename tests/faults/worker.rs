//! A worker process: the product as a user runs it, with a handler that acts out each number's fate and leaves evidence.

use crate::evidence::{Book, Deed};
use crate::fate::{draw, Fate};
use crate::settings::{Mix, Settings};
use crate::support::pass;
use bootstep::{steps, BoxError, Broker, Consumer, DecodeError, Handler, Json, Message, Outcome, Worker};
use serde::Deserialize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Deserialize)]
struct Work {
    number: u64,
}

struct Act {
    settings: Settings,
    book: Arc<Book>,
}

/// The process's whole life.
pub fn run(settings: Settings) -> ExitCode {
    let broker = Broker::amqp(&settings.url).expect("the suite writes good URLs");
    let book = Arc::new(Book::open(&settings.evidence).expect("the run's folder can be written"));
    let mut worker = Worker::new(broker).drain_within(Duration::from_millis(settings.drain_ms));
    worker.steps.replace(steps::SpawnPool::of(settings.threads));
    if let Some((_, dead)) = settings.dead_letters_of_broker() {
        worker.steps.replace(steps::DeclareDeadLetters::default().queue(dead));
    }
    worker.steps.add(consumer(settings, book));
    worker.run()
}

fn consumer(settings: Settings, book: Arc<Book>) -> Consumer {
    let undecodable = book.clone();
    let dead = settings.dead_letters_of_broker();
    let (queue, policy, prefetch) = (settings.main_queue(), settings.policy(), settings.prefetch);
    let layout = settings.retry_layout();
    let consumer = Consumer::handled_by(queue, Act { settings, book })
        .retry(policy)
        .retry_layout(layout)
        .prefetch(prefetch)
        .on_decode_error(move |error: &DecodeError, message: &Message| reject(&undecodable, error, message));
    match dead {
        Some((exchange, _)) => consumer.exchange(exchange),
        None => consumer,
    }
}

fn reject(book: &Book, error: &DecodeError, message: &Message) -> Outcome {
    let number = message.properties().message_id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(u64::MAX);
    book.note(number, message.attempt(), Deed::Rejected, message.is_redelivered()).expect("evidence can be written");
    Outcome::reject(error)
}

impl Handler for Act {
    type Body = Json<Work>;

    fn handle(&self, work: Json<Work>, message: &Message) -> Result<Outcome, BoxError> {
        self.wait_for_gate();
        let fate = Fate::of(&self.settings, work.number);
        self.take_time(fate, work.number);
        let attempt = message.attempt();
        let note = |deed| self.book.note(work.number, attempt, deed, message.is_redelivered());
        if attempt <= fate.failures(&self.settings) {
            note(Deed::Failed)?;
            return fail(fate);
        }
        let outcome = match fate {
            Fate::Archive => note(Deed::Archived).map(|()| Outcome::archive("as it should be"))?,
            Fate::LongArchive => note(Deed::Archived).map(|()| Outcome::archive(long_words()))?,
            Fate::Reject => note(Deed::Rejected).map(|()| Outcome::reject("as it should be"))?,
            Fate::Requeue if !message.is_redelivered() => note(Deed::Requeued).map(|()| Outcome::Requeue)?,
            Fate::Publish => {
                message.publish("", self.settings.published(), work.number.to_string());
                note(Deed::Done).map(|()| Outcome::Ack)?
            }
            _ => note(Deed::Done).map(|()| Outcome::Ack)?,
        };
        Ok(outcome)
    }
}

fn fail(fate: Fate) -> Result<Outcome, BoxError> {
    match fate {
        Fate::Panic => panic!("as it should be"),
        Fate::LongError => Err(long_words().into()),
        Fate::WaitLong => Ok(Outcome::retry("as it should be").after(Duration::from_secs(u64::from(u32::MAX)))),
        _ => Err("as it should be".into()),
    }
}

fn long_words() -> String {
    "no, ".repeat(50_000)
}

impl Act {
    fn take_time(&self, fate: Fate, number: u64) {
        let taken_ms = match fate {
            Fate::Hang => 20 + draw(self.settings.seed, number, 300),
            Fate::Overrun => self.settings.drain_ms + 500,
            _ if self.settings.mix == Mix::OutOfOrder => draw(self.settings.seed, number, 4),
            _ => 0,
        };
        if taken_ms > 0 {
            pass(Duration::from_millis(taken_ms));
        }
    }

    fn wait_for_gate(&self) {
        if let Some(gate) = &self.settings.gate {
            while !gate.exists() {
                pass(Duration::from_millis(10));
            }
        }
    }
}
