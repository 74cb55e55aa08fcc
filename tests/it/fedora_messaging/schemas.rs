//! JSON Schemas registered by name: what satisfies them reaches the callback, what does not goes to the dead letters.

use super::{config, declare_lost, publication, start, telling, ONE_QUEUE};
use crate::support::stage::{Stage, SOON};
use bootstep::steps::fedora_messaging::{Config, ConsumeFedoraMessages, FedoraMessage, FedoraPublisher, Schema, Schemas};
use bootstep::{Fault, Properties};
use serde_json::json;

crate::on_both!(invalid_messages_go_to_the_dead_letters_and_unknown_schemas_are_handled);

fn schemas() -> Schemas {
    let draft = "http://json-schema.org/draft-04/schema#";
    let body = json!({"$schema": draft, "type": "object", "required": ["word"], "properties": {"word": {"type": "string"}}});
    let picky = Schema::new("picky", json!({"type": "object"})).headers(json!({"required": ["colour"]}));
    Schemas::new([Schema::new("word", body), picky]).unwrap()
}

fn of_schema(schema: &str, body: serde_json::Value) -> FedoraMessage {
    FedoraMessage::new("test.it", &body).unwrap().schema(schema, None)
}

/// D1: a message that does not satisfy its schema is dropped; one of an unknown schema is delivered.
fn invalid_messages_go_to_the_dead_letters_and_unknown_schemas_are_handled(stage: &Stage) {
    declare_lost(stage);
    let (callback, told) = telling();
    let running = start(stage, ConsumeFedoraMessages::new(&config(ONE_QUEUE), callback).schemas(schemas()));
    let send = |message: FedoraMessage| stage.send(&[message.to_publication("amq.topic").unwrap()]).unwrap();
    send(of_schema("word", json!({"word": 7})));
    send(of_schema("picky", json!({})));
    send(of_schema("word", json!({"word": "seven"})));
    send(of_schema("nobody.knows", json!({"word": 8})));
    stage.send(&[publication("bare").with(Properties::default())]).unwrap();
    let heard: Vec<_> = (0..3).map(|_| told.recv_timeout(SOON).unwrap().schema).collect();
    assert_eq!(heard, ["word", "nobody.knows", ""]);
    assert_eq!(stage.take("mine.lost", 2).len(), 2);
    assert_eq!(running.stop(), 0);
}

#[test]
fn what_does_not_satisfy_its_schema_is_not_published() {
    let publisher = FedoraPublisher::on(Stage::memory().broker, &Config::from_toml("").unwrap()).schemas(schemas());
    let err = publisher.publish(&of_schema("word", json!({"secret": "word"}))).unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    let text = err.to_string();
    assert!(text.contains("does not satisfy the schema `word` (`/required`)") && !text.contains("secret"), "{text}");
    publisher.publish(&of_schema("word", json!({"word": ""}))).unwrap();
}

#[test]
fn schemas_that_are_none_are_all_told_and_nothing_is_fetched() {
    let wrong = [
        Schema::new("typo", json!({"type": "objet"})),
        Schema::new("far", json!({"$ref": "http://127.0.0.1:1/schema.json"})),
        Schema::new("file", json!({"$ref": "file:///etc/passwd"})),
        Schema::new("twice", json!({})),
        Schema::new("twice", json!({})),
    ];
    let err = Schemas::new(wrong).err().unwrap().to_string();
    for name in ["typo", "far", "file"] {
        assert!(err.contains(&format!("the schema `{name}` is no JSON Schema")), "{err}");
    }
    assert!(err.contains("the schema `twice` is registered twice"), "{err}");
}
