//! A whole worker on RabbitMQ under callgrind: what a message costs, by thread, by crate, and who allocates.

use crate::callgrind::watch;
use crate::cases::{body, Order};
use crate::profile::Profile;
use bootstep::{BoxError, Broker, Connection, Consumer, Json, Message, Outcome, Properties, Publication, Queue, Worker};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const QUEUE: &str = "bootstep.bench.micro";
const MESSAGES: usize = 20_000;
/// Of those who allocate, the first.
const SHOWN: usize = 12;

/// What runs in the process that callgrind watches.
pub fn named(name: &str) -> Option<fn(usize)> {
    match name {
        "worker on the pool" => Some(|times| drain(times, false)),
        "worker on the intake thread" => Some(|times| drain(times, true)),
        _ => None,
    }
}

/// Counts both.
pub fn count() {
    for name in ["worker on the pool", "worker on the intake thread"] {
        let [once, twice] = [MESSAGES, 2 * MESSAGES].map(|messages| watched(name, messages));
        println!("\n## {name}, for each message\n");
        for (thread, (twice, once)) in twice.iter().filter_map(|(thread, twice)| Some((thread, (twice, once.get(thread)?)))) {
            let own = difference(&twice.own, &once.own);
            let allocations = (twice.allocations() as f64 - once.allocations() as f64) / MESSAGES as f64;
            println!("{thread}: {:.0} instructions, {allocations:.2} allocations", own.values().sum::<f64>());
            print_by_crate(&own);
            print_sites(&difference(&twice.calls, &once.calls));
        }
    }
    connection().delete_queue(QUEUE).expect("the bench may delete its queue");
}

fn watched(name: &str, messages: usize) -> BTreeMap<&'static str, Profile> {
    fill(messages);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut threads = BTreeMap::<_, Profile>::new();
    let with_callers = ["malloc", "calloc", "realloc"].map(|name| format!("--separate-callers7={name}"));
    let options: Vec<&str> = with_callers.iter().map(String::as_str).chain(["--separate-threads=yes"]).collect();
    for path in watch(name, messages, folder.path(), &options) {
        let profile = Profile::read(&path);
        let thread = threads.entry(role(&profile)).or_default();
        profile.own.into_iter().for_each(|(name, cost)| *thread.own.entry(name).or_default() += cost);
        profile.calls.into_iter().for_each(|(edge, count)| *thread.calls.entry(edge).or_default() += count);
    }
    threads
}

/// Callgrind does not tell threads' names; what they run most does. A thread's number may have been that of another one before.
fn role(profile: &Profile) -> &'static str {
    let cost_of = |part: &str| profile.own.iter().filter(|(name, _)| name.contains(part)).map(|(_, cost)| cost).sum::<u64>();
    let roles = [
        (cost_of("io_loop::connection_state"), "amiquip's thread"),
        (cost_of("intake::desk"), "the intake"),
        (cost_of("threadpool::"), "the pool"),
    ];
    let most = roles.into_iter().max_by_key(|(cost, _)| *cost).filter(|(cost, _)| *cost > 100_000);
    most.map_or("all other threads", |(_, role)| role)
}

fn difference<K: Clone + Eq + std::hash::Hash>(twice: &HashMap<K, u64>, once: &HashMap<K, u64>) -> HashMap<K, f64> {
    let each = |(key, count): (&K, &u64)| {
        let more = *count as f64 - once.get(key).copied().unwrap_or(0) as f64;
        (key.clone(), more / MESSAGES as f64)
    };
    twice.iter().map(each).collect()
}

fn print_by_crate(own: &HashMap<String, f64>) {
    let mut by_crate = BTreeMap::<&str, f64>::new();
    own.iter().for_each(|(name, cost)| *by_crate.entry(crate_of(name)).or_default() += cost);
    let mut by_crate: Vec<_> = by_crate.into_iter().filter(|(_, cost)| *cost >= 1.0).collect();
    by_crate.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    by_crate.iter().for_each(|(name, cost)| println!("    {cost:>8.0}  {name}"));
}

/// Whose code a function is; what was inlined counts as that of the function around it.
fn crate_of(function: &str) -> &'static str {
    const CRATES: [(&str, &str); 12] = [
        ("transport::amqp::wire", "bootstep's screen"),
        ("bootstep::", "bootstep"),
        ("amq", "amiquip and its protocol"),
        ("amiquip::", "amiquip and its protocol"),
        ("input_buffer", "amiquip and its protocol"),
        ("mio", "amiquip and its protocol"),
        ("serde", "serde"),
        ("crossbeam", "crossbeam"),
        ("micro::", "the handler"),
        ("__rust_", "the allocator"),
        ("__rdl_", "the allocator"),
        ("::", "std"),
    ];
    // What follows are its callers.
    let name = function.split('\'').next().unwrap_or(function);
    let allocator = ["malloc", "free", "calloc", "realloc", "unlink_chunk", "int_realloc"];
    match CRATES.iter().find(|(part, _)| name.contains(part)) {
        Some((_, owner)) => owner,
        None if allocator.iter().any(|part| name.contains(part)) => "the allocator",
        None if name.contains("mem") => "copying and clearing memory",
        None => "the rest of the C library",
    }
}

fn print_sites(calls: &HashMap<(String, String), f64>) {
    let mut sites = HashMap::<&str, f64>::new();
    for ((_, callee), count) in calls {
        if let Some(site) = site_of(callee) {
            *sites.entry(site).or_default() += count;
        }
    }
    let mut sites: Vec<_> = sites.into_iter().filter(|(_, count)| *count >= 0.01).collect();
    sites.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    sites.iter().take(SHOWN).for_each(|(site, count)| println!("    {count:>8.2}  allocations in {site}"));
}

/// The first of those who led to an allocation that is no collection's own business.
fn site_of(callee: &str) -> Option<&str> {
    let mut chain = callee.split('\'');
    chain.next().filter(|name| ["malloc", "calloc", "realloc"].contains(name))?;
    let is_inside = |name: &&str| ["__r", "alloc::", "<alloc::", "<core::"].iter().any(|part| name.starts_with(part));
    chain.find(|name| !is_inside(name))
}

fn connection() -> Connection {
    broker().connect("bench").expect("the broker answers")
}

fn broker() -> Broker {
    Broker::amqp(&std::env::var("AMQP_URL").expect("AMQP_URL names the broker")).expect("a good URL")
}

fn fill(messages: usize) {
    let connection = connection();
    connection.declare_queue(&Queue::new(QUEUE)).expect("the bench may declare its queue");
    connection.purge_queue(QUEUE).expect("the bench may purge its queue");
    let properties = Properties::persistent("application/json");
    let publications: Vec<_> = (0..messages).map(|id| Publication::new("", QUEUE, body(id)).with(properties.clone())).collect();
    for some in publications.chunks(5_000) {
        connection.publish(some, Duration::from_secs(60)).expect("the broker takes the bench's messages");
    }
}

fn drain(messages: usize, on_intake_thread: bool) {
    let (all, done) = std::sync::mpsc::sync_channel(1);
    let handled = AtomicUsize::new(0);
    let mut consumer = Consumer::new(QUEUE, move |_order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        if handled.fetch_add(1, Ordering::Relaxed) + 1 == messages {
            let _ = all.try_send(());
        }
        Ok(Outcome::Ack)
    })
    .prefetch(100);
    if on_intake_thread {
        consumer = consumer.on_intake_thread();
    }
    let mut worker = Worker::new(broker());
    worker.steps.add(consumer);
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(Duration::from_secs(300)).expect("all messages are handled");
    assert_eq!(running.stop(), 0, "everything is settled");
}
