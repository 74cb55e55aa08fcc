//! How a look ends that does not come to the end of the queue.

use super::{given_up, said, Place};
use crate::support::node::shared_node;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

#[test]
fn an_empty_queue_says_so_and_a_missing_one_what_to_do() {
    let place = Place::archive();
    for look in ["list", "group"] {
        let (out, err, code) = place.said(&["archive", look, "orders"]);
        assert_eq!((out.as_str(), err.as_str(), code), ("", "`orders.archive` is empty\n", 0));
    }
    for (arguments, hint) in [(&["orders", "--dead"][..], "leave `--dead` out"), (&["--exactly", "x"], "the virtual host")] {
        let (out, err, code) = place.said(&[&["archive", "list"], arguments].concat());
        assert_eq!((out.as_str(), code), ("", 3), "{err}");
        assert!(err.starts_with("error: there is no queue `") && err.contains(hint), "{err}");
    }
}

#[test]
fn what_cannot_be_meant_ends_with_2_before_the_broker_is_asked() {
    for wrong in [
        &["archive", "list"][..],
        &["archive", "list", "orders", "--exactly", "orders"],
        &["archive", "list", "orders", "--body", "id=1"],
        &["archive", "list", "orders", "--older-than", "soon"],
        &["archive", "list", "orders", "--limit", "0"],
        &["archive", "list", "orders", "--bodies"],
        &["archive", "show", "orders", "--number", "1", "--all"],
    ] {
        let (out, err, code) = said(super::bootstep(wrong).env("AMQP_URL", "amqp://127.0.0.1:1"));
        assert_eq!((out.as_str(), code), ("", 2), "{wrong:?}: {err}");
    }
}

#[test]
fn whoever_reads_no_further_ends_it_quietly_and_all_is_back() {
    let place = full_place(5000);
    let (child, out) = midway(&place);
    drop(out);
    assert_eq!(ended(child), (Some(0), String::new()));
    place.until_ready(5000);
}

#[test]
fn ctrl_c_ends_it_with_1_and_all_is_back() {
    let place = full_place(5000);
    let (child, mut out) = midway(&place);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    out.read_to_string(&mut String::new()).unwrap();
    let (code, complaint) = ended(child);
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("of 5000 messages; all of them are back on `orders.archive`"), "{complaint}");
    place.until_ready(5000);
}

#[test]
fn a_lost_connection_is_told_and_loses_nothing() {
    if std::env::var_os("AMQP_URL").is_some() {
        return; // nobody can be asked there to close connections
    }
    // More than it has asked for by then.
    let mut place = full_place(8000);
    let (child, mut out) = midway(&place);
    shared_node().ctl(&["close_all_connections", "--vhost", place.stage.vhost_name(), "for a test"]);
    out.read_to_string(&mut String::new()).unwrap();
    let (code, complaint) = ended(child);
    assert_eq!(code, Some(3), "{complaint}");
    assert!(complaint.starts_with("error: the broker ended the walk through `orders.archive` after "), "{complaint}");
    assert!(complaint.contains("Nothing is lost: what was not taken is on the queue"), "{complaint}");
    place.stage = place.stage.reconnected();
    place.until_ready(8000);
}

fn full_place(messages: usize) -> Place {
    let place = Place::archive();
    place.send((0..messages).map(|number| given_up(&number.to_string(), "late")));
    place
}

/// A list under way: it has filled the pipe, and waits there in the midst of the queue.
fn midway(place: &Place) -> (Child, BufReader<ChildStdout>) {
    let mut command = place.command(&["archive", "list", "orders"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        out.read_line(&mut String::new()).unwrap();
    }
    (child, out)
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    (child.wait().unwrap().code(), complaint)
}
