//! One trial: one consumer, one publisher, one rate; with the proxy between consumer and broker, or without.

use super::address::Address;
use super::proxy::Proxy;
use super::samples::{self, Sample};
use super::subject::{publisher_command, Subject};
use super::{PREFETCH, QUEUE};
use crate::broker::wait::eventually;
use crate::process::Running;
use bootstep::{Connection, Queue};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Where trials are held.
pub struct Field {
    pub broker: Address,
    pub connection: Connection,
    /// Where consumers write theirs.
    pub samples: PathBuf,
}

/// How fast the publisher is.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as the messages are taken, while the queue stays short.
    AtWill,
    PerSecond(u64),
}

/// What came of one.
pub struct Trial {
    /// How long handlers took to begin.
    pub starts: Vec<Sample>,
    /// How long acks took to pass, where there was a proxy to see them.
    pub acks: Vec<Sample>,
    /// Of all messages, those that the publisher sent more than 10 ms after their time.
    pub late_share: f64,
}

impl Trial {
    /// How long after the last message was to be sent the last one was handled.
    pub fn behind_seconds(&self) -> f64 {
        let planned = self.starts.iter().map(|sample| sample.stamp).max().unwrap_or(0);
        let handled = self.starts.iter().map(|sample| sample.stamp + sample.took).max().unwrap_or(0);
        (handled - planned) as f64 / 1e9
    }
}

impl Field {
    /// A trial without the proxy, which only acks need.
    pub fn without_proxy(&self, subject: &Subject, pace: Pace, messages: usize) -> Trial {
        self.hold(subject, &self.broker, pace, messages)
    }

    pub fn with_proxy(&self, subject: &Subject, pace: Pace, messages: usize) -> Trial {
        let proxy = Proxy::to(&self.broker);
        let trial = self.hold(subject, &self.broker.behind(proxy.port()), pace, messages);
        let acks = proxy.finish();
        assert_eq!(acks.len(), messages, "`{}` acked all messages, once each", subject.name);
        Trial { acks, ..trial }
    }

    fn hold(&self, subject: &Subject, broker: &Address, pace: Pace, messages: usize) -> Trial {
        let _ = std::fs::remove_file(&self.samples);
        let consumer = start(self.consumer(subject, broker, messages));
        eventually("the consumer consumes", SOON, || self.queue().1 == 1);
        let publisher = start(publisher(&self.broker, pace, messages));
        let said = publisher.answer().unwrap_or_else(|err| panic!("the publisher: {err}"));
        consumer.answer().unwrap_or_else(|err| panic!("`{}`: {err}", subject.name));
        eventually("the consumer is gone", SOON, || self.queue().1 == 0);
        assert_eq!(self.queue().0, 0, "`{}` left nothing on the queue", subject.name);
        let starts = samples::read(&self.samples);
        assert_eq!(starts.len(), messages, "`{}` handled all messages, once each", subject.name);
        Trial { starts, acks: Vec::new(), late_share: said.trim().parse().expect("the publisher says one number") }
    }

    /// Ready messages and consumers.
    fn queue(&self) -> (u32, u32) {
        let status = self.connection.declare_queue(&Queue::existing(QUEUE)).expect("the queue is there");
        (status.messages, status.consumers)
    }

    fn consumer(&self, subject: &Subject, broker: &Address, messages: usize) -> Command {
        let mut command = subject.command();
        command.env("BENCH_PREFETCH", PREFETCH.to_string()).env("BENCH_SAMPLES", &self.samples);
        told_where(command, broker, messages)
    }
}

fn publisher(broker: &Address, pace: Pace, messages: usize) -> Command {
    let mut command = publisher_command();
    match pace {
        Pace::AtWill => command.env_remove("BENCH_RATE"),
        Pace::PerSecond(rate) => command.env("BENCH_RATE", rate.to_string()),
    };
    told_where(command, broker, messages)
}

fn told_where(mut command: Command, broker: &Address, messages: usize) -> Command {
    command.env("AMQP_URL", broker.to_string()).env("BENCH_QUEUES", QUEUE).env("BENCH_MESSAGES", messages.to_string());
    command
}

fn start(command: Command) -> Running {
    Running::start(command).unwrap_or_else(|err| panic!("{err}"))
}
