//! Where a case is played: a virtual host and a folder of its own, programs and workers on it, and looks at its queues.

use crate::broker::{declared, virtual_host, Declared};
use crate::environment::Environment;
use crate::evidence::Evidence;
use crate::program::Program;
use crate::support::node::Node;
use crate::support::wait::{eventually, holds_within};
use bootstep::{steps, Broker, Connection, Message, Publication, Queue, Running, Step, Worker};
use serde_json::Value;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for anything that is going to happen at all, on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

pub struct Stage<'a> {
    pub environment: &'a Environment,
    pub evidence: Evidence,
    pub broker: Broker,
    pub connection: Connection,
    pub url: String,
    pub folder: PathBuf,
    node: &'a Node,
    vhost: String,
    programs: Cell<u32>,
}

impl<'a> Stage<'a> {
    pub fn set(node: &'a Node, environment: &'a Environment, folder: &Path) -> Stage<'a> {
        fs::create_dir_all(folder).expect("the temporary folder can be written");
        let vhost = folder.file_name().expect("a case's folder has a name").to_string_lossy().into_owned();
        let url = virtual_host(node, &vhost);
        let broker = Broker::amqp(&url).expect("the node's URL is one");
        let connection = broker.connect("interop").expect("the node answers");
        let evidence = Evidence::at(folder.join("evidence"));
        let folder = folder.to_owned();
        Stage { environment, evidence, broker, connection, url, folder, node, vhost, programs: Cell::new(0) }
    }

    /// The same once more, with nothing declared and nothing told.
    pub fn afresh(&self, name: &str) -> Stage<'a> {
        Stage::set(self.node, self.environment, &self.folder.with_file_name(format!("{}-{name}", self.vhost)))
    }

    /// This starts a Python program of the environment with arguments, variables and a plan.
    pub fn python(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)], plan: &Value) -> Program {
        let program = self.environment.program(program);
        let mut command = Program::command(&program, &self.url, self.evidence.path(), plan, &self.folder);
        command.args(arguments).envs(variables.iter().copied());
        self.programs.set(self.programs.get() + 1);
        Program::start(&mut command, self.folder.join(format!("log-{}", self.programs.get())))
    }

    /// A celery worker on this application.
    pub fn celery(&self, application: &str, variables: &[(&str, &str)], plan: &Value) -> Program {
        let alone = ["--without-mingle", "--without-gossip", "--without-heartbeat"];
        // One thread, and in this process: what is interesting happens on the broker.
        let arguments = ["-A", application, "worker", "-P", "solo", "-l", "INFO", "-n", "interop@localhost"];
        self.python("celery", &[&arguments[..], &alone].concat(), variables, plan)
    }

    /// A worker with this step, booted.
    #[track_caller]
    pub fn worker(&self, step: impl Step) -> Running {
        let mut worker = Worker::new(self.broker.clone());
        worker.steps.add(step);
        self.boot(worker)
    }

    /// This boots a worker, and leaves Ctrl-C to the suite.
    #[track_caller]
    pub fn boot(&self, mut worker: Worker) -> Running {
        worker.steps.remove(steps::HandleSignals::NAME);
        worker.drain_within(SOON).start().unwrap_or_else(|err| panic!("the bootstep worker did not start: {err}"))
    }

    /// Waits until a program consumes these queues, besides how many do already.
    #[track_caller]
    pub fn consumes(&self, program: &mut Program, queues: &[&str], before: u32) {
        let is_consumed = |queue: &&str| self.status(queue).is_some_and(|(_, consumers)| consumers > before);
        let ready = holds_within(SOON, || !program.is_running() || queues.iter().all(is_consumed));
        assert!(ready && program.is_running(), "Python does not consume {queues:?}: {}", program.said());
    }

    /// Ready messages and consumers, if there is such a queue.
    pub fn status(&self, queue: &str) -> Option<(u32, u32)> {
        let status = self.connection.declare_queue(&Queue::existing(queue)).ok()?;
        Some((status.messages, status.consumers))
    }

    pub fn ready(&self, queue: &str) -> u32 {
        self.status(queue).map_or(0, |(messages, _)| messages)
    }

    #[track_caller]
    pub fn send(&self, publications: &[Publication]) {
        self.connection.publish(publications, SOON).unwrap_or_else(|err| panic!("it could not be published: {err}"));
    }

    /// A value in JSON to a queue, as Python's producers send it.
    #[track_caller]
    pub fn send_json(&self, exchange: &str, key: &str, bodies: impl IntoIterator<Item = Value>) {
        let json = |body: Value| Publication::new(exchange, key, body.to_string()).content_type("application/json").mandatory();
        self.send(&bodies.into_iter().map(json).collect::<Vec<_>>());
    }

    #[track_caller]
    pub fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        eventually(what, SOON, condition);
    }

    /// Waits until a queue has so many messages, and takes them.
    #[track_caller]
    pub fn take(&self, queue: &str, count: usize) -> Vec<Message> {
        let mut ready = 0;
        let there = holds_within(SOON, || {
            ready = self.ready(queue) as usize;
            ready == count
        });
        assert!(there, "`{queue}` has {ready} messages, and should have {count}");
        let taken = self.connection.consume(queue, 200, |inbox| {
            let mut taken = Vec::new();
            while taken.len() < count {
                let letter = inbox.next(SOON).expect("the broker is there").expect("the message is ready");
                inbox.ack(letter.tag).expect("the broker is there");
                taken.push(letter.message);
            }
            taken
        });
        taken.unwrap_or_else(|err| panic!("`{queue}` could not be read: {err}"))
    }

    /// All that is declared here.
    pub fn declared(&self) -> Declared {
        declared(self.node, &self.vhost)
    }
}
