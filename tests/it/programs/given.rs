//! What a program is given: its input, its environment, its directory.

use super::{handled, message, script, written};
use bootstep::handlers::Program;
use bootstep::{Message, Outcome, Properties, Publication, Value};

fn order() -> Message {
    let mut properties = Properties::persistent("application/json").header("x-trace.id", "t-7").header("pieces", 3);
    properties = properties.header("nul", "a\0b").header("list", Value::Array(vec![1.into()]));
    properties.message_id = Some("m 1".into());
    properties.correlation_id = Some("c\n2".into());
    properties.timestamp = Some(1_700_000_000);
    properties.kind = Some("order".into());
    properties.priority = Some(4);
    Message::from_publication(Publication::new("shop", "order.web", "{\"id\": 1}").with(properties))
}

#[test]
fn the_body_is_its_input_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let body = b"two\ncups\0\xff";
    assert_eq!(handled(&script("cat > got").directory(folder.path()), &message(body)), Ok(Outcome::Ack));
    assert_eq!(std::fs::read(folder.path().join("got")).unwrap(), body);
}

#[test]
fn the_message_is_in_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let program =
        script("env | grep ^MESSAGE_ | sort > got; printf '%s' \"$MESSAGE_CORRELATION_ID\" > lines").directory(folder.path());
    let program = program.environment("MESSAGE_QUEUE", "of the setting").environment("LC_ALL", "C");
    assert_eq!(handled(&program, &order()), Ok(Outcome::Ack));
    let expected = "MESSAGE_ATTEMPT=1\nMESSAGE_CONTENT_TYPE=application/json\nMESSAGE_CORRELATION_ID=c\nMESSAGE_EXCHANGE=shop\n\
                    MESSAGE_HEADER_LIST=[1]\nMESSAGE_HEADER_PIECES=3\nMESSAGE_HEADER_X_TRACE_ID=t-7\nMESSAGE_ID=m 1\nMESSAGE_PRIORITY=4\n\
                    MESSAGE_QUEUE=order.web\nMESSAGE_REDELIVERED=false\nMESSAGE_ROUTING_KEY=order.web\nMESSAGE_TIMESTAMP=1700000000\n\
                    MESSAGE_TYPE=order\n";
    assert_eq!(written(&folder.path().join("got")), expected);
    assert_eq!(written(&folder.path().join("lines")), "c\n2");
}

#[test]
fn the_whole_message_is_its_input_as_json_if_it_wants() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(handled(&script("cat > got").directory(folder.path()).json_input(), &order()), Ok(Outcome::Ack));
    let got = written(&folder.path().join("got"));
    assert!(got.ends_with("}\n"));
    let json: serde_json::Value = serde_json::from_str(&got).unwrap();
    assert_eq!((&json["body"], &json["attempt"], &json["queue"]), (&"{\"id\": 1}".into(), &1.into(), &"order.web".into()));
    assert_eq!(json["properties"]["headers"]["nul"], "a\0b");
}

#[test]
fn headers_without_number_or_bound_start_it_all_the_same() {
    let mut properties = Properties::default().header("huge", "x".repeat(3_000_000)).header("small", "s");
    for number in 0..20_000 {
        properties = properties.header(format!("h{number}"), "y".repeat(100));
    }
    let flooded = Message::from_publication(Publication::new("", "q", "x").with(properties));
    assert_eq!(
        handled(&script("test -z \"$MESSAGE_HEADER_HUGE\" && test -n \"$MESSAGE_HEADER_H0\""), &flooded),
        Ok(Outcome::Ack)
    );
}

#[test]
fn what_holds_the_brokers_password_is_not_handed_on() {
    // In a process of its own: the environment of this one is every test's.
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this)
        .args(["--exact", "programs::given::in_a_process_with_secrets", "--ignored", "--nocapture"])
        .envs([("AMQP_URL", "amqp://u:secret@h"), ("BOOTSTEP_BROKER__PASSWORD", "secret"), ("MESSAGE_REPLY_TO", "another's")])
        .envs([("MESSAGE_HEADER_OLD", "another's"), ("KEPT", "kept")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "needs an environment of its own; another test runs it"]
fn in_a_process_with_secrets() {
    let check = script("test \"$KEPT\" = kept && ! env | grep -E '^AMQP_URL|^BOOTSTEP_|secret|another' >&2");
    assert_eq!(handled(&check, &message("x")), Ok(Outcome::Ack));
    let told = script("test \"$AMQP_URL\" = told").environment("AMQP_URL", "told");
    assert_eq!(handled(&told, &message("x")), Ok(Outcome::Ack));
}

#[test]
fn arguments_are_words_and_no_shell_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(["touch", "a b; c $HOME"]).directory(folder.path());
    assert_eq!(handled(&program, &message("x")), Ok(Outcome::Ack));
    assert!(folder.path().join("a b; c $HOME").exists());
}
