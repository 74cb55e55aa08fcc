//! The exit codes of a process that consumes as `fedora-messaging consume` does, each for its reason.

use super::ONE_QUEUE;
use crate::support::node::shared_node;
use crate::support::process::Process;
use crate::support::stage::Stage;
use crate::support::vhost::unique;
use bootstep::steps::fedora_messaging::{self, ConsumeFedoraMessages, Drop, FedoraMessage, HaltConsumer, Nack, CONF};
use bootstep::{BoxError, Queue};
use serde_json::json;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tempfile::TempDir;

/// Set in a process that is to be the consumer of a case.
const CONSUMES: &str = "BOOTSTEP_TEST_CONSUMES_FEDORA";

#[test]
fn the_consumer_in_a_process_of_its_own() {
    if std::env::var_os(CONSUMES).is_none() {
        return;
    }
    let code = fedora_messaging::run(|config| {
        let settings: std::collections::BTreeMap<String, String> = config.consumer_config()?;
        match settings.get("fail") {
            Some(why) if settings.contains_key("panic") => panic!("{why}"),
            Some(why) => Err(why.as_str().into()),
            None => Ok(ConsumeFedoraMessages::new(config, callback)),
        }
    });
    // Back from here is the test harness, whose code says nothing of ours.
    std::process::exit(code_of(code));
}

/// A code cannot be asked, only compared.
fn code_of(code: ExitCode) -> i32 {
    let all = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
    all.map_or(-1, i32::from)
}

fn callback(message: &FedoraMessage) -> Result<(), BoxError> {
    let word = message.body["word"].as_str().unwrap_or_default();
    eprintln!("begun with {word}");
    match word {
        "nack" => return Err(Nack::default().into()),
        "drop" => return Err(Drop.into()),
        "halt" => return Err(HaltConsumer::default().into()),
        "halt with 42" => return Err(HaltConsumer::with_code(42, "enough").into()),
        "fail" => return Err("the disk is full".into()),
        "slow" => {
            let (_open, gate) = std::sync::mpsc::channel::<()>();
            let _open = &_open;
            let _ = gate.recv_timeout(Duration::from_secs(2));
        }
        _ => {}
    }
    eprintln!("done with {word}");
    Ok(())
}

/// A consumer with this configuration.
fn consumer(text: &str) -> (Process, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let mut tests = Command::new(std::env::current_exe().unwrap());
    let case = "fedora_messaging::exit_codes::the_consumer_in_a_process_of_its_own";
    (Process::start(tests.args([case, "--exact", "--nocapture"]).env(CONSUMES, "1").env(CONF, path)), folder)
}

fn consuming(url: &str, more: &str) -> (Process, TempDir) {
    consumer(&format!("amqp_url = \"{url}?connection_attempts=3&retry_delay=5\"\n{more}\n{ONE_QUEUE}"))
}

#[track_caller]
fn ends_with(code: i32, text: &str, tells: &str) {
    let (mut process, _folder) = consumer(text);
    assert_eq!(process.end(), Some(code));
    process.tells(1, tells);
}

fn publish(stage: &Stage, words: &[&str]) {
    let one = |word: &&str| FedoraMessage::new("test.it", &json!({ "word": word })).unwrap();
    let all: Vec<_> = words.iter().map(|word| one(word).to_publication("amq.topic").unwrap().mandatory()).collect();
    stage.send(&all).unwrap();
}

/// Bound before any consumer runs, so that messages are there when it begins.
fn stage() -> (Stage, String) {
    let (stage, url) = Stage::rabbitmq_with_url();
    let queue = Queue::new("mine").dead_letter_to("", "mine.lost").bind("amq.topic", "test.#");
    stage.connection.declare_queue(&queue).unwrap();
    stage.connection.declare_queue(&Queue::new("mine.lost")).unwrap();
    (stage, url)
}

