//! The support is tested too: a node that does not die, or that stays behind, would make every fault test a lie.

use super::node::Node;
use super::vhost::{fresh_vhost, shared_vhost, unique};
use super::wait::eventually;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_private_node_survives_a_kill_with_its_data_and_is_gone_after_drop() {
    let mut node = Node::start();
    assert!(node.answers());
    assert!(node.url().ends_with("/%2f"), "{}", node.url());
    node.ctl(&["add_vhost", "kept"]);

    node.kill();
    assert!(!node.answers());
    node.restart();
    assert!(node.answers());
    assert!(node.ctl(&["list_vhosts"]).contains("kept"));

    node.freeze();
    eventually("a frozen node stops answering", SOON, || !node.answers());
    node.thaw();
    eventually("a thawed node answers again", SOON, || node.answers());

    let (folder, ids) = (node.folder(), node.process_ids());
    assert!(ids.into_iter().all(is_running));
    drop(node);
    assert!(!folder.exists());
    eventually("the node's processes are gone", SOON, || !ids.into_iter().any(is_running));
}

#[test]
fn a_frozen_node_is_gone_after_drop_as_well() {
    let mut node = Node::start();
    let ids = node.process_ids();
    node.freeze();
    drop(node);
    eventually("the node's processes are gone", SOON, || !ids.into_iter().any(is_running));
}

#[test]
fn virtual_hosts_are_shared_or_fresh_as_asked_for() {
    let shared = shared_vhost();
    assert!(Arc::ptr_eq(&shared, &shared_vhost()));
    let fresh = fresh_vhost();
    assert_ne!(fresh.url, shared.url);
    assert_ne!(unique("orders"), unique("orders"));
}

fn is_running(id: u32) -> bool {
    let status = Command::new("kill").args(["-s", "0", &id.to_string()]).stderr(Stdio::null()).status();
    status.expect("`kill` starts").success()
}
