//! The order in which steps are called, event by event, beside what Celery's two blueprints do; what differs, differs on purpose and is
//! told in `docs/coming-from/celery-bootsteps.md`.

use crate::support::listed::stage_to_list;
use crate::support::node::shared_node;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::steps::{Connect, SpawnPool};
use bootstep::{Blueprint, BoxError, Consumer, Context, Error, Fault, Message, Outcome, Step, Steps, Stop, Worker};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};

crate::on_both!(
    a_start_calls_start_forward_and_a_warm_stop_calls_stop_once_in_reverse,
    a_cold_stop_stops_the_same_steps_without_waiting,
    an_error_in_a_start_stops_what_has_started_and_nothing_else,
    a_lost_connection_in_a_start_at_boot_is_tried_again_and_stops_nothing,
    an_error_in_a_stop_keeps_no_other_step_from_stopping,
);

type Story = Arc<Mutex<Vec<String>>>;

/// A step that writes down its calls, and what it was made with.
#[derive(Default)]
struct Told {
    name: &'static str,
    requires: &'static [&'static str],
    story: Story,
    /// The starts that fail, with this.
    fails: Vec<fn() -> Error>,
    panics_at_stop: bool,
    starts: u32,
}

impl Step for Told {
    fn name(&self) -> Cow<'_, str> {
        self.name.into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        self.requires.iter().map(|name| (*name).into()).collect()
    }

    fn start(&mut self, _ctx: &mut Context) -> Result<(), BoxError> {
        self.starts += 1;
        self.story.lock().unwrap().push(format!("{}.start {}", self.name, self.starts));
        self.fails.pop().map_or(Ok(()), |fail| Err(fail().into()))
    }

    fn stop(&mut self, _ctx: &mut Context, stop: Stop) {
        let why = match stop {
            Stop::Restart => "restart",
            Stop::Drain { .. } => "drain",
            _ => "now",
        };
        self.story.lock().unwrap().push(format!("{}.stop {why}", self.name));
        assert!(!self.panics_at_stop, "the door is stuck");
    }
}

/// As Celery has a worker step (`timer`) beside the pool, and consumer steps (`feed`, and `tap` upon it) upon the connection.
fn worker(stage: &Stage, story: &Story) -> (Worker, [Told; 3]) {
    let told = |name, requires| Told { name, requires, story: story.clone(), ..Told::default() };
    (Worker::new(stage.broker.clone()), [told("timer", &["spawn-pool"]), told("feed", &["connect"]), told("tap", &["feed"])])
}

fn add(worker: &mut Worker, told: [Told; 3]) {
    for step in told {
        worker.steps.add(step);
    }
    // Who consumes is who notices that the connection is lost.
    worker.steps.add(Consumer::new("jobs", |_: String, _: &Message| Ok(Outcome::Ack)));
}

fn lines(story: &Story) -> Vec<String> {
    story.lock().unwrap().clone()
}

const STARTED: [&str; 3] = ["timer.start 1", "feed.start 1", "tap.start 1"];

/// E1, start and SIGTERM.
fn a_start_calls_start_forward_and_a_warm_stop_calls_stop_once_in_reverse(stage: &Stage) {
    let story = Story::default();
    let (mut worker, told) = worker(stage, &story);
    add(&mut worker, told);
    let running = worker.start().unwrap();
    assert_eq!(lines(&story), STARTED);
    assert_eq!(running.stop(), 0);
    assert_eq!(lines(&story)[3..], ["tap.stop drain", "feed.stop drain", "timer.stop drain"]);
}

/// E1, SIGQUIT: there `terminate` for worker steps and `stop` for consumer steps; here one call that says why.
fn a_cold_stop_stops_the_same_steps_without_waiting(stage: &Stage) {
    let story = Story::default();
    let (mut worker, told) = worker(stage, &story);
    add(&mut worker, told);
    let running = worker.start().unwrap();
    running.shutdown().now();
    assert_eq!(running.wait(), 1, "whoever leaves now has not drained");
    eventually("all have stopped", SOON, || lines(&story).len() == 6);
    assert_eq!(lines(&story)[3..], ["tap.stop now", "feed.stop now", "timer.stop now"]);
}

/// E1, a lost connection: what stands on it is stopped in reverse and started again; a worker step hears nothing.
#[test]
fn a_lost_connection_restarts_what_stands_on_it_and_nothing_else() {
    let (stage, _listing) = stage_to_list();
    let story = Story::default();
    let (mut worker, told) = worker(&stage, &story);
    add(&mut worker, told);
    let _running = worker.start().unwrap();
    shared_node().ctl(&["close_all_connections", "--vhost", stage.vhost_name(), "the test wants it"]);
    eventually("both are back", SOON, || lines(&story).len() >= 7);
    assert_eq!(lines(&story)[3..], ["tap.stop restart", "feed.stop restart", "feed.start 2", "tap.start 2"]);
}

/// The same without a node to give orders to.
#[test]
fn a_lost_connection_in_memory_restarts_the_same_steps() {
    let stage = Stage::memory();
    let story = Story::default();
    let (mut worker, told) = worker(&stage, &story);
    add(&mut worker, told);
    let _running = worker.start().unwrap();
    let memory = stage.memory.as_ref().unwrap();
    memory.sever();
    memory.until("both are back", SOON, |_| lines(&story).len() >= 7).unwrap();
    assert_eq!(lines(&story)[3..], ["tap.stop restart", "feed.stop restart", "feed.start 2", "tap.start 2"]);
}

