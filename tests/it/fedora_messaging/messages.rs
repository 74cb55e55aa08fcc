//! The form of fedora-messaging's messages: on the wire, as Python's package writes it, and as lines of JSON.

use bootstep::steps::fedora_messaging::{About, FedoraMessage, Severity};
use bootstep::{Message, Properties, Publication, Table, Value};
use serde_json::json;

/// As Python's package publishes one.
fn from_python() -> Publication {
    let mut properties = Properties::persistent("application/json");
    properties.content_encoding = Some("utf-8".into());
    properties.message_id = Some("d24ee29c-6ac0-4cbd-9d9e-2d4ecb2e0cf5".into());
    properties.priority = Some(2);
    properties.headers = Some(Table::from([
        ("fedora_messaging_schema".to_owned(), "bodhi.update.comment".into()),
        ("fedora_messaging_schema_package".to_owned(), "bodhi_messages".into()),
        ("fedora_messaging_severity".to_owned(), Value::I32(30)),
        ("sent-at".to_owned(), "2026-11-21T13:34:55+00:00".into()),
        ("priority".to_owned(), Value::I32(2)),
        ("fedora_messaging_user_bowlofeggs".to_owned(), true.into()),
        ("fedora_messaging_rpm_kernel".to_owned(), true.into()),
    ]));
    Publication::new("amq.topic", "org.bodhi.update.comment", r#"{"update": {"alias": "FEDORA-2026-1"}}"#).with(properties)
}

fn read(publication: Publication) -> Result<FedoraMessage, String> {
    FedoraMessage::read(&Message::from_publication(publication)).map_err(|err| err.to_string())
}

#[test]
fn a_message_from_python_is_read_and_written_as_it_was() {
    let message = read(from_python()).unwrap();
    assert_eq!((message.topic.as_str(), message.severity), ("org.bodhi.update.comment", Severity::Warning));
    assert_eq!((message.schema.as_str(), message.priority), ("bodhi.update.comment", Some(2)));
    assert_eq!(message.sent_at(), Some("2026-11-21T13:34:55+00:00"));
    assert_eq!(message.names(About::User).collect::<Vec<_>>(), ["bowlofeggs"]);
    assert_eq!(message.names(About::Rpm).collect::<Vec<_>>(), ["kernel"]);
    assert_eq!(message.names(About::Module).count(), 0);
    assert_eq!(message.body["update"]["alias"], "FEDORA-2026-1");

    let again = message.to_publication("amq.topic").unwrap();
    assert_eq!(again.properties, from_python().properties);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(again.body()).unwrap(), serde_json::Value::Object(message.body));
}

#[test]
fn a_new_message_has_all_that_the_contract_says() {
    let message = FedoraMessage::new("app.thing", &json!({"a": 1})).unwrap().about(About::Flatpak, "org.gnome.Maps");
    let publication = message.to_publication("amq.topic").unwrap();
    let properties = &publication.properties;
    assert_eq!(
        (properties.content_type.as_deref(), properties.content_encoding.as_deref()),
        (Some("application/json"), Some("utf-8"))
    );
    assert_eq!((properties.delivery_mode, properties.priority), (Some(2), None));
    assert_eq!(properties.message_id.as_deref(), Some(message.id.as_str()));
    let header = |name| publication.header(name).cloned();
    assert_eq!(header("fedora_messaging_schema"), Some("base.message".into()));
    assert_eq!(header("fedora_messaging_severity"), Some(Value::I32(20)));
    assert_eq!(header("priority"), Some(Value::I32(0)));
    assert_eq!(header("fedora_messaging_flatpak_org.gnome.Maps"), Some(true.into()));
    let sent_at = message.sent_at().unwrap();
    assert!(sent_at.len() == 25 && sent_at.ends_with("+00:00") && &sent_at[10..11] == "T", "{sent_at}");
    assert!(!publication.mandatory);
    assert!(FedoraMessage::new("t", &[1]).unwrap_err().to_string().contains("JSON object"));
    let long = FedoraMessage::new("t".repeat(256), &json!({})).unwrap().to_publication("amq.topic").unwrap_err();
    assert!(long.to_string().contains("longer than 255 bytes"), "{long}");
}

