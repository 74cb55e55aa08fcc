//! `publish`: what was typed or stood in a file arrives, and what does not is told with its line.

use super::{bootstep, said, snapshot};
use crate::support::node::{Node, Setup};
use crate::support::process::Process;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{Message, Queue, Value};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The program on a broker.
pub fn on(url: &str, arguments: &[&str]) -> Command {
    let mut command = bootstep(arguments);
    command.env("AMQP_URL", url);
    command
}

/// The same with something on its standard input; what it printed, and its exit code.
fn fed(command: &mut Command, input: &[u8]) -> (String, String, i32) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    fs::write(&file, input).unwrap();
    said(command.stdin(fs::File::open(file).unwrap()))
}

fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

fn stage_with(queue: Queue) -> (Stage, String) {
    let (stage, url) = Stage::rabbitmq_with_url();
    stage.connection.declare_queue(&queue).unwrap();
    (stage, url)
}

#[test]
fn what_was_typed_arrives_with_all_that_was_said_of_it() {
    let (stage, url) = stage_with(Queue::new("orders").bind("amq.topic", "order.#"));
    let to = ["publish", "--exchange", "amq.topic", "--routing-key", "order.paid"];
    let more = ["--header", "source=shop", "--header", "urgent:=true", "--header", "weight:=1.5", "--header", "parts:=3"];
    let rest =
        ["--content-type", "text/plain", "--property", "message_id=o-7", "--property", "priority=5", "--expiration", "1h"];
    let (out, err, code) = said(on(&url, &to).args(more).args(rest).args(["two cups", "one jug"]));
    assert_eq!((out.as_str(), err.as_str(), code), ("", "published 2 messages\n", 0));

    let came = stage.take("orders", 2);
    assert_eq!(bodies(&came), ["two cups", "one jug"]);
    let (message, properties) = (&came[0], came[0].properties());
    assert_eq!((message.exchange(), message.routing_key()), ("amq.topic", "order.paid"));
    let header = |name: &str| message.header(name).cloned().unwrap_or(Value::Null);
    assert_eq!([header("source"), header("urgent")], ["shop".into(), Value::Bool(true)]);
    assert_eq!([header("weight"), header("parts")], [Value::F64(1.5), Value::I32(3)]);
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!((properties.message_id.as_deref(), properties.priority), (Some("o-7"), Some(5)));
    assert_eq!((properties.expiration.as_deref(), properties.delivery_mode), (Some("3600000"), Some(2)));
}

#[test]
fn files_and_standard_input_are_read_by_the_line_or_as_a_whole() {
    let (stage, url) = stage_with(Queue::new("orders"));
    let to = |more: &[&str]| on(&url, &[&["publish", "--queue", "orders"], more].concat());
    let (_, err, code) = fed(&mut to(&["--lines", "-", "--transient"]), b"one\r\n\ntwo\nlast");
    assert_eq!((err.as_str(), code), ("published 3 messages\n", 0));
    let came = stage.take("orders", 3);
    assert_eq!(bodies(&came), ["one", "two", "last"]);
    assert!(came.iter().all(|message| message.properties().delivery_mode == Some(1)));

    let (_, err, code) = fed(&mut to(&["--body-file", "-", "--repeat", "3", "--skip", "1"]), b"one\ntwo\n");
    assert_eq!((err.as_str(), code), ("published 2 messages\n", 0));
    assert_eq!(bodies(&stage.take("orders", 2)), ["one\ntwo\n"; 2]);

    let (_, err, code) = fed(&mut to(&["--lines", "-"]), b"");
    assert_eq!((err.as_str(), code), ("published 0 messages\n", 0));

    let records = br#"{"exchange": "elsewhere", "properties": {"headers": {"n": {"$i16": 7}}}, "body_base64": "/w=="}"#;
    let (_, err, code) = fed(&mut to(&["--json-lines", "-", "--header", "more=x"]), records);
    assert_eq!((err.as_str(), code), ("published 1 message\n", 0));
    let came = &stage.take("orders", 1)[0];
    assert_eq!((came.body(), came.header("n"), came.header("more")), (&[255][..], Some(&Value::I16(7)), Some(&"x".into())));
}

#[test]
fn a_message_that_no_queue_takes_is_an_error_that_names_it() {
    let (stage, url) = stage_with(Queue::new("orders").max_length(3).overflow("reject-publish"));
    let (_, err, code) = said(&mut on(&url, &["publish", "--exchange", "amq.direct", "--routing-key", "nobody", "lost"]));
    let expected = "message 1 was not taken: no queue takes it: NO_ROUTE (312)\n\
                    error: published 0 messages, and one was not taken\n";
    assert_eq!((err.as_str(), code), (expected, 1));

    let lines = "1\n2\n3\n4\n5\n".as_bytes();
    let (_, err, code) = fed(&mut on(&url, &["publish", "--queue", "orders", "--lines", "-"]), lines);
    assert!(err.starts_with("line 4 was not taken: the queue refused it (full, or in trouble)\nline 5 was not"), "{err}");
    assert!(err.ends_with("published 3 messages, and 2 were not taken, up to line 3: `--skip 3` goes on behind it\n"), "{err}");
    assert_eq!(code, 1);
    stage.take("orders", 3);
    let (_, err, code) = fed(&mut on(&url, &["publish", "--queue", "orders", "--lines", "-", "--skip", "3"]), lines);
    assert_eq!((err.as_str(), code), ("published 2 messages\n", 0));
    assert_eq!(bodies(&stage.take("orders", 2)), ["4", "5"]);
}

