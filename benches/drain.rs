//! Drains 100,000 small JSON messages through a typed handler that does nothing, side by side with a bare amiquip loop that
//! parses the same JSON and acks each message; prints rates, their ratio, CPU seconds and peak memory per 100,000.
//!
//! `AMQP_URL=amqp://… cargo bench` measures on RabbitMQ; without it, only the memory broker. `BENCH_ROUNDS` (5) and
//! `BENCH_MESSAGES` (100000) change the size. Each contender runs in a process of its own, in turns, so that memory and CPU are
//! its own and a machine that gets busy is busy for all.

use bootstep::{
    BoxError, Broker, Clock, Consumer, Json, MemoryBroker, Message, Outcome, Properties, Publication, Queue, Worker,
};
use serde::Deserialize;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUEUE: &str = "bootstep.bench.drain";
const PREFETCH: u16 = 100;

#[derive(Deserialize)]
#[allow(dead_code)]
struct Order {
    id: u64,
    customer: String,
    items: Vec<u32>,
    note: String,
}

fn main() {
    let contender = std::env::var("BENCH_CONTENDER").ok();
    match contender.as_deref() {
        Some("bare") => report(bare),
        Some("worker") => report(|| worker(false)),
        Some("worker-inline") => report(|| worker(true)),
        Some("memory") => report(|| memory(false)),
        Some("memory-inline") => report(|| memory(true)),
        Some(other) => panic!("there is no contender `{other}`"),
        None => compare(),
    }
}