#[test]
fn what_is_no_message_is_told_without_its_body() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Publication), expected: Result<Severity, &str>) {
        let mut publication = from_python();
        change(&mut publication);
        match (read(publication), expected) {
            (Ok(message), Ok(severity)) => assert_eq!(message.severity, severity),
            (Err(err), Err(expected)) => assert!(err.contains(expected) && !err.contains("secret"), "{err}"),
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    }
    let body = |text: &str| {
        let text = text.to_owned();
        move |it: &mut Publication| *it = Publication::new("", "t", text.as_str()).with(it.properties.clone())
    };
    let header = |name: &'static str, value: Value| {
        move |it: &mut Publication| drop(it.properties.headers.get_or_insert_with(Table::new).insert(name.into(), value))
    };
    let encoding = |name: &'static str| move |it: &mut Publication| it.properties.content_encoding = Some(name.into());
    let severity = "fedora_messaging_severity";
    check(body("{\"secret"), Err("not JSON: line 1"));
    check(body("[\"secret\"]"), Err("no object"));
    check(header(severity, Value::I32(25)), Err("none of 10, 20, 30 and 40"));
    check(header(severity, "secret".into()), Err("none of 10, 20, 30 and 40"));
    check(header(severity, Value::I16(40)), Ok(Severity::Error));
    check(header(severity, Value::F64(10.0)), Ok(Severity::Debug));
    check(header("sent-at", Value::I32(7)), Err("`sent-at` is not a text"));
    check(header("fedora_messaging_schema", Value::Bool(true)), Err("`fedora_messaging_schema` is not a text"));
    check(encoding("x-secret"), Err("its content encoding is not known"));
    check(encoding("UTF8"), Ok(Severity::Warning));
    check(encoding("latin-1"), Ok(Severity::Warning));
    check(|it| it.properties.headers = None, Ok(Severity::Info));
    check(|it| it.properties.content_type = Some("text/plain".into()), Ok(Severity::Warning));
    check(|it| *it = Publication::new("", "t", b"{\"\xff\"}".to_vec()), Err("not UTF-8"));
}

#[test]
fn a_line_of_json_is_read_and_written() {
    let mut message = read(from_python()).unwrap();
    message.queue = Some("mine".into());
    let line = message.to_json_line();
    assert!(!line.contains('\n'));
    assert_eq!(FedoraMessage::from_json_line(&line).unwrap(), message);

    let short = FedoraMessage::from_json_line(r#"{"topic": "t", "body": {"a": 1}, "queue": null}"#).unwrap();
    assert_eq!((short.severity, short.queue.as_ref(), short.priority), (Severity::Info, None, None));
    assert!(!short.id.is_empty() && short.sent_at().is_some());
    for (line, what) in [
        ("secret", "no JSON object"),
        ("{\"body\": {}}", "no `topic`"),
        ("{\"topic\": \"t\", \"body\": 1}", "`body` is no object"),
        ("{\"topic\": \"t\", \"body\": {}, \"priority\": 256}", "`priority`"),
        ("{\"topic\": \"t\", \"body\": {}, \"headers\": 1}", "`headers` are no object"),
        ("{\"topic\": \"t\", \"body\": {}, \"headers\": {\"fedora_messaging_severity\": 5}}", "none of 10, 20, 30 and 40"),
        ("{\"topic\": \"t\", \"body\": {}, \"id\": 5}", "`id` is not a text"),
    ] {
        let err = FedoraMessage::from_json_line(line).unwrap_err().to_string();
        assert!(err.contains(what) && !err.contains("secret"), "{err}");
    }
}
