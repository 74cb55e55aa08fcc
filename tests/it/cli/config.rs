//! The configuration as it is read: what is wrong is told at once and with its line, and who wins over whom.

use super::{bootstep, said, snapshot};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

/// A folder with programs, certificates and a secret to name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.program("handle-order", 0o755).program("not-executable", 0o644);
        folder.file("ca.pem", b"").secret("rabbitmq-password", b"hunter2\n", 0o600);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path().join(name), content).unwrap();
        self
    }

    fn program(&self, name: &str, mode: u32) -> &Self {
        self.file(name, "#!/bin/sh\ncat\n").mode(name, mode)
    }

    fn secret(&self, name: &str, content: &[u8], mode: u32) -> &Self {
        self.file(name, content).mode(name, mode)
    }

    fn mode(&self, name: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// What `check` prints to standard output and error, with its exit code; the folder's name is taken out.
    fn check_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String, i32) {
        let mut command = bootstep(&["check"]);
        command.args(arguments).current_dir(self.path()).envs(variables.iter().copied());
        let (out, err, code) = said(&mut command);
        let folder = self.path().canonicalize().unwrap();
        let plain = |text: String| text.replace(&*folder.to_string_lossy(), "FOLDER");
        (plain(out), plain(err), code)
    }

    fn check(&self, name: &str) -> (String, String, i32) {
        self.check_with(&["-c", name], &[])
    }

    /// What is told of a file with mistakes.
    #[track_caller]
    fn mistakes(&self, name: &str) -> String {
        let (out, err, code) = self.check(name);
        assert_eq!((out.as_str(), code), ("", 2), "{err}");
        err
    }
}

const MINIMAL: &str = "[consumers.orders]\nrun = [\"./handle-order\"]\n";

#[cfg(feature = "daemon")]
const MISTAKES: &str = include_str!("mistakes.toml");

#[cfg(feature = "daemon")]
#[test]
fn every_mistake_is_told_at_once_with_its_line_and_what_was_meant() {
    let folder = Folder::new();
    folder.file("bootstep.toml", MISTAKES);
    let told = folder.mistakes("bootstep.toml");
    assert!(!told.contains("hunter2"), "{told}");
    snapshot("config-mistakes", &told);
}

#[cfg(feature = "daemon")]
#[test]
fn what_would_fail_every_message_or_the_boot_is_told_before() {
    let folder = Folder::new();
    folder.file("bootstep.toml", include_str!("useless.toml"));
    snapshot("config-useless", &folder.mistakes("bootstep.toml"));
}

#[test]
fn of_very_many_mistakes_the_first_are_told_and_how_many_there_are() {
    let folder = Folder::new();
    let many: String = (1..=120).map(|number| format!("[queues.q{number}]\nmax_lenght = 3\n")).collect();
    folder.file("bootstep.toml", many);
    let told = folder.mistakes("bootstep.toml");
    assert!(told.starts_with("error: the configuration has 120 mistakes:\n"), "{told}");
    assert!(told.contains("`queues.q50.") && !told.contains("`queues.q51."), "{told}");
    assert!(told.ends_with("\n  and 70 more: mend these first, or see all with `check --json`\n"), "{told}");
    let (out, _err, code) = folder.check_with(&["-c", "bootstep.toml", "--json"], &[]);
    assert_eq!((out.lines().count(), code), (120, 2));
}