/// D1
#[test]
fn a_callbacks_answer_is_the_exit_code() {
    let (stage, url) = stage();
    for (word, code, left) in [("halt", 0, 0), ("halt with 42", 42, 0), ("fail", 13, 3)] {
        publish(&stage, &["drop", word, "never", "never"]);
        let (mut process, _folder) = consuming(&url, "");
        assert_eq!(process.end(), Some(code), "{word}");
        // What was prefetched goes back, and on a failure so does the one that failed.
        assert_eq!(stage.ready("mine"), left.max(2), "{word}");
        assert_eq!(stage.take("mine.lost", 1).len(), 1);
        stage.connection.purge_queue("mine").unwrap();
    }
}

/// D2
#[test]
fn a_signal_lets_the_message_in_hand_finish_and_hands_the_others_back() {
    let (stage, url) = stage();
    publish(&stage, &["slow", "second", "third"]);
    let (mut process, _folder) = consuming(&url, "");
    process.tells(1, "begun with slow");
    assert_eq!(process.ends_by("TERM").0, Some(0));
    process.tells(1, "done with slow");
    let left: Vec<_> = stage.take("mine", 2).iter().map(|it| FedoraMessage::read(it).unwrap().body["word"].clone()).collect();
    assert_eq!(left, ["second", "third"]);
}

/// D1
#[test]
fn a_deleted_queue_ends_the_process_with_twelve() {
    let (stage, url) = stage();
    publish(&stage, &["first"]);
    let (mut process, _folder) = consuming(&url, "");
    process.tells(1, "done with first");
    stage.connection.delete_queue("mine").unwrap();
    assert_eq!(process.end(), Some(12));
}

/// D1
#[test]
fn wrong_settings_end_the_process_with_two_and_a_callback_that_cannot_be_made_with_one() {
    ends_with(2, "amqp_ulr = 'amqp://rabbit'", "the nearest is `amqp_url`");
    ends_with(2, "amqp_url = 'http://rabbit'", "the AMQP URL begins with `http:`");
    ends_with(1, "consumer_config = {fail = 'the model is missing'}", "the model is missing");
    ends_with(1, "consumer_config = {fail = 'the model is broken', panic = 'yes'}", "the model is broken");
}

/// D1
#[test]
fn what_cannot_be_declared_ends_the_process_with_ten() {
    let (_stage, url) = stage();
    let url = format!("amqp_url = '{url}'");
    ends_with(10, &format!("{url}\n{}", ONE_QUEUE.replace("mine.lost", "other")), "exists with other arguments");
    ends_with(10, &format!("{url}\n{}", ONE_QUEUE.replace("amq.topic", "nowhere")), "nowhere");
}

/// D1
#[test]
fn a_login_that_is_refused_ends_the_process_with_fourteen() {
    let (_stage, url) = stage();
    let host = url.split('@').nth(1).unwrap();
    ends_with(14, &format!("amqp_url = 'amqp://guest:wrong@{host}'"), "was refused: check user name and password");
    let place = host.split('/').next().unwrap();
    ends_with(14, &format!("amqp_url = 'amqp://guest:guest@{place}/no-such-vhost'"), "no-such-vhost");
}

/// D1
#[test]
fn a_queue_that_may_not_be_read_ends_the_process_with_fifteen() {
    let node = shared_node();
    let (user, vhost) = (unique("reader"), unique("locked"));
    let everything = r#"<<".*">>, <<".*">>"#;
    // Configure and write everything, read only what the binding asks for.
    node.ctl(&[
        "eval",
        &format!(
            r#"ok = rabbit_vhost:add(<<"{vhost}">>, <<"tests">>),
               ok = rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"s3cret">>, <<"tests">>),
               ok = rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>, {everything}, <<"^amq.topic$">>, <<"tests">>)."#
        ),
    ]);
    let url = node.url_of(&vhost).replace("guest:guest", &format!("{user}:s3cret"));
    let plain = ONE_QUEUE.replace(r#"{"x-dead-letter-exchange" = "", "x-dead-letter-routing-key" = "mine.lost"}"#, "{}");
    ends_with(15, &format!("amqp_url = '{url}'\n{plain}"), "ACCESS_REFUSED");
}
