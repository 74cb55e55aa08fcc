//! The article's worker: a queue's messages become Celery tasks, which a real Celery worker runs.

use super::Case;
use crate::stage::Stage;
use bootstep::celery::Task;
use bootstep::{Consumer, Json as JsonBody, Message, Outcome};
use serde_json::{json, Value as Json};

pub fn cases() -> Vec<Case> {
    let case = |id, what, play| Case { id, what, package: "celery", play };
    vec![case("E-task", "a task that a bootstep handler publishes, run by Celery", published_as_a_task as fn(&Stage) -> String)]
}

fn published_as_a_task(stage: &Stage) -> String {
    const MESSAGES: u64 = 100;
    // Started first: it declares Celery's own queue.
    let mut program = stage.celery("article_worker", &[], &json!({}));
    stage.consumes(&mut program, &["celery"], 0);
    let running = stage.worker(Consumer::new("orders", |order: JsonBody<Json>, message: &Message| {
        let task = Task::new("article.handle").arg(order.0).kwarg("note", "Grüße \u{1F600}");
        message.send(task.to_publication("", "celery"));
        Ok(Outcome::Ack)
    }));
    stage.send_json("", "orders", (0..MESSAGES).map(|number| json!({"number": number})));
    stage.until("Celery has run all", || stage.evidence.count("python") as u64 >= MESSAGES && stage.ready("orders") == 0);
    program.stop();
    assert_eq!(running.stop(), 0);
    let mut numbers: Vec<u64> = Vec::new();
    for line in stage.evidence.by("python") {
        assert_eq!(line["kwargs"], json!({"note": "Grüße \u{1F600}"}));
        numbers.push(line["args"][0]["number"].as_u64().expect("a number"));
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..MESSAGES), "not each was run once: {numbers:?}");
    assert_eq!(stage.ready("celery"), 0);
    format!("{MESSAGES} messages, {MESSAGES} tasks run once each, arguments by position and by keyword")
}