#[cfg(feature = "yaml")]
#[test]
fn yaml_and_json_are_told_their_lines_as_well() {
    let folder = Folder::new();
    let yaml = "broker:\n  pasword: hunter2\nconsumers:\n  orders:\n    run: [./handle-order]\n    prefetch: \"many\"\n  odd: !tag 3\n";
    let json = "{\n\t\"consumers\": {\n\t\t\"orders\": {\n\t\t\t\"run\": [\"./handle-order\"],\n\t\t\t\"prefetch\": null,\n\
        \t\t\t\"retries\": 3\n\t\t}\n\t}\n}\n";
    folder.file("bootstep.yaml", yaml).file("bootstep.json", json);
    folder.file("twice.yml", "worker:\n  threads: 1\n  threads: 2\n").file("broken.json", "{\n\"worker\": ");
    let told = ["bootstep.yaml", "bootstep.json", "twice.yml", "broken.json"].map(|name| folder.mistakes(name)).concat();
    assert!(!told.contains("hunter2"), "{told}");
    snapshot("config-yaml", &told);
    folder.file("good.json", json.replace("\t\t\t\"retries\": 3\n", "\t\t\t\"concurrency\": 3\n"));
    assert_eq!(folder.check("good.json").2, 0);
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("folder.toml")).unwrap();
    symlink("nowhere", folder.path().join("dangling.toml")).unwrap();
    folder.file("latin.toml", b"[broker]\nuser = \"M\xfcller\"\n");
    folder.file("broken.toml", "[broker]\npassword = \"hunter2\n\n[worker\nthreads = 1\n");
    folder.file("twice.toml", "[consumers.orders]\nrun = [\"./handle-order\"]\n[consumers.orders]\n");
    let names = ["nowhere.toml", "folder.toml", "dangling.toml", "latin.toml", "broken.toml", "twice.toml"];
    let told = names.map(|name| folder.mistakes(name)).concat();
    assert!(!told.contains("hunter2"), "{told}");
    snapshot("config-unreadable", &told);
}

#[test]
fn a_file_of_two_lines_is_enough() {
    let folder = Folder::new();
    folder.file("bootstep.toml", MINIMAL);
    let (out, err, code) = folder.check("bootstep.toml");
    assert_eq!((err.as_str(), code), ("", 0));
    snapshot("config-minimal", &out);
}

