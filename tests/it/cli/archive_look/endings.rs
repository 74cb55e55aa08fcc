//! How a look ends that does not come to the end of the queue.

use super::{given_up, said, Place};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

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
    let place = Place::archive();
    place.send((0..5000).map(|number| given_up(&number.to_string(), "late")));
    let mut child =
        place.command(&["archive", "list", "orders"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().trim_start().starts_with("NO."));
    drop(lines);
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
    place.until_ready(5000);
}

#[test]
fn ctrl_c_ends_it_with_1_and_all_is_back() {
    let place = Place::archive();
    place.send((0..5000).map(|number| given_up(&number.to_string(), "late")));
    let mut child =
        place.command(&["archive", "list", "orders"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // It fills the pipe and waits there, in the midst of the queue.
    out.read_line(&mut String::new()).unwrap();
    out.read_line(&mut String::new()).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{complaint}");
    assert!(complaint.contains("of 5000 messages; all of them are back on `orders.archive`"), "{complaint}");
    place.until_ready(5000);
}
