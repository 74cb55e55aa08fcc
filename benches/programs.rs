//! Messages through programs, side by side with the least that could do the same: a persistent child that is written a line and
//! replies with one (the handler alone, and a worker), and a program that is started for each message.
//!
//! `cargo bench --features programs --bench programs`; with `AMQP_URL` the workers drain RabbitMQ, without it the memory broker. A pipe
//! takes far more than RabbitMQ delivers, so only the memory broker shows what the handler costs; and its threads need processors that
//! are free: a bare pair of processes shares one, whatever else runs.
//! `BENCH_ROUNDS` (5), `BENCH_MESSAGES` (100000; a fiftieth of it is forked) and `BENCH_THREADS` (2), which is also the number of
//! children, change the size. Each contender runs in a process of its own, in turns.

use bootstep::handlers::Program;
use bootstep::steps::SpawnPool;
use bootstep::{BoxError, Handler};
use bootstep::{Broker, Clock, Consumer, MemoryBroker, Message, Outcome, Properties, Publication, Queue, Worker};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, SyncSender};
use std::time::{Duration, Instant};
use support::{body, compare, messages, url, Contender};

mod support;

const QUEUE: &str = "bootstep.bench.programs";
/// Enough for two threads at some ten microseconds a message, while acks go together and up to two milliseconds late.
const PREFETCH: u16 = 500;

/// The argument that makes this program the persistent child.
const CHILD: &str = "reply-to-each-line";

/// A program that reads its input, writes nothing, and is there everywhere.
const FORKED: [&str; 3] = ["grep", "--quiet", "customer"];

fn main() {
    if std::env::args().any(|argument| argument == CHILD) {
        return reply_to_each_line();
    }
    let pipes = [
        contender("bare-pipe", bare_pipe),
        contender("handler-alone", handler_alone),
        contender("persistent", || drain(child().persistent())),
    ];
    let forks = [contender("bare-fork", bare_fork), contender("forked", || drain(Program::new(FORKED)))];
    match std::env::var("BENCH_CONTENDER") {
        Ok(name) if forks.iter().any(|fork| fork.name == name) => compare(&forks),
        Ok(_) => compare(&pipes),
        Err(_) => {
            compare(&pipes);
            std::env::set_var("BENCH_MESSAGES", (messages() / 50).to_string());
            compare(&forks);
        }
    }
}

fn contender(name: &'static str, run: fn() -> Duration) -> Contender {
    Contender { name, run, prepare: || {}, is_compared: true }
}

fn threads() -> usize {
    std::env::var("BENCH_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn child() -> Program {
    Program::new([std::env::current_exe().expect("a running program has a path").into_os_string(), CHILD.into()])
}

fn reply_to_each_line() {
    let (mut input, mut output, mut line) = (std::io::stdin().lock(), std::io::stdout().lock(), Vec::new());
    while input.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        output.write_all(b"ack\n").expect("somebody reads");
        line.clear();
    }
}

/// As many threads as children, each writing a line and waiting for the reply.
fn bare_pipe() -> Duration {
    let lines: Vec<String> = (0..1_000).map(line).collect();
    side_by_side(|next| {
        let this = std::env::current_exe().expect("a running program has a path");
        let mut child = Command::new(this).arg(CHILD).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut input = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut reply = String::new();
        while let Some(id) = next() {
            input.write_all(lines[id % lines.len()].as_bytes()).expect("the child reads");
            reply.clear();
            output.read_line(&mut reply).expect("the child replies");
            assert_eq!(reply, "ack\n");
        }
        drop(input);
        child.wait().expect("a child can be waited for");
    })
}

/// What the handler writes for a message.
fn line(id: usize) -> String {
    let body = String::from_utf8(body(id)).expect("it is text");
    let properties = serde_json::json!({"content_type": "application/json", "delivery_mode": 2});
    let message = serde_json::json!({
        "queue": QUEUE, "exchange": "", "routing_key": QUEUE, "redelivered": false, "attempt": 1, "number": id,
        "properties": properties, "body": body,
    });
    format!("{message}\n")
}

fn bare_fork() -> Duration {
    side_by_side(|next| {
        while let Some(id) = next() {
            let mut command = Command::new(FORKED[0]);
            let mut child = command.args(&FORKED[1..]).stdin(Stdio::piped()).spawn().expect("it starts");
            let written = child.stdin.take().expect("it is piped").write_all(&body(id));
            assert!(written.is_ok() && child.wait().expect("a child can be waited for").success());
        }
    })
}

/// The handler without a worker around it.
fn handler_alone() -> Duration {
    let program = child().persistent();
    let properties = Properties::persistent("application/json");
    let message = Message::from_publication(Publication::new("", QUEUE, body(0)).with(properties));
    side_by_side(|next| {
        while next().is_some() {
            assert!(matches!(program.handle((), &message), Ok(Outcome::Ack)));
        }
    })
}

/// Shares all messages among the threads.
fn side_by_side(work: impl Fn(&dyn Fn() -> Option<usize>) + Sync) -> Duration {
    let (count, wanted) = (AtomicUsize::new(0), messages());
    let next = || Some(count.fetch_add(1, Ordering::Relaxed)).filter(|id| *id < wanted);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| work(&next));
        }
    });
    began.elapsed()
}

/// Says when the last message is handled.
struct Counting {
    program: Program,
    count: AtomicUsize,
    wanted: usize,
    all: SyncSender<()>,
}

impl Handler for Counting {
    type Body = ();
    fn handle(&self, (): (), message: &Message) -> Result<Outcome, BoxError> {
        let outcome = self.program.handle((), message)?;
        assert_eq!(outcome, Outcome::Ack);
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            let _ = self.all.try_send(());
        }
        Ok(outcome)
    }
}

fn drain(program: Program) -> Duration {
    let broker = filled();
    let (all, done) = sync_channel(1);
    let mut worker = Worker::new(broker);
    let counting = Counting { program, count: AtomicUsize::new(0), wanted: messages(), all };
    worker.steps.replace(SpawnPool::of(threads())).add(Consumer::handled_by(QUEUE, counting).prefetch(PREFETCH));
    let began = Instant::now();
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(Duration::from_secs(300)).expect("all messages are handled");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    began.elapsed()
}

fn filled() -> Broker {
    let properties = Properties::persistent("application/json");
    let publications = (0..messages()).map(|id| Publication::new("", QUEUE, body(id)).with(properties.clone()));
    if std::env::var_os("AMQP_URL").is_none() {
        let memory = MemoryBroker::with_clock(Clock::system());
        memory.declare_queue(&Queue::new(QUEUE)).expect("the memory broker takes a queue");
        publications.for_each(|publication| memory.publish(publication).expect("the queue takes all"));
        return Broker::from(&memory);
    }
    let broker = Broker::amqp(&url()).expect("a good URL");
    let connection = broker.connect("bench").expect("the broker answers");
    connection.declare_queue(&Queue::new(QUEUE)).expect("the bench may declare its queue");
    connection.purge_queue(QUEUE).expect("the bench may purge its queue");
    for some in publications.collect::<Vec<_>>().chunks(5_000) {
        connection.publish(some, Duration::from_secs(60)).expect("the broker takes the bench's messages");
    }
    broker
}
