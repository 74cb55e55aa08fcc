//! `run`: a worker made of a file, as an init system meets it.

use super::{bootstep, said};
use crate::support::process::Process;
use crate::support::stage::Stage;
use bootstep::{headers, Publication, Queue, Value};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a configuration and the script that it runs.
struct Workplace(TempDir);

impl Workplace {
    fn new(config: &str, script: &str) -> Workplace {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("bootstep.toml"), config).unwrap();
        let program = folder.path().join("handle");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Workplace(folder)
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("bootstep.toml")
    }

    fn running(&self, url: &str, stage: &Stage, more: &[&str]) -> Process {
        let config = self.config();
        let mut arguments = vec!["run", "-c", config.to_str().unwrap()];
        arguments.extend(more);
        let worker = Process::start(bootstep(&arguments).env("AMQP_URL", url));
        stage.until("the worker consumes", || {
            stage.connection.declare_queue(&Queue::existing("jobs")).is_ok_and(|queue| queue.consumers == 1)
        });
        worker
    }
}

const JOBS: &str = "[consumers.jobs]\nrun = ['./handle']\nretry = { delays = ['50ms'] }\n";

#[test]
fn an_exit_code_says_what_becomes_of_a_message() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let workplace = Workplace::new(JOBS, "code=$(cat); echo \"code $code\" >&2; exit \"$code\"");
    let mut worker = workplace.running(&url, &stage, &[]);
    stage.publish("jobs", &["0", "65", "75", "3"]);
    let mut given_up: Vec<_> = stage.take("jobs.archive", 2).iter().map(|it| (it.body().to_vec(), it.retries())).collect();
    given_up.sort();
    assert_eq!(given_up, [(b"3".to_vec(), 1), (b"75".to_vec(), 1)]);
    let dead = stage.take("jobs.dead", 1).remove(0);
    assert_eq!(dead.header(headers::REASON).and_then(Value::as_str), Some("code 65"));
    assert_eq!(worker.ends_by("TERM").0, Some(0));
    assert_eq!(stage.ready("jobs"), 0);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let config = format!("{JOBS}prefetch = 1\n[broker]\nurl = 'amqp://nobody@127.0.0.1:1'\n[logging]\nlevel = 'error'\n");
    let workplace = Workplace::new(&config, "exit 0");
    let worker = workplace.running(&url, &stage, &["--set", "logging.format=json", "--log", "info"]);
    worker.tells(1, r#""level":"INFO""#);
    worker.tells(1, r#""message":"boot order:"#);
}

#[test]
fn a_flag_for_the_log_wins_over_rust_log_which_counts_for_nothing_when_empty() {
    let workplace = Workplace::new(JOBS, "exit 0");
    let config = workplace.config();
    let tells = |arguments: &[&str], filter: &str| {
        let mut all = vec!["run", "-c", config.to_str().unwrap(), "--url", "amqp://127.0.0.1:1"];
        all.extend(arguments);
        Process::start(bootstep(&all).env("RUST_LOG", filter)).tells(1, "INFO  bootstep::worker] boot order:");
    };
    tells(&[], "");
    tells(&["--log", "info"], "error");
    tells(&["--set", "logging.level=info"], "error");
}

#[test]
fn a_variable_that_is_not_utf_8_is_an_error_and_not_the_default() {
    use std::os::unix::ffi::OsStrExt;
    let broken = std::ffi::OsStr::from_bytes(b"amqp://\xff");
    let (_, err, code) = said(bootstep(&["publish", "--queue", "jobs", "x"]).env("AMQP_URL", broken));
    assert_eq!((err.as_str(), code), ("error: the environment variable `AMQP_URL` is not UTF-8\n", 2));
}

#[test]
fn a_log_in_json_is_nothing_else_though_programs_write_what_they_like() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let workplace = Workplace::new(JOBS, "printf 'in \"two\"\\nlines' >&2");
    let mut worker = workplace.running(&url, &stage, &["--log-json", "--log", "warn"]);
    stage.publish("jobs", &["one"]);
    worker.tells(1, r#""message":"lines""#);
    assert_eq!(worker.ends_by("TERM").0, Some(0));
    let records = worker.log().into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).expect("it is JSON"));
    let theirs: Vec<_> = records.filter(|record| record["target"].as_str().unwrap().ends_with("/handle")).collect();
    assert_eq!((theirs.len(), &theirs[0]["message"], &theirs[0]["level"]), (2, &"in \"two\"".into(), &"INFO".into()));
    assert!(theirs[0]["time"].as_str().unwrap().ends_with('Z'), "{theirs:?}");
}

#[cfg(feature = "http")]
#[test]
fn a_port_that_another_program_listens_at_is_a_step_that_did_not_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workplace = Workplace::new(JOBS, "exit 0");
    let listen = format!("health.listen={}", taken.local_addr().unwrap());
    let config = workplace.config();
    let (_out, err, code) = said(&mut bootstep(&["run", "-c", config.to_str().unwrap(), "--set", &listen]));
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("step `serve-health` did not start"), "{err}");
}

#[test]
fn what_is_no_setting_ends_it_with_2_and_what_the_broker_refuses_with_3() {
    let (_stage, url) = Stage::rabbitmq_with_url();
    let workplace = Workplace::new(JOBS, "exit 0");
    let config = workplace.config();
    let run = |more: &[&str], url: &str| {
        let mut arguments = vec!["run", "-c", config.to_str().unwrap()];
        arguments.extend(more);
        let (out, err, code) = said(bootstep(&arguments).env("AMQP_URL", url));
        assert_eq!(out, "");
        (err, code)
    };
    let (err, code) = run(&["--set", "consumers.jobs.prefetsh=5"], &url);
    assert_eq!(code, 2);
    assert!(err.contains("`prefetch`"), "{err}");

    let (err, code) = run(&["--log", "bootstep=zzz"], &url);
    assert_eq!(code, 2);
    assert!(err.starts_with("error: --log: ") && err.ends_with("`off`, `error`, `warn`, `info`, `debug`, `trace`\n"), "{err}");

    let (err, code) = run(&[], &url.replace("guest:guest", "guest:wr0ng-secret"));
    assert_eq!(code, 3);
    assert!(err.contains("step `connect` did not start") && !err.contains("wr0ng-secret"), "{err}");

    let (err, code) = run(&["--set", "consumers.jobs.run=./no-such-program"], &url);
    assert_eq!(code, 2);
    assert!(err.contains("no-such-program"), "{err}");
}

#[test]
fn a_program_that_children_outlive_is_not_waited_for_when_the_worker_ends() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let workplace = Workplace::new(&format!("{JOBS}persistent = true\n"), "while read -r line; do echo ack; done");
    let mut worker = workplace.running(&url, &stage, &[]);
    stage.publish("jobs", &["one", "two"]);
    stage.until("both are handled", || stage.ready("jobs") == 0);
    assert_eq!(worker.ends_by("TERM").0, Some(0));
}

#[test]
fn handlers_without_a_program_print_and_append() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let config = "[consumers.jobs]\nhandler = 'print'\n[consumers.kept]\nhandler = { append = 'kept.txt' }\n";
    let workplace = Workplace::new(config, "exit 0");
    let worker = workplace.running(&url, &stage, &[]);
    stage.publish("jobs", &["to be printed"]);
    stage.send(&[Publication::new("", "kept", "to be kept").mandatory()]).unwrap();
    worker.prints(1, "to be printed");
    let kept = |folder: &Path| std::fs::read_to_string(folder.join("kept.txt")).unwrap_or_default();
    stage.until("it is kept", || kept(workplace.0.path()) == "to be kept\n");
}