#[test]
fn one_that_the_broker_closes_the_channel_for_is_told_and_the_others_are_there_once() {
    for (bad, why) in [(r#""user_id": "somebody""#, "user_id"), (r#""expiration": "soon""#, "invalid expiration")] {
        let (stage, url) = stage_with(Queue::new("orders"));
        let record = |line: u32, properties: &str| format!(r#"{{"properties": {{{properties}}}, "body": "{line}"}}"#);
        let line = |line| record(line, if line == 150 { bad } else { r#""expiration": "3600000", "user_id": "guest""# });
        let lines: Vec<String> = (1..=200).map(line).collect();
        let publish = ["publish", "--queue", "orders", "--json-lines", "-"];
        let (_, err, code) = fed(&mut on(&url, &publish), lines.join("\n").as_bytes());
        assert!(err.starts_with("line 150 was not taken: ") && err.contains(why), "{err}");
        assert!(code == 1 && !err.contains("twice"), "{code} {err}");
        // As far as the batch went, which has in it what was read by then.
        let through: u32 = err.rsplit("--skip ").next().and_then(|rest| rest.split('`').next()).unwrap().parse().unwrap();
        let told = format!("published {} messages, and one was not taken, up to line {through}: ", through - 1);
        assert!(through > 150 && err.contains(&told), "{err}");
        let expected: Vec<String> = (1..=through).filter(|line| *line != 150).map(|line| line.to_string()).collect();
        assert_eq!(bodies(&stage.take("orders", expected.len())), expected);
        assert_eq!(stage.ready("orders"), 0);
    }
}

#[test]
fn what_may_be_there_twice_for_the_sake_of_another_is_told() {
    // That is told by nothing but the broker's answer.
    let lines = [r#"{"body": "1"}"#, r#"{"body": "2", "properties": {"headers": {"CC": "a text"}}}"#, r#"{"body": "3"}"#];
    let publish = ["publish", "--queue", "orders", "--json-lines", "-"];
    // None is in doubt if the first is confirmed, and the last not sent yet, when the broker closes the channel.
    let mut repeats = (0..10).map(|_| {
        let (stage, url) = stage_with(Queue::new("orders"));
        let (_, err, code) = fed(&mut on(&url, &publish), lines.join("\n").as_bytes());
        assert!(err.starts_with("line 2 was not taken: ") && code == 1, "{code} {err}");
        assert!(err.contains("published 2 messages, and one was not taken, up to line 3"), "{err}");
        let told = |words: &str| err.contains(&format!("\n{words} may be there twice: the broker closed the channel"));
        let repeated = if told("2 messages") { 2 } else { u32::from(told("1 message")) };
        assert_eq!(repeated > 0, err.contains("twice"), "{err}");
        stage.until("they are there", || stage.ready("orders") >= 2);
        assert!(stage.ready("orders") <= 2 + repeated, "{err}");
        repeated
    });
    assert!(repeats.any(|repeated| repeated > 0), "none was in doubt in ten runs");
}

#[test]
fn what_cannot_be_meant_is_told_with_what_to_do() {
    let (_stage, url) = stage_with(Queue::new("orders"));
    let folder = tempfile::tempdir().unwrap();
    let (broken, missing) = (folder.path().join("broken.jsonl"), folder.path().join("missing"));
    fs::write(&broken, "{\"body\": \"fine\"}\n{\"body\": 7}\n").unwrap();
    let [folder, broken, missing] = [folder.path(), &broken, &missing].map(|path| path.to_str().unwrap());
    let check = |arguments: &[&str], expected_code: i32, expected: &[&str]| {
        let (out, err, code) = fed(&mut on(&url, &[&["publish"], arguments].concat()), b"");
        assert_eq!((out.as_str(), code), ("", expected_code), "{arguments:?}: {err}");
        assert!(expected.iter().all(|words| err.contains(words)), "{arguments:?}: {err}");
    };
    check(&["lost"], 2, &["--queue <QUEUE>", "--exchange <EXCHANGE>"]);
    check(&["--queue", "orders"], 2, &["--body-file"]);
    check(&["--queue", "orders", "--exchange", "x", "lost"], 2, &["cannot be used with"]);
    check(&["--queue", "orders", "--header", "five", "lost"], 2, &["it has no `=`", "name=text"]);
    check(&["--queue", "orders", "--header", "n:=five", "lost"], 2, &["`five` is not JSON"]);
    check(&["--queue", "orders", "--property", "colour=red", "lost"], 2, &["`colour` is not a property of AMQP"]);
    check(&["--queue", "orders", "--rate", "fast", "lost"], 2, &["`fast` is not a rate", "500/s"]);
    check(&["--queue", "orders", "--expiration", "30", "lost"], 2, &["`30` is not a time"]);
    check(&["--queue", "orders", "--lines", missing], 2, &[missing, "No such file", "name a file"]);
    check(&["--queue", "orders", "--body-file", folder], 2, &[folder, "it is a folder"]);
    check(
        &["--queue", "orders", "--json-lines", broken],
        2,
        &["line 2 of", "`body` is not a text", "published 1 message", "--skip 1"],
    );
    let passed = ["line 2 of", "is left out", "published 1 message", "error: 1 broken line left out"];
    check(&["--queue", "orders", "--json-lines", broken, "--skip-broken"], 1, &passed);
    check(&["--queue", "nobody", "lost"], 3, &["`nobody`", "declare the queue"]);
    check(&["--exchange", "nobody", "lost"], 3, &["there is no exchange `nobody`: declare the exchange"]);
    check(&["--queue", "orders", "--routing-key", "k", "lost"], 2, &["cannot be used with"]);
    let long = "x".repeat(256);
    check(&["--queue", "orders", "--property", &format!("message_id={long}"), "lost"], 1, &["its message id has 256 bytes"]);
}

#[test]
fn a_broker_that_is_away_or_refuses_is_told_without_the_password() {
    let (_stage, url) = Stage::rabbitmq_with_url();
    let (_, err, code) = said(&mut on("amqp://guest:secret-word@127.0.0.1:1", &["publish", "--queue", "orders", "lost"]));
    assert!(code == 3 && err.contains("nobody listens there") && !err.contains("secret-word"), "{code} {err}");
    let wrong = url.replace("guest:guest", "guest:secret-word");
    let (_, err, code) = said(&mut on(&wrong, &["publish", "--queue", "orders", "lost"]));
    assert!(code == 3 && err.contains("check user name and password") && !err.contains("secret-word"), "{code} {err}");
}

#[test]
fn a_slow_writer_is_published_at_once_and_an_interrupt_says_where_to_go_on() {
    let (stage, url) = stage_with(Queue::new("orders"));
    let mut command = on(&url, &["publish", "--queue", "orders", "--lines", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\ntwo\nthree\nhal").unwrap();
    stage.until("three lines are there, and the input is open", || stage.ready("orders") == 3);
    Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    let expected = "error: interrupted; published 3 messages, up to line 3: `--skip 3` goes on behind it\n";
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), (expected, Some(1)));
}

#[test]
fn a_rate_is_kept() {
    let (stage, url) = stage_with(Queue::new("orders"));
    let began = std::time::Instant::now();
    let (_, err, code) = said(&mut on(&url, &["publish", "--queue", "orders", "--repeat", "16", "--rate", "20/s", "x"]));
    assert_eq!((err.as_str(), code), ("published 16 messages\n", 0));
    // The last two go after fourteen had their time.
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    stage.take("orders", 16);
}

#[test]
fn an_alarm_is_told_and_waited_for() {
    let node = Node::start_with(&Setup::default());
    let url = node.url();
    let broker = bootstep::Broker::amqp(&url).unwrap();
    let connection = broker.connect("test").unwrap();
    connection.declare_queue(&Queue::new("orders")).unwrap();
    node.ctl(&["set_vm_memory_high_watermark", "0.00001"]);
    let publish = || on(&url, &["publish", "--queue", "orders", "patience"]);
    let mut interrupted = Process::start(&mut publish());
    let mut waiting = Process::start(&mut publish());
    interrupted.tells(1, "the broker takes no publishes");
    waiting.tells(1, "free its memory or disk; this waits");
    interrupted.signal("INT");
    assert_eq!(interrupted.end(), Some(1));
    interrupted.tells(1, "error: interrupted: 1 of 1 publishes were not confirmed");
    assert!(waiting.is_running());
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    assert_eq!(waiting.end(), Some(0));
    let ready = || connection.declare_queue(&Queue::existing("orders")).unwrap().messages;
    // The other one's was on its way.
    eventually("what was published is there", SOON, || ready() >= 1);
}

#[test]
fn the_help_of_what_moves_messages_teaches_how_it_is_used() {
    let commands = ["publish", "record", "replay", "archive replay", "archive export", "archive import", "archive drop"];
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let (out, err, code) = said(&mut bootstep(&words));
        assert_eq!((err.as_str(), code), ("", 0));
        snapshot(&format!("help-{}", command.replace(' ', "-")), &out);
    }
}