/// E1, an error in a step's start that is no connection's: there nothing is stopped (worker steps), or steps are that never started.
fn an_error_in_a_start_stops_what_has_started_and_nothing_else(stage: &Stage) {
    let story = Story::default();
    let (mut worker, [timer, mut feed, tap]) = worker(stage, &story);
    feed.fails = vec![|| Error::new(Fault::Step, "the tube is blocked")];
    add(&mut worker, [timer, feed, tap]);
    let err = worker.start().unwrap_err();
    assert_eq!((err.step(), err.fault()), (Some("feed"), Fault::Step));
    assert_eq!(lines(&story), ["timer.start 1", "feed.start 1", "timer.stop drain"]);
}

/// E1, a connection error in a start: there all steps are stopped, also those that never started; here only this one waits and is
/// started again.
fn a_lost_connection_in_a_start_at_boot_is_tried_again_and_stops_nothing(stage: &Stage) {
    let story = Story::default();
    let (mut worker, [timer, mut feed, tap]) = worker(stage, &story);
    feed.fails = vec![|| Error::new(Fault::Unreachable, "nobody answers"), || Error::new(Fault::Timeout, "no answer in time")];
    add(&mut worker, [timer, feed, tap]);
    // On memory, the delays between go by a clock that somebody has to turn.
    let turning = stage.memory.clone().map(|memory| {
        let story = story.clone();
        std::thread::spawn(move || memory.until("it has booted", SOON, |_| lines(&story).len() >= 5))
    });
    let running = worker.start().unwrap();
    assert_eq!(lines(&story), ["timer.start 1", "feed.start 1", "feed.start 2", "feed.start 3", "tap.start 1"]);
    turning.into_iter().for_each(|turning| turning.join().unwrap().unwrap());
    assert_eq!(running.stop(), 0);
}

/// E1, an error in a step's stop: logged, and the others are stopped; there the same in `stop`, but in `close` all is skipped.
fn an_error_in_a_stop_keeps_no_other_step_from_stopping(stage: &Stage) {
    let story = Story::default();
    let (mut worker, [timer, feed, mut tap]) = worker(stage, &story);
    tap.panics_at_stop = true;
    add(&mut worker, [timer, feed, tap]);
    assert_eq!(worker.start().unwrap().stop(), 0);
    assert_eq!(lines(&story)[3..], ["tap.stop drain", "feed.stop drain", "timer.stop drain"]);
}

/// There, too, a step is made once: `__init__` and `create` are not called again. What its handlers keep, they keep.
#[test]
fn what_a_step_was_made_with_lasts_over_a_restart() {
    let stage = Stage::memory();
    let memory = stage.memory.as_ref().unwrap();
    let (count, tell) = (Arc::new(Mutex::new(0)), Story::default());
    let (counted, told) = (count.clone(), tell.clone());
    let consumer = Consumer::new("jobs", move |_: String, _: &Message| {
        let mut count = counted.lock().unwrap();
        *count += 1;
        told.lock().unwrap().push(format!("job {count}"));
        Ok(Outcome::Ack)
    });
    let _running = stage.start(consumer);
    stage.publish("jobs", &["one"]);
    memory.drain(SOON).unwrap();
    memory.sever();
    memory.until("it is back", SOON, |memory| memory.consumers("jobs") == 1).unwrap();
    let stage = stage.reconnected();
    stage.publish("jobs", &["two"]);
    stage.until("both are handled", || tell.lock().unwrap().len() == 2);
    assert_eq!(lines(&tell), ["job 1", "job 2"]);
}

fn of(told: [Told; 2]) -> Result<Blueprint, Error> {
    let mut steps = Steps::default();
    steps.add(Connect::default()).add(SpawnPool::default());
    for step in told {
        steps.add(step);
    }
    Blueprint::of(&steps)
}

/// E2. There, a circle hangs the start, a name taken twice drops a step in silence, and of two `last` steps one is ignored; here no
/// step can be last, since what must come after another says so by requiring it.
#[test]
fn a_circle_a_missing_step_and_a_name_taken_twice_are_named_when_the_blueprint_is_made() {
    let told = |name, requires| Told { name, requires, ..Told::default() };
    let message = |told| of(told).unwrap_err().to_string();
    assert_eq!(message([told("a", &["b"]), told("b", &["a"])]), "steps require each other in a circle: `a`, `b`");
    assert_eq!(message([told("a", &["roof"]), told("b", &[])]), "step `a` requires `roof`, which nobody added");
    assert!(message([told("connect", &[]), told("b", &[])]).starts_with("more than one step is named `connect`; "));
}

/// E3
#[test]
fn the_graph_is_dot_with_the_custom_step_and_its_edges() {
    let told = |name, requires| Told { name, requires, ..Told::default() };
    let dot = of([told("feed", &["connect", "spawn-pool"]), told("tap", &["feed"])]).unwrap().to_dot();
    // A subset of https://graphviz.org/doc/info/lang.html: `digraph name { statement; … }`, statements of quoted names and arrows.
    let body =
        dot.strip_prefix("digraph blueprint {").and_then(|rest| rest.trim_end().strip_suffix('}')).expect("it is a digraph");
    let statements: Vec<Vec<&str>> = body
        .split_terminator(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(|statement| {
            statement.split(" -> ").map(|name| name.strip_prefix('"').unwrap().strip_suffix('"').unwrap()).collect()
        })
        .collect();
    let nodes: Vec<&str> = statements.iter().filter(|names| names.len() == 1).map(|names| names[0]).collect();
    let edges: Vec<(&str, &str)> =
        statements.iter().filter(|names| names.len() == 2).map(|names| (names[0], names[1])).collect();
    assert_eq!(nodes, ["connect", "spawn-pool", "feed", "tap"]);
    assert_eq!(edges, [("feed", "connect"), ("feed", "spawn-pool"), ("tap", "feed")]);
    assert_eq!(nodes.len() + edges.len(), statements.len());
}
