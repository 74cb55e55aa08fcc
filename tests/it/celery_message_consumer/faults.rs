//! What ends or doubles the Python workers' messages, and does neither here: poison, a long wait, a lost connection or queue.

use super::{failing, json, noting, quick, step, Given, SHORT};
use crate::support::listed::stage_to_list;
use crate::support::node::shared_node;
use crate::support::stage::{Stage, SOON};
use bootstep::steps::celery_message_consumer::MessageHandler;
use bootstep::{headers, Message, Outcome, Publication, Queue, RetryLayout, Value};
use serde_json::Value as Json;
use std::sync::mpsc::sync_channel;
use std::sync::Mutex;
use std::time::Duration;

crate::on_both!(
    poison_is_archived_with_its_reason_and_its_neighbours_are_handled,
    a_long_wait_holds_up_no_shorter_one_in_levels,
    a_message_outlives_the_retry_queue_that_it_should_go_to,
);

/// A8
fn poison_is_archived_with_its_reason_and_its_neighbours_are_handled(stage: &Stage) {
    let given = Given::default();
    let handlers = [noting("jobs", &given), failing("fails", &given)];
    let running = stage.start(step(quick().max_retries(1), handlers));
    let typed = |content_type: &str, body: &[u8]| Publication::new("", "jobs", body).content_type(content_type).mandatory();
    let mut encoded = Publication::new("", "jobs", "x").mandatory();
    encoded.properties.content_encoding = Some("x-rot13".into());
    let poison = [
        (typed("application/json", b"{bad"), "not the JSON"),
        (typed("application/json", b"\"\xff\""), "not the JSON"),
        (Publication::new("", "jobs", b"\xff".to_vec()).mandatory(), "not UTF-8"),
        (typed("text/plain", b"1"), "`text/plain` is not accepted"),
        (typed("application/json; charset=utf-8", b"1"), "`application/json; charset=utf-8` is not accepted"),
        (typed("application/x-python-serialize", b"1"), "is not accepted"),
        (encoded, "`x-rot13` is not known"),
    ];
    for (publication, _) in &poison {
        stage.send(&[publication.clone(), json("", "jobs", "0")]).unwrap();
    }
    let archived = stage.take("jobs.archived", poison.len());
    for (publication, why) in &poison {
        let kept = archived.iter().find(|it| it.body() == publication.body() && reason(it).contains(why));
        assert!(kept.is_some(), "{why}: {:?}", archived.iter().map(reason).collect::<Vec<_>>());
    }
    stage.until("the neighbours are handled", || given.lock().unwrap().len() == poison.len());

    // Counts that no worker writes: a text, a negative one, 16 bits.
    for count in [Value::Text("many".into()), Value::I32(-7), Value::I16(1)] {
        let mut odd = json("", "fails", "1");
        odd.properties = odd.properties.header("x-retry-count", count);
        stage.send(&[odd]).unwrap();
    }
    let archived = stage.take("fails.archived", 3);
    assert!(archived.iter().all(|message| message.header("x-retry-count") == Some(&Value::I32(1))));
    assert_eq!(given.lock().unwrap().len(), poison.len() + 2 + 2 + 1, "none of them buys attempts");
    assert_eq!(running.stop(), 0);
}

fn reason(message: &Message) -> String {
    message.header(headers::REASON).map(ToString::to_string).unwrap_or_default()
}

/// A10
fn a_long_wait_holds_up_no_shorter_one_in_levels(stage: &Stage) {
    let (tell, told) = sync_channel(8);
    let handler = MessageHandler::new("jobs", move |body: String, message: &Message| {
        tell.send(format!("{body} {}", message.attempt()))?;
        match body.as_str() {
            "long" => Ok(Outcome::retry("later").after(Duration::from_secs(60))),
            _ if message.attempt() == 1 => Ok(Outcome::retry("soon")),
            _ => Ok(Outcome::Ack),
        }
    });
    let settings = quick().backoff(|retries| if retries == 0 { SHORT } else { Duration::from_secs(60) });
    let _running = stage.start(step(settings, [handler]).retry_layout(RetryLayout::Levels));
    stage.publish("jobs", &["long"]);
    stage.until("the long one waits", || stage.ready("jobs.retry.60s") == 1);
    stage.publish("jobs", &["short"]);
    let mut seen = Vec::new();
    stage.until("the short one is back", || {
        seen.extend(told.try_iter());
        seen.len() == 3
    });
    assert_eq!(seen, ["long 1", "short 1", "short 2"]);
    assert_eq!(stage.ready("jobs.retry.60s"), 1);
}

/// A12
fn a_message_outlives_the_retry_queue_that_it_should_go_to(stage: &Stage) {
    let given = Given::default();
    let _running = stage.start(step(quick().max_retries(1), [failing("jobs", &given)]));
    stage.connection.delete_queue("jobs.retry").unwrap();
    stage.connection.delete_queue("jobs.archived").unwrap();
    stage.send(&[json("", "jobs", "1")]).unwrap();
    let archive = Queue::existing("jobs.archived");
    stage.until("the archive is declared again", || stage.connection.declare_queue(&archive).is_ok());
    let archived = stage.take("jobs.archived", 1);
    assert_eq!((archived[0].header("x-retry-count"), given.lock().unwrap().len()), (Some(&Value::I32(1)), 2));
}

/// A11
#[test]
fn a_connection_lost_in_a_failing_handler_leaves_one_chain_of_retries() {
    let (stage, _listing) = stage_to_list();
    let (begun, is_begun) = sync_channel(8);
    let (go_on, may_go_on) = sync_channel(8);
    let (given, may_go_on) = (Given::default(), Mutex::new(may_go_on));
    let attempts = given.clone();
    let handler = MessageHandler::new("jobs", move |body: Json, message: &Message| {
        attempts.lock().unwrap().push(body.to_string());
        if message.attempt() == 1 && !message.is_redelivered() {
            begun.send(())?;
            may_go_on.lock().unwrap().recv_timeout(SOON)?;
        }
        Err("the press is jammed".into())
    });
    let _running = stage.start(step(quick(), [handler]));
    let mut letter = json("", "jobs", "1");
    letter.properties.message_id = Some("only".into());
    stage.send(&[letter]).unwrap();
    is_begun.recv_timeout(SOON).unwrap();
    shared_node().ctl(&["close_all_connections", "--vhost", stage.vhost_name(), "the test wants it"]);
    go_on.send(()).unwrap();
    let stage = stage.reconnected();
    let archived = stage.take("jobs.archived", 1);
    assert_eq!(archived[0].header("x-retry-count"), Some(&Value::I32(4)));
    // The attempt that was cut off came again, at the most.
    let attempts = given.lock().unwrap().len();
    assert!((5..=6).contains(&attempts), "{attempts} attempts");
    assert_eq!([stage.ready("jobs"), stage.ready("jobs.retry"), stage.ready("jobs.archived")], [0; 3]);
}
