//! fedora-messaging: both sides run on the same configuration file, publish to each other, and share a queue.

use super::Case;
use crate::environment::programs;
use crate::program::Program;
use crate::stage::Stage;
use bootstep::steps::fedora_messaging::{
    to_json, About, Config, ConsumeFedoraMessages, Drop, FedoraMessage, FedoraPublisher, Schema, Schemas, Severity,
};
use bootstep::{Message, Queue, Running, Table};
use serde_json::{json, Map, Value as Json};
use std::collections::BTreeSet;
use std::fs;

const PAINTED: &str = "interop.painted";

pub fn cases() -> Vec<Case> {
    let case = |id, what, play| Case { id, what, package: "fedora-messaging", play };
    vec![
        case("D-declared", "one TOML file, declared in both orders", declared_in_both_orders as fn(&Stage) -> String),
        case("D-to-bootstep", "Python publishes, bootstep handles", python_publishes),
        case("D-to-python", "bootstep publishes, Python handles", bootstep_publishes),
        case("D-shared", "300 messages on one queue, both consume it; some are dropped, some invalid", shared),
    ]
}

/// The file of both sides.
fn config_text(stage: &Stage) -> String {
    format!(
        r#"
amqp_url = "{}"
publish_exchange = "amq.topic"
callback = "fedora_callback:handle"

[client_properties]
app = "interop"

[qos]
prefetch_size = 0
prefetch_count = 5

[queues.fences]
durable = true
auto_delete = false
exclusive = false

[queues.fences.arguments]
x-dead-letter-exchange = "amq.direct"
x-dead-letter-routing-key = "fences.dead"
x-max-length = 100000

[[bindings]]
queue = "fences"
exchange = "amq.topic"
routing_keys = ["interop.#", "other.*"]
"#,
        stage.url
    )
}

#[track_caller]
fn config(stage: &Stage) -> Config {
    Config::from_toml(&config_text(stage)).unwrap_or_else(|err| panic!("{err}"))
}

/// Like `fedora_schemas.py`.
fn schemas() -> Schemas {
    let body = json!({"type": "object", "required": ["fence"], "properties": {"fence": {"type": "string"}}});
    Schemas::new([Schema::new(PAINTED, body)]).unwrap_or_else(|err| panic!("{err}"))
}

/// A worker on the file, with a callback as `fedora_callback.py` has it.
#[track_caller]
fn bootstep(stage: &Stage) -> Running {
    let evidence = stage.evidence.clone();
    let callback = move |message: &FedoraMessage| {
        evidence.note(&json!({
            "by": "bootstep",
            "id": message.id,
            "topic": message.topic,
            "body": message.body,
            "severity": message.severity.number(),
            "schema": message.schema,
            "headers": plain(&message.headers),
        }));
        if message.body.get("wish").is_some_and(|wish| wish == "drop") {
            Err(Drop.into())
        } else {
            Ok(())
        }
    };
    let consume = ConsumeFedoraMessages::new(&config(stage), callback).schemas(schemas());
    let worker = consume.worker().unwrap_or_else(|err| panic!("{err}"));
    stage.boot(worker)
}

fn plain(headers: &Table) -> Map<String, Json> {
    headers.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
}

#[track_caller]
fn python(stage: &Stage, consumers_before: u32) -> Program {
    let path = written(stage);
    let mut program = stage.python("fedora-messaging", &["--conf", &path, "consume"], &[], &json!({}));
    stage.consumes(&mut program, &["fences"], consumers_before);
    program
}

#[track_caller]
fn python_publishing(stage: &Stage, messages: Json) {
    let script = programs().join("fedora_publish.py");
    let variables = [("FEDORA_MESSAGING_CONF", &*written(stage))];
    stage.python("python", &[&script.to_string_lossy()], &variables, &json!({"publish": messages})).succeeds();
}

fn written(stage: &Stage) -> String {
    let path = stage.folder.join("config.toml");
    fs::write(&path, config_text(stage)).expect("the case's folder can be written");
    path.to_string_lossy().into_owned()
}

fn declared_in_both_orders(stage: &Stage) -> String {
    let program = python(stage, 0);
    let by_python = stage.declared();
    let running = bootstep(stage);
    let by_both = stage.declared();
    assert_eq!(by_both, by_python, "bootstep added to what Python declared");
    assert_eq!((program.stop(), running.stop()), (0, 0));

    let other = stage.afresh("reversed");
    let running = bootstep(&other);
    let by_bootstep = other.declared();
    assert_eq!(by_bootstep, by_python, "each declares other things");
    let program = python(&other, 1);
    assert_eq!(other.declared(), by_bootstep, "Python added to what bootstep declared");
    assert_eq!((program.stop(), running.stop()), (0, 0));
    format!("{} queues and bindings, identical; no 406", by_python.len())
}

