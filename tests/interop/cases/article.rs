//! The article's worker: a queue's messages become Celery tasks, which a real Celery worker runs.

use super::Case;
use crate::program::Program;
use crate::stage::Stage;
use bootstep::steps::consume_from::{republish_as_task, ConsumeFrom};
use bootstep::{Exchange, Message, Publication, Running, Value};
use serde_json::{json, Value as Json};
use std::process;

const QUEUE: &str = "orders";
const DEAD: &str = "orders.dead";
const TASK: &str = "article.handle";

pub fn cases() -> Vec<Case> {
    let case = |id, what, play| Case { id, what, package: "celery", play };
    vec![
        case(
            "E4",
            "the article's queue and dead letters, declared in both orders",
            declared_in_both_orders as fn(&Stage) -> String,
        ),
        case("E-task", "republished as a task by bootstep, run by a Celery worker", republished),
        case("E-shared", "the article's ConsumerStep and bootstep on one queue, both republish; some are no JSON", shared),
    ]
}

fn step() -> ConsumeFrom {
    republish_as_task(QUEUE, TASK).exchange(Exchange::direct("shop")).routing_key(QUEUE).dead_letters()
}

/// A Celery worker that runs the tasks, with the article's step.
#[track_caller]
fn python(stage: &Stage, consumers_before: u32) -> Program {
    let mut program = stage.celery("article_worker", &[], &json!({"consume": QUEUE, "exchange": "shop"}));
    stage.consumes(&mut program, &[QUEUE], consumers_before);
    stage.consumes(&mut program, &["celery"], 0);
    program
}

fn stopped(program: Program, running: Running) {
    program.stop();
    assert_eq!(running.stop(), 0);
}

fn declared_in_both_orders(stage: &Stage) -> String {
    let program = python(stage, 0);
    let by_python = stage.declared();
    let running = stage.worker(step());
    let by_both = stage.declared();
    stopped(program, running);

    let other = stage.afresh("reversed");
    let running = other.worker(step());
    let by_bootstep = other.declared();
    let program = python(&other, 1);
    assert!(other.declared() == by_bootstep, "Python declares something that bootstep does not");
    stopped(program, running);

    assert!(by_both == by_bootstep, "the order makes a difference");
    let missing: Vec<&String> = by_python.difference(&by_bootstep).collect();
    assert!(missing.is_empty(), "bootstep does not declare {missing:?}");
    let own = by_bootstep.difference(&by_python).filter(|line| line.starts_with("queue ")).count();
    format!(
        "{} exchanges, queues and bindings, identical; no 406; {own} queues of bootstep's own for retries and archive",
        by_python.len()
    )
}

/// How many tasks the worker ran, by who published them; each message once.
#[track_caller]
fn ran(stage: &Stage, messages: u64) -> (usize, usize) {
    let tasks = stage.evidence.by("python");
    let numbers = tasks.iter().map(|task| task["args"][0]["number"].as_u64().expect("a number"));
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..messages), "not each was run once: {numbers:?}");
    assert!(tasks.iter().all(|task| task["kwargs"] == json!({}) && task["args"][0]["note"] == "Grüße \u{1F600}"));
    let ours = format!("gen{}@", process::id());
    let by_bootstep =
        tasks.iter().filter(|task| task["origin"].as_str().is_some_and(|origin| origin.starts_with(&ours))).count();
    (tasks.len() - by_bootstep, by_bootstep)
}

fn orders(count: u64) -> impl Iterator<Item = Json> {
    (0..count).map(|number| json!({"number": number, "note": "Grüße \u{1F600}"}))
}

fn republished(stage: &Stage) -> String {
    const MESSAGES: u64 = 100;
    // Started first: it declares Celery's own queue.
    let mut program = stage.celery("article_worker", &[], &json!({}));
    stage.consumes(&mut program, &["celery"], 0);
    let running = stage.worker(step());
    stage.send_json("shop", QUEUE, orders(MESSAGES));
    stage.until("Celery has run all", || stage.evidence.count("python") as u64 >= MESSAGES && stage.ready(QUEUE) == 0);
    stopped(program, running);
    assert_eq!((ran(stage, MESSAGES), stage.ready("celery")), ((0, 100), 0));
    format!("{MESSAGES} messages, {MESSAGES} tasks run once each")
}

fn shared(stage: &Stage) -> String {
    const MESSAGES: u64 = 200;
    const BAD: usize = 20;
    let running = stage.worker(step());
    let program = python(stage, 1);
    let bad = Publication::new("shop", QUEUE, "{bad").content_type("application/json").mandatory();
    stage.send(&vec![bad; BAD]);
    stage.send_json("shop", QUEUE, orders(MESSAGES));
    let dead = stage.take(DEAD, BAD);
    stage.until("Celery has run all", || stage.evidence.count("python") as u64 >= MESSAGES && stage.ready(QUEUE) == 0);
    stopped(program, running);
    assert!(dead.iter().all(|message| reason(message) == Some("rejected")), "not all are there because they were rejected");
    let (by_python, by_bootstep) = ran(stage, MESSAGES);
    assert!(by_python > 0 && by_bootstep > 0, "one side had nothing: {by_python} in Python, {by_bootstep} in bootstep");
    format!(
        "{MESSAGES} tasks run once each ({by_python} published by Python, {by_bootstep} by bootstep); {BAD} undecodable ones in `{DEAD}`, \
         `rejected`"
    )
}

/// Why the broker dead-lettered it.
fn reason(message: &Message) -> Option<&str> {
    let Some(Value::Array(deaths)) = message.header("x-death") else { return None };
    let [Value::Table(death), ..] = &deaths[..] else { return None };
    death.get("reason")?.as_str()
}