fn messages() -> usize {
    std::env::var("BENCH_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

fn url() -> String {
    std::env::var("AMQP_URL").expect("AMQP_URL names the broker")
}

/// About 100 bytes of JSON.
fn body(id: usize) -> Vec<u8> {
    format!(r#"{{"id":{id:>8},"customer":"c-{:>6}","items":[11,22,33,44],"note":"leave it at the door, thank you"}}"#, id % 999)
        .into_bytes()
}

fn compare() {
    let rounds: usize = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let on_rabbitmq = std::env::var_os("AMQP_URL").is_some();
    let contenders: &[&str] = if on_rabbitmq {
        &["bare", "worker", "worker-inline", "memory", "memory-inline"]
    } else {
        &["memory", "memory-inline"]
    };
    if !on_rabbitmq {
        println!("AMQP_URL is not set: only the memory broker is measured");
    }
    println!("{} messages of {} bytes, prefetch {PREFETCH}, {rounds} rounds, the median of each", messages(), body(0).len());
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        contenders.iter().zip(&mut runs).for_each(|(contender, runs)| runs.push(run_apart(contender)));
    }
    runs.iter_mut().for_each(|runs| runs.sort_by(|one, other| one.rate.total_cmp(&other.rate)));
    let bare = middle(&runs[0]).rate;
    println!(
        "{:<15} {:>12} {:>19} {:>6} {:>14} {:>9}",
        "", "messages/s", "slowest to fastest", "ratio", "CPU s/100,000", "peak MiB"
    );
    for (contender, runs) in contenders.iter().zip(&runs) {
        let run = middle(runs);
        let spread = format!("{:.0} to {:.0}", runs[0].rate, runs[runs.len() - 1].rate);
        let ratio = match contender.starts_with("memory") {
            true => "-".into(),
            false => format!("{:.2}", run.rate / bare),
        };
        println!("{contender:<15} {:>12.0} {spread:>19} {ratio:>6} {:>14.2} {:>9.1}", run.rate, run.cpu_seconds, run.peak_mib);
    }
}

fn middle(runs: &[Run]) -> &Run {
    &runs[runs.len() / 2]
}

struct Run {
    rate: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

fn run_apart(contender: &str) -> Run {
    if !contender.starts_with("memory") {
        fill();
    }
    let this = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(this).env("BENCH_CONTENDER", contender).output().expect("this program can be run again");
    assert!(output.status.success(), "{contender}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [rate, cpu_seconds, peak_mib] = numbers[..] else { panic!("{contender} printed {text:?}") };
    Run { rate, cpu_seconds, peak_mib }
}

fn fill() {
    let connection = Broker::amqp(&url()).and_then(|broker| broker.connect("bench")).expect("the broker answers");
    connection.declare_queue(&Queue::new(QUEUE)).expect("the bench may declare its queue");
    connection.purge_queue(QUEUE).expect("the bench may purge its queue");
    let properties = Properties::persistent("application/json");
    let publications: Vec<_> =
        (0..messages()).map(|id| Publication::new("", QUEUE, body(id)).with(properties.clone())).collect();
    for some in publications.chunks(5_000) {
        connection.publish(some, Duration::from_secs(60)).expect("the broker takes the bench's messages");
    }
}

/// Runs a contender and prints rate, CPU seconds per 100,000 and peak memory.
fn report(run: impl FnOnce() -> Duration) {
    let cpu_before = cpu_seconds();
    let took = run();
    let cpu = (cpu_seconds() - cpu_before) * 100_000.0 / messages() as f64;
    println!("{} {} {}", messages() as f64 / took.as_secs_f64(), cpu, peak_mib());
}

fn bare() -> Duration {
    let mut connection = amiquip::Connection::insecure_open(&url()).expect("the broker answers");
    let channel = connection.open_channel(None).expect("a channel");
    channel.qos(0, PREFETCH, false).expect("a prefetch");
    let consumer = channel.basic_consume(QUEUE, amiquip::ConsumerOptions::default()).expect("a consumer");
    let began = Instant::now();
    for _ in 0..messages() {
        match consumer.receiver().recv().expect("the connection lives") {
            amiquip::ConsumerMessage::Delivery(delivery) => {
                let _: Order = serde_json::from_slice(&delivery.body).expect("this is the bench's JSON");
                consumer.ack(delivery).expect("the connection lives");
            }
            other => panic!("{other:?}"),
        }
    }
    // A barrier: an answered call says that the acks before it have arrived.
    channel.qos(0, PREFETCH, false).expect("the connection lives");
    began.elapsed()
}

fn worker(on_intake_thread: bool) -> Duration {
    let broker = Broker::amqp(&url()).expect("a good URL");
    let took = drain(broker.clone(), on_intake_thread);
    let connection = broker.connect("bench").expect("the broker answers");
    let left = connection.declare_queue(&Queue::existing(QUEUE)).expect("the queue is there").messages;
    assert_eq!(left, 0, "none is left on the queue");
    took
}

fn memory(on_intake_thread: bool) -> Duration {
    let memory = MemoryBroker::with_clock(Clock::system());
    memory.declare_queue(&Queue::new(QUEUE)).expect("the memory broker takes a queue");
    let properties = Properties::persistent("application/json");
    for id in 0..messages() {
        memory.publish(Publication::new("", QUEUE, body(id)).with(properties.clone())).expect("the queue takes all");
    }
    drain(Broker::from(&memory), on_intake_thread)
}

fn drain(broker: Broker, on_intake_thread: bool) -> Duration {
    let handled = Arc::new(AtomicUsize::new(0));
    let (all, done) = std::sync::mpsc::sync_channel(1);
    let (wanted, count) = (messages(), handled.clone());
    let mut consumer = Consumer::new(QUEUE, move |_order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == wanted {
            let _ = all.try_send(());
        }
        Ok(Outcome::Ack)
    })
    .prefetch(PREFETCH);
    if on_intake_thread {
        consumer = consumer.on_intake_thread();
    }
    let mut worker = Worker::new(broker);
    worker.steps.add(consumer);
    let began = Instant::now();
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(Duration::from_secs(120)).expect("all messages are handled");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    let took = began.elapsed();
    assert_eq!(handled.load(Ordering::Relaxed), wanted, "each message is handled once");
    took
}

/// User and system time of this process, from /proc; 0 where there is none.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    // Linux counts in hundredths of a second on every common machine.
    ticks / 100.0
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