/// The number of this name in what `check --json` says of the consumer.
#[track_caller]
fn prefetch(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> i64 {
    let all = [&["-c", "bootstep.toml", "--json"], arguments].concat();
    let (out, err, code) = folder.check_with(&all, variables);
    assert_eq!(code, 0, "{out}{err}");
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let consumer = lines.into_iter().find(|line| line["kind"] == "consumer").unwrap();
    consumer["prefetch"].as_i64().unwrap()
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let folder = Folder::new();
    folder.file("bootstep.toml", "[consumers.order-Events]\nrun = [\"./handle-order\"]\nprefetch = 1\n");
    let variable = ("BOOTSTEP_CONSUMERS__ORDER_EVENTS__PREFETCH", "2");
    assert_eq!(prefetch(&folder, &[], &[]), 1);
    assert_eq!(prefetch(&folder, &[], &[variable]), 2);
    assert_eq!(prefetch(&folder, &["--set", "consumers.order-Events.prefetch=3"], &[variable]), 3);
    let twice = ["--set", "consumers.order-Events.prefetch=3", "--set", "consumers.order-Events.prefetch=4"];
    assert_eq!(prefetch(&folder, &twice, &[]), 4);
}

#[test]
fn a_consumer_can_come_from_the_environment_alone() {
    let folder = Folder::new();
    folder.file("bootstep.toml", "");
    let variables = [("BOOTSTEP_CONSUMERS__ORDERS__HANDLER", "print"), ("BOOTSTEP_CONSUMERS__ORDERS__PREFETCH", "7")];
    assert_eq!(prefetch(&folder, &[], &variables), 7);
    let variables =
        [("BOOTSTEP_CONSUMERS__ORDERS__RUN", "[\"cat\", \"a,b\"]"), ("BOOTSTEP_CONSUMERS__ORDERS__ACCEPT", "a/b, c/d")];
    assert_eq!(prefetch(&folder, &["--set", "consumers.orders.retry={ fixed = \"1s\", retries = 2 }"], &variables), 20);
}

#[test]
fn what_is_wrong_in_the_environment_or_a_flag_is_told_by_its_name() {
    let folder = Folder::new();
    folder.file(
        "bootstep.toml",
        format!("{MINIMAL}[consumers.a-b]\nhandler = \"print\"\n[consumers.\"a.b\"]\nhandler = \"print\"\n"),
    );
    let variables = [
        ("BOOTSTEP_CONSUMERS__ORDERS__PREFECH", "3"),
        ("BOOTSTEP_CONSUMERS__ORDERS__PREFETCH", "three"),
        ("BOOTSTEP_CONSUMERS__A_B__PREFETCH", "3"),
        ("BOOTSTEP_WORKER__", "3"),
        ("BOOTSTEP_BROKER__URL", "amqp://worker:hunter2@rabbit@hole"),
        ("BOOTSTEP_CONFIG", "elsewhere.toml"),
    ];
    let flags = ["--set", "worker.threads=0", "--set", "hunter2", "--set", "a b=c", "--set", "worker.treads=1"];
    let (out, err, code) = folder.check_with(&[&["-c", "bootstep.toml"], &flags[..]].concat(), &variables);
    assert_eq!((out.as_str(), code), ("", 2));
    assert!(!err.contains("hunter2"), "{err}");
    snapshot("config-environment", &err);
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_a_warning() {
    let folder = Folder::new();
    folder.file("bootstep.toml", include_str!("doubts.toml")).mode("bootstep.toml", 0o644);
    let single = ("BOOTSTEP_BROKER_URL", "amqp://worker:hunter2@rabbit");
    let (out, err, code) = folder.check_with(&["-c", "bootstep.toml"], &[single]);
    assert_eq!((err.as_str(), code), ("", 0));
    assert!(!out.contains("hunter2"), "{out}");
    let warnings: String = out.lines().filter(|line| line.starts_with("warning: ")).map(|line| format!("{line}\n")).collect();
    snapshot("config-doubts", &warnings);
}

#[test]
fn a_secret_that_cannot_be_had_is_told_and_one_that_all_may_read_is_warned_of() {
    let folder = Folder::new();
    folder.secret("open", b"hunter2\n", 0o644).secret("empty", b"\n", 0o600).secret("latin", b"\xff", 0o600);
    let check = |broker: &str, variables: &[(&str, &str)]| {
        folder.file("bootstep.toml", format!("[broker]\n{broker}\n{MINIMAL}")).mode("bootstep.toml", 0o600);
        let (out, err, code) = folder.check_with(&["-c", "bootstep.toml"], variables);
        assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
        let told =
            if code == 0 { out.lines().find(|line| line.starts_with("warning")).unwrap_or_default().into() } else { err };
        format!("{broker}\n{} {code}\n", told.trim_end())
    };
    let here = folder.path().to_str().unwrap();
    let told = [
        check("password_file = \"rabbitmq-password\"", &[]),
        check("password_file = \"missing\"", &[]),
        check("password_file = \".\"", &[]),
        check("password_file = \"empty\"", &[]),
        check("password_file = \"latin\"", &[]),
        check("password_file = \"open\"", &[]),
        check("password_credential = \"rabbitmq-password\"", &[]),
        check("password_credential = \"rabbitmq-password\"", &[("CREDENTIALS_DIRECTORY", here)]),
        check("password_credential = \"../secret\"", &[("CREDENTIALS_DIRECTORY", here)]),
        check("password = \"hunter2\"\npassword_file = \"rabbitmq-password\"", &[]),
        check("password_file = \"missing\"", &[("BOOTSTEP_BROKER__PASSWORD", "hunter2")]),
        check("password = 2", &[]),
        check("url_file = \"rabbitmq-password\"", &[]),
        check("password = 2\nheartbeat = 3", &[("AMQP_URL", "amqp://worker:hunter2@rabbit")]),
    ];
    snapshot("config-secrets", &told.concat());
}

#[cfg(feature = "daemon")]
#[test]
fn every_example_of_the_reference_is_a_good_configuration() {
    let page = include_str!("../../../docs/config.md");
    let folder = Folder::new();
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 6, "{}", examples.len());
    for example in examples {
        folder.file("bootstep.toml", example).mode("bootstep.toml", 0o600);
        let (out, err, code) = folder.check("bootstep.toml");
        assert_eq!((err.as_str(), code), ("", 0), "{example}");
        assert!(!out.contains("warning"), "{out}{example}");
    }
}
