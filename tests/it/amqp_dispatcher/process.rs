//! The program as an init system meets it: options, exit codes, SIGTERM.

use super::{config, scripted};
use crate::support::alone::log_here;
use crate::support::process::Process;
use crate::support::stage::{Stage, SOON};
use bootstep::steps::amqp_dispatcher::AmqpDispatcher;
use bootstep::Broker;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

/// Set in a process that is to be the worker of a case: the broker to work on.
const WORKS_ON: &str = "BOOTSTEP_TEST_DISPATCHES_ON";

/// The worker of the cases, in a process that is told to be one.
#[test]
fn the_dispatcher_in_a_process_of_its_own() {
    let Ok(url) = std::env::var(WORKS_ON) else { return };
    log_here();
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", || {
        Ok(scripted(
            |_, _| {
                eprintln!("begun");
                let (_open, gate) = std::sync::mpsc::channel::<()>();
                let _open = &_open;
                let _ = gate.recv_timeout(Duration::from_millis(700));
                eprintln!("done");
                Ok(())
            },
            |why: Option<String>| eprintln!("shut down: {why:?}"),
        ))
    });
    let worker = dispatcher.worker(&config("  consumer_count: 2\n"), Broker::amqp(&url).unwrap()).unwrap();
    std::process::exit(worker.run_to_end().unwrap().into());
}

#[test]
fn sigterm_lets_instances_finish_and_shuts_them_down() {
    let (stage, url) = Stage::rabbitmq_with_url();
    stage.connection.declare_queue(&"work".into()).unwrap();
    let mut tests = Command::new(std::env::current_exe().unwrap());
    let case = "amqp_dispatcher::process::the_dispatcher_in_a_process_of_its_own";
    let mut worker = Process::start(tests.args([case, "--exact", "--nocapture"]).env(WORKS_ON, url));
    stage.publish("work", &["x"]);
    worker.tells(1, "begun");
    worker.signal("TERM");
    assert_eq!(worker.end(), Some(0));
    worker.tells(1, "done");
    worker.tells(2, "shut down: None");
    assert_eq!(stage.ready("work"), 0);
}

/// The example, told where its configuration is.
fn program(arguments: &[&str], config: &str) -> (Option<i32>, String, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let mut example = Command::new(crate::examples::built("amqp_dispatcher"));
    example.args(arguments).args(["--config", &path]).env("RABBITMQ_URL", "amqp://127.0.0.1:1").env("RUST_LOG", "off");
    let output = example.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&path, "config.yml");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn validate_prints_what_is_wrong_and_says_so_by_its_exit_code() {
    let good = "consumers: [{consumer: 'workers.notify:Notify', queue: x}]\n";
    assert_eq!(program(&["--validate"], good), (Some(0), String::new(), String::new()));
    let bad = "consumers: [{consumer: 'workers.notify:Notfy', queu: x}]\n";
    let (code, printed, _) = program(&["--validate", "--connection", "pika"], bad);
    assert_eq!(code, Some(1));
    let expected = "\
config.yml: line 1: consumer 1 has the unknown key `queu`; write `queue`
config.yml: line 1: the consumer `workers.notify:Notfy` has no `queue`
config.yml: `consumer` names `workers.notify:Notfy`, which is not registered; `workers.notify:Notify` is
";
    assert_eq!(printed, expected);
}

#[test]
fn what_cannot_run_ends_with_one() {
    let (code, _, told) = program(&[], "consumers: []\n");
    assert_eq!((code, told.as_str()), (Some(1), "config.yml: the file names no consumers; list them under `consumers`\n"));
    let (code, _, told) = program(&["--config", "/nowhere/config.yml", "--what"], "");
    assert_eq!((code, told.lines().next()), (Some(2), Some("`--what` is no option")));
}

#[test]
fn sigterm_ends_a_worker_whose_broker_is_away() {
    let mut example = Command::new(crate::examples::built("amqp_dispatcher"));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"consumers: [{consumer: 'workers.notify:Notify', queue: x}]\n").unwrap();
    example.arg("--config").arg(file.path()).env("RABBITMQ_URL", "amqp://127.0.0.1:1");
    let mut worker = Process::start(&mut example);
    worker.tells(1, "could not connect");
    let (code, took) = worker.ends_by("TERM");
    assert_eq!(code, Some(0));
    assert!(took < SOON);
}
