//! `check --broker`: what the broker has, has in another way, or refuses, told without touching anything there.

use super::{bootstep, said, snapshot};
use crate::support::listed::stage_to_list;
use crate::support::node::shared_node;
use crate::support::vhost::unique;
use bootstep::{Exchange, Queue};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const FILE: &str = r#"
[exchanges.shop]
type = "topic"

[exchanges.billing]
existing = true

[queues.orders]
type = "quorum"
bind = [
    { exchange = "shop", routing_key = "order.*" },
    { exchange = "warehouse", routing_key = "left" },
]

[queues.theirs]
existing = true

[consumers.orders]
handler = "print"
retry = { delays = ["1s", "5s"] }
"#;

/// What `check --broker` prints to standard output and error, with its exit code.
fn check(file: &str, url: &str, more: &[&str]) -> (String, String, i32) {
    let folder = folder(file);
    let mut command = bootstep(&["check", "--broker", "-c", "bootstep.toml"]);
    said(command.args(more).current_dir(folder.path()).env("AMQP_URL", url))
}

fn folder(file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bootstep.toml"), file).unwrap();
    folder
}

/// The same without what no two brokers have alike.
fn plain(text: &str, vhost: &str) -> String {
    let port = format!("127.0.0.1:{}", shared_node().port());
    let lines = text.replace(vhost, "VHOST").replace(&port, "BROKER");
    let lines = lines.lines().map(|line| match line.strip_prefix("RabbitMQ ").and_then(|rest| rest.split_once(' ')) {
        Some((_version, rest)) => format!("RabbitMQ VERSION {rest}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

fn url(vhost: &str, login: &str) -> String {
    shared_node().url_of(vhost).replace("guest:guest", login)
}

#[test]
fn a_broker_that_has_nothing_yet_would_get_everything_and_gets_nothing() {
    let (_stage, listing) = stage_to_list();
    let file = "[exchanges.shop]\ntype = \"topic\"\n[queues.orders]\ntype = \"quorum\"\nbind = [{ exchange = \"shop\" }]\n\
        [consumers.orders]\nhandler = \"print\"\nretry = { delays = [\"1s\"] }\n";
    let (out, err, code) = check(file, &url(listing.vhost(), "guest:guest"), &[]);
    assert_eq!((err.as_str(), code), ("", 0), "{out}");
    snapshot("check-nothing-yet", &plain(&out, listing.vhost()));
    assert_eq!((listing.queues(), listing.exchanges()), (vec![], vec![]));
}

#[test]
fn what_differs_is_told_all_at_once_and_nothing_is_changed() {
    let (stage, listing) = stage_to_list();
    stage.connection.declare_exchange(&Exchange::direct("shop")).unwrap();
    stage.connection.declare_exchange(&Exchange::fanout("warehouse")).unwrap();
    stage.connection.declare_queue(&Queue::new("orders").quorum()).unwrap();
    let retry = Queue::new("orders.retry.1s").message_ttl(Duration::from_secs(2)).dead_letter_to("", "orders").quorum();
    stage.connection.declare_queue(&retry).unwrap();
    stage.connection.declare_queue(&Queue::new("orders.archive").max_length(5)).unwrap();
    let before = (listing.queues(), listing.exchanges(), listing.bindings());

    let (out, err, code) = check(FILE, &url(listing.vhost(), "guest:guest"), &[]);

    assert_eq!(code, 3, "{out}{err}");
    snapshot("check-differs", &plain(&format!("{out}{err}"), listing.vhost()));
    assert_eq!((listing.queues(), listing.exchanges(), listing.bindings()), before, "and no binding either");
    let (out, err, code) = check(FILE, &url(listing.vhost(), "guest:guest"), &["--json"]);
    assert_eq!((err.as_str(), code), ("", 3));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = |name: &str| lines.iter().find(|line| line["name"] == name).map(|line| line["state"].clone()).unwrap();
    let names = ["shop", "billing", "warehouse", "theirs", "orders.retry.1s", "orders.retry.5s", "orders.archive"];
    let states = ["differs", "missing", "as wanted", "missing", "differs", "to be declared", "used as it is"];
    assert_eq!(names.map(state), states);
}

#[test]
fn all_that_a_user_may_not_do_is_told_at_once() {
    let (stage, listing) = stage_to_list();
    let user = unique("limited");
    let node = shared_node();
    node.ctl(&["add_user", &user, "hunter2"]);
    node.ctl(&["set_permissions", "-p", listing.vhost(), &user, "^$", ".*", ".*"]);
    stage.connection.declare_exchange(&Exchange::topic("shop")).unwrap();
    stage.connection.declare_queue(&Queue::new("orders").quorum()).unwrap();
    let file = "[exchanges.shop]\ntype = \"topic\"\n[queues.orders]\ntype = \"quorum\"\n\
        [consumers.orders]\nhandler = \"print\"\nretry = \"none\"\n";

    let (out, err, code) = check(file, &url(listing.vhost(), &format!("{user}:hunter2")), &[]);

    assert_eq!(code, 3, "{out}{err}");
    let shown = plain(&format!("{out}{err}"), listing.vhost()).replace(&user, "limited");
    assert!(!shown.contains("hunter2"), "{shown}");
    snapshot("check-no-permission", &shown);
}

#[test]
fn a_broker_that_cannot_be_had_ends_with_3_and_shows_no_password() {
    let (_stage, listing) = stage_to_list();
    let (vhost, missing) = (listing.vhost(), unique("missing"));
    let refused = |url: &str| {
        let (out, err, code) = check("[consumers.orders]\nhandler = \"print\"\n", url, &[]);
        assert_eq!((out.as_str(), code), ("", 3), "{err}");
        assert!(!err.contains("hunter2"), "{err}");
        plain(&err, vhost).replace(&missing, "MISSING")
    };
    let told = [
        refused("amqp://worker:hunter2@127.0.0.1:1"),
        refused(&url(vhost, "guest:hunter2")),
        refused(&url(&missing, "guest:guest")),
    ];
    snapshot("check-refused", &told.concat());
}

#[test]
fn a_password_comes_from_a_file_of_which_one_line_end_does_not_count() {
    let (_stage, listing) = stage_to_list();
    let (vhost, port) = (listing.vhost(), shared_node().port());
    let file = |password: &str| {
        format!(
            "[broker]\nhosts = [\"127.0.0.1:{port}\"]\nvirtual_host = \"{vhost}\"\nuser = \"guest\"\n{password}\n\
             [consumers.orders]\nhandler = \"print\"\nretry = \"none\"\n"
        )
    };
    let code = |file: &str, secret: &str| {
        let folder = folder(file);
        std::fs::write(folder.path().join("secret"), secret).unwrap();
        let mut command = bootstep(&["check", "--broker", "-c", "bootstep.toml"]);
        said(command.current_dir(folder.path()).env("CREDENTIALS_DIRECTORY", Path::new(folder.path()))).2
    };
    let (by_file, by_credential) = (file("password_file = \"secret\""), file("password_credential = \"secret\""));
    assert_eq!([code(&by_file, "guest\n"), code(&by_file, "guest\r\n"), code(&by_credential, "guest")], [0, 0, 0]);
    assert_eq!([code(&by_file, "guest\n\n"), code(&by_credential, "hunter2")], [3, 3]);
}
