//! `RABBITMQ_URL` and `RABBITMQ_HEARTBEAT` in all the forms that amqp-dispatcher takes.

use crate::support::stage::{Stage, SOON};
use bootstep::steps::amqp_dispatcher::broker_url;
use bootstep::Broker;

#[track_caller]
fn check(url: &str, heartbeat: Option<&str>, expected: &str) {
    let ours = broker_url(url, heartbeat).unwrap();
    assert_eq!(ours, expected);
    Broker::amqp(&ours).unwrap();
}

#[test]
fn a_heartbeat_that_says_nothing_leaves_the_default() {
    for query in ["", "?heartbeat=", "?heartbeat=none", "?heartbeat=None", "?heartbeat=soon", "?heartbeat=-5"] {
        check(&format!("amqp://a/shop{query}"), None, "amqp://a/shop");
    }
    check("amqp://a/shop?heartbeat=5&heartbeat=6", None, "amqp://a/shop");
    check("amqp://a/shop?heartbeat=100000", None, "amqp://a/shop");
}

#[test]
fn a_heartbeat_in_the_query_is_kept() {
    check("amqp://a/shop?heartbeat=5", None, "amqp://a/shop?heartbeat=5");
    check("amqp://a/shop?heartbeat=0", None, "amqp://a/shop?heartbeat=0");
    check("amqp://a/shop?heartbeat=5&heartbeat=", None, "amqp://a/shop?heartbeat=5");
    check("amqp://a/shop?heartbeat=5&frame_max=8192", None, "amqp://a/shop?frame_max=8192&heartbeat=5");
}

#[test]
fn the_override_wins_over_the_query() {
    check("amqp://a/shop?heartbeat=5", Some("30"), "amqp://a/shop?heartbeat=30");
    check("amqp://a/shop", Some("30"), "amqp://a/shop?heartbeat=30");
    check("amqp://a/shop?heartbeat=5", Some(""), "amqp://a/shop?heartbeat=5");
    check("amqp://a/shop?heartbeat=5&heartbeat=6", Some("0"), "amqp://a/shop?heartbeat=0");
}

#[test]
fn an_override_that_is_no_number_is_an_error() {
    let err = broker_url("amqp://a", Some("often")).unwrap_err().to_string();
    assert!(err.starts_with("`RABBITMQ_HEARTBEAT` is not a number"), "{err}");
}

#[test]
fn hosts_share_the_port_behind_the_last() {
    check("amqp://guest:guest@localhost:5672/", None, "amqp://guest:guest@localhost:5672");
    check("amqp://a,b,c:5673/", None, "amqp://a:5673,b:5673,c:5673");
    check("amqp://a:1,b,[::1]:3/x", None, "amqp://a:1,b:3,[::1]:3/x");
    check("amqp://a,b/x", None, "amqp://a,b/x");
    check("amqp://[::1],b:7", None, "amqp://[::1]:7,b:7");
}

#[test]
fn a_password_may_have_an_at_sign() {
    check("amqp://shop:p@ss@a:5673/x", None, "amqp://shop:p%40ss@a:5673/x");
    check("amqp://shop:p/ss@a:5673/x", None, "amqp://shop:p%2fss@a:5673/x");
}

/// It is no host, and the login is nothing to tell it.
#[test]
fn a_virtual_host_may_have_an_at_sign() {
    check("amqp://shop:pass@a:5673/x@y", None, "amqp://shop:pass@a:5673/x%40y");
}

/// There, a first host that is down ended the worker.
#[test]
fn a_host_that_is_down_is_passed_over() {
    let (_stage, url) = Stage::rabbitmq_with_url();
    let several = url.replacen('@', "@127.0.0.1:1,", 1);
    assert_ne!(several, url);
    let broker = Broker::amqp(&broker_url(&several, Some("5")).unwrap()).unwrap();
    // In random order: of ten, some begin with the one that is down.
    (0..10).for_each(|_| broker.connect("test").unwrap().close(SOON));
}
