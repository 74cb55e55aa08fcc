//! Who may come in, and by what: trust in the broker, user and password, a certificate of ours.

use crate::nodes::{shared_node, TlsNode, CLIENT, SOON};
use crate::support::wait::{eventually, holds_within};
use bootstep::{Broker, Consumer, Fault, Outcome, Publication, Queue, Worker};
use std::env;
use std::process::Command;
use std::sync::mpsc::sync_channel;

#[track_caller]
fn fails(url: &str, fault: Fault, expected: &str) {
    let err = Broker::amqp(url).unwrap().connect("test").expect_err("it is refused");
    assert!(err.to_string().contains(expected), "{err}");
    assert_eq!(err.fault(), fault, "{err}");
    assert!(!format!("{err} {err:?}").contains("s3cret"), "{err}");
}

#[track_caller]
fn opens(url: &str) -> bootstep::Connection {
    Broker::amqp(url).unwrap().connect("test").unwrap_or_else(|err| panic!("{url}: {err}"))
}

#[test]
fn a_broker_whose_authority_is_named_is_trusted_by_name_and_by_address() {
    let node = shared_node();
    assert!(opens(&node.url("verify=verify_peer")).place().starts_with("guest@localhost:"));
    opens(&node.url_at("127.0.0.1", node.0.tls_port(), ""));
    opens(&node.url("server_name_indication=broker.example"));
    // Several hosts share the setting; the one that answers is found.
    opens(&node.url_at("127.0.0.1:1,localhost", node.0.tls_port(), ""));
}

#[test]
fn an_authority_that_the_system_trusts_needs_no_file() {
    // What the system trusts is a matter of the environment, and so of a process of its own: this test once more.
    if let Ok(url) = env::var("BOOTSTEP_TLS_URL") {
        return drop(opens(&url));
    }
    let node = shared_node();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "login::an_authority_that_the_system_trusts_needs_no_file"])
        .env("BOOTSTEP_TLS_URL", format!("amqps://localhost:{}", node.0.tls_port()))
        .env("SSL_CERT_FILE", node.file("ca.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_broker_that_is_not_trusted_or_not_the_one_that_was_meant_is_refused() {
    let node = shared_node();
    let port = node.0.tls_port();
    let stranger = node.file("stranger.pem").display().to_string();
    let nobody = "its certificate is from nobody who is trusted here; `cacertfile`";
    fails(&format!("amqps://localhost:{port}?cacertfile={stranger}"), Fault::AccessRefused, nobody);
    fails(&format!("amqps://guest:s3cret@localhost:{port}"), Fault::AccessRefused, nobody);
    let named = "its certificate is not for `other.example`; names in it: ";
    fails(&node.url("server_name_indication=other.example"), Fault::AccessRefused, named);
    fails(&node.url_at("127.0.0.2,127.0.0.2", 1, ""), Fault::Unreachable, "none of the 2 hosts could be used");
    fails(&node.url("server_name_indication=not%20a%20name"), Fault::Config, "`not a name` can be in no certificate");
}

#[test]
fn a_password_is_checked_as_without_tls() {
    let node = shared_node();
    fails(&node.url_at("guest:s3cret@localhost", node.0.tls_port(), ""), Fault::AccessRefused, "check user name and password");
}

#[test]
fn a_certificate_of_ours_says_who_we_are() {
    let node = shared_node();
    let external = "certfile={folder}/client.pem&keyfile={folder}/client.key&auth_mechanism=external";
    let connection = opens(&node.url(external));
    assert!(connection.place().starts_with("localhost:"), "{}", connection.place());
    let users = || node.0.ctl(&["list_connections", "user", "auth_mechanism"]);
    eventually("the broker has it so", SOON, || users().contains(&format!("{CLIENT}\tEXTERNAL")));
}

#[test]
fn a_certificate_of_ours_that_the_broker_does_not_trust_is_told() {
    let node = shared_node();
    let strange = "certfile={folder}/strange.pem&keyfile={folder}/strange.key&auth_mechanism=external";
    fails(&node.url(strange), Fault::AccessRefused, "it does not trust the authority of our certificate");
}

#[test]
fn a_broker_that_demands_a_certificate_says_so() {
    // In TLS 1.2 the broker says nothing more than that the handshake fails.
    let node = TlsNode::start("ssl_options.fail_if_no_peer_cert = true\nssl_options.versions.1 = tlsv1.2\n");
    fails(&node.url(""), Fault::AccessRefused, "it may demand a certificate of ours (`certfile` and `keyfile`)");
    let ours = "certfile={folder}/client.pem&keyfile={folder}/client.key";
    opens(&node.url(ours));
    let external = format!("{ours}&auth_mechanism=external");
    fails(&node.url(&external), Fault::AccessRefused, "the broker knows no user by the name in our certificate");
}

#[test]
fn a_killed_broker_that_demands_a_certificate_comes_back() {
    let mut node = TlsNode::start("ssl_options.fail_if_no_peer_cert = true\nssl_options.versions.1 = tlsv1.3\n");
    fails(&node.url(""), Fault::AccessRefused, "it demands a certificate of ours; set `certfile` and `keyfile`");
    let broker = Broker::amqp(&node.url("certfile={folder}/client.pem&keyfile={folder}/client.key")).unwrap();
    let (tell, told) = sync_channel(8);
    let mut worker = Worker::new(broker.clone());
    worker.steps.add(Consumer::new(Queue::new("numbers").quorum(), move |number: String, _| {
        tell.send(number)?;
        Ok(Outcome::Ack)
    }));
    let running = worker.start().unwrap();
    let publish = |number: &str| {
        broker.connect("test").unwrap().publish(&[Publication::new("", "numbers", number).mandatory()], SOON).unwrap();
        assert!(holds_within(SOON, || told.recv_timeout(SOON).unwrap() == number));
    };
    publish("1");
    node.0.kill();
    node.0.restart();
    publish("2");
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_worker_does_not_wait_for_a_certificate_to_be_trusted() {
    let node = shared_node();
    let url = format!("amqps://localhost:{}?cacertfile={}", node.0.tls_port(), node.file("stranger.pem").display());
    let err = Worker::new(Broker::amqp(&url).unwrap()).start().map(drop).unwrap_err();
    assert_eq!(err.fault(), Fault::AccessRefused, "{err}");
}