fn python_publishes(stage: &Stage) -> String {
    let running = bootstep(stage);
    let published = json!([
        {"topic": "interop.plain", "body": {"text": "Grüße \u{1F600}", "number": 9_007_199_254_740_993_u64}, "severity": 20},
        {"topic": "interop.painted", "body": {"fence": "wood"}, "severity": 30, "painted": true},
        {"topic": "other.word", "body": {}, "severity": 40},
    ]);
    python_publishing(stage, published.clone());
    stage.until("bootstep has handled all", || stage.evidence.count("bootstep") >= 3);
    assert_eq!(running.stop(), 0);
    let (sent, handled) = (stage.evidence.by("publisher"), stage.evidence.by("bootstep"));
    assert_eq!((sent.len(), handled.len()), (3, 3));
    for (sent, meant) in sent.iter().zip(published.as_array().expect("it is one")) {
        let came = handled.iter().find(|line| line["id"] == sent["id"]).unwrap_or_else(|| panic!("{sent} did not come"));
        for field in ["topic", "body", "severity"] {
            assert_eq!(came[field], meant[field], "the {field} of {sent}");
        }
        assert_eq!(came["headers"], sent["headers"]);
        let schema = if meant["painted"] == true { PAINTED } else { "base.message" };
        assert_eq!(came["schema"], schema);
    }
    "3 messages: topic, body, severity, id, schema and all headers equal".into()
}

fn bootstep_publishes(stage: &Stage) -> String {
    let program = python(stage, 0);
    let publisher = FedoraPublisher::new(&config(stage)).unwrap_or_else(|err| panic!("{err}")).schemas(schemas());
    let message = |topic: &str, body: Json| FedoraMessage::new(topic, &body).unwrap_or_else(|err| panic!("{err}"));
    let published = [
        (message("interop.plain", json!({"text": "Grüße \u{1F600}", "number": 9_007_199_254_740_993_u64})), "Message"),
        (message("interop.painted", json!({"fence": "wood"})).schema(PAINTED, None).severity(Severity::Warning), "Painted"),
        (message("other.word", json!({})).severity(Severity::Error).about(About::Rpm, "kernel"), "Message"),
    ];
    for (message, _) in &published {
        publisher.publish(message).unwrap_or_else(|err| panic!("{err}"));
    }
    stage.until("Python has handled all", || stage.evidence.count("python") >= 3);
    assert_eq!(program.stop(), 0);
    let handled = stage.evidence.by("python");
    assert_eq!(handled.len(), 3);
    for (sent, class) in &published {
        let came = handled.iter().find(|line| line["id"] == sent.id).unwrap_or_else(|| panic!("{} did not come", sent.topic));
        assert_eq!((&came["topic"], &came["body"]), (&json!(sent.topic), &json!(sent.body)));
        assert_eq!((&came["severity"], &came["schema"]), (&json!(sent.severity.number()), &json!(class)));
        for (name, value) in plain(&sent.written_headers()) {
            assert_eq!(came["headers"][&name], value, "the header `{name}` of {}", sent.topic);
        }
    }
    "3 messages: topic, body, severity, id and headers equal, class by its schema's name".into()
}

fn shared(stage: &Stage) -> String {
    const MESSAGES: usize = 300;
    const DROPPED: usize = 20;
    const INVALID: usize = 20;
    let dead_letters = Queue::new("fences.dead").bind("amq.direct", "fences.dead");
    stage.connection.declare_queue(&dead_letters).unwrap_or_else(|err| panic!("{err}"));
    stage.connection.bind("fences.dead", &dead_letters.bindings[0]).unwrap_or_else(|err| panic!("{err}"));
    let running = bootstep(stage);
    let program = python(stage, 1);
    // Without schemas: what is invalid is to be found by whoever gets it.
    let publisher = FedoraPublisher::new(&config(stage)).unwrap_or_else(|err| panic!("{err}"));
    let send = |body: Json, schema: &str| {
        let message = FedoraMessage::new("interop.shared", &body).unwrap_or_else(|err| panic!("{err}")).schema(schema, None);
        publisher.publish(&message).unwrap_or_else(|err| panic!("{err}"));
        message.id
    };
    let good: BTreeSet<String> =
        (0..MESSAGES).map(|number| send(json!({"fence": "wood", "number": number}), PAINTED)).collect();
    let dropped = (0..DROPPED).map(|_| send(json!({"fence": "iron", "wish": "drop"}), PAINTED));
    let invalid = dropped.collect::<Vec<_>>().into_iter().chain((0..INVALID).map(|_| send(json!({"fence": 7}), PAINTED)));
    let unwanted: BTreeSet<String> = invalid.collect();
    let dead = stage.take("fences.dead", DROPPED + INVALID);
    stage.until("all are handled", || stage.evidence.lines().len() >= MESSAGES + DROPPED && stage.ready("fences") == 0);
    assert_eq!((program.stop(), running.stop()), (0, 0));

    let of = |message: &Message| message.properties().message_id.clone().unwrap_or_default();
    assert_eq!(dead.iter().map(of).collect::<BTreeSet<_>>(), unwanted, "other messages than those are in the dead letters");
    let ids = |side: &str| -> Vec<String> {
        let lines = stage.evidence.by(side);
        let good = lines.iter().filter(|line| line["body"]["fence"] == "wood");
        good.filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
    };
    let (by_python, by_bootstep) = (ids("python"), ids("bootstep"));
    let handled: BTreeSet<String> = by_python.iter().chain(&by_bootstep).cloned().collect();
    assert_eq!((by_python.len() + by_bootstep.len(), handled), (MESSAGES, good), "not each is handled once");
    assert!(!by_python.is_empty() && !by_bootstep.is_empty(), "one side had nothing");
    format!(
        "{MESSAGES} handled once each ({} Python, {} bootstep); {DROPPED} dropped and {INVALID} invalid ones in the dead letters once \
         each",
        by_python.len(),
        by_bootstep.len()
    )
}
