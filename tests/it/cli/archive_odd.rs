//! `archive replay`, `export`, `drop` and `record --take` where messages cannot be read, and where a queue counts each look.

use super::publish::on;
use super::said;
use crate::support::process::Process;
use crate::support::raw::{short, RawProperties, RawPublisher};
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{headers, Message, Properties, Publication, Queue};
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

const CONTENT_TYPE: u16 = 1 << 15;

#[track_caller]
fn check(url: &str, arguments: &[&str], expected_code: i32, expected: &[&str]) {
    let (out, err, code) = said(&mut on(url, arguments));
    assert_eq!(code, expected_code, "{arguments:?}: {out}{err}");
    assert!(expected.iter().all(|words| err.contains(words)), "{arguments:?}: {err}");
}

fn bodies(messages: &[Message]) -> Vec<&[u8]> {
    messages.iter().map(Message::body).collect()
}

#[test]
fn what_cannot_be_read_stays_where_it_is() {
    let (stage, url) = Stage::rabbitmq_with_url();
    stage.connection.declare_queue(&Queue::new("letters").bind("amq.fanout", "")).unwrap();
    stage.connection.declare_queue(&Queue::new("other")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [exported, recorded] = ["exported", "recorded"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let publish_three = || {
        let mut raw = RawPublisher::connect(&url);
        let broken = RawProperties { flags: CONTENT_TYPE, list: &short(b"text/\xff") };
        let plain = RawProperties { flags: 0, list: &[] };
        for (properties, body) in [(&plain, b"1"), (&broken, b"2"), (&plain, b"3")] {
            raw.publish(b"amq.fanout", b"", properties, body).unwrap();
        }
        stage.until("the three are there", || stage.ready("letters") == 3);
    };
    let left = |expected: &str| {
        stage.until("it is back", || stage.ready("letters") == 1);
        assert_eq!(bodies(&stage.take("letters", 1)), [b"2"], "after {expected}");
    };
    publish_three();
    let replay = ["archive", "replay", "--exactly", "letters", "--to", "other", "--limit", "2"];
    check(&url, &replay, 1, &["1 message stayed: what it has cannot be read", "replayed 2 messages of the 3"]);
    assert_eq!(bodies(&stage.take("other", 2)), [b"1", b"3"]);
    left("replay");

    publish_three();
    let export = ["archive", "export", "--exactly", "letters", "--drop", "--limit", "2", "--to", &exported];
    check(&url, &export, 1, &["1 message stayed: what they have cannot be read", "exported 2 messages of the 3"]);
    assert_eq!(fs::read_to_string(&exported).unwrap().lines().count(), 2);
    left("export");

    publish_three();
    let record = ["record", "--queue", "letters", "--take", "--for", "1s", "--to", &recorded];
    check(&url, &record, 0, &["a message is left where it is", "recorded 2 messages"]);
    assert_eq!(fs::read_to_string(&recorded).unwrap().lines().count(), 2);
    left("record");

    // The second time it comes first, and is all that may be unsettled at once.
    publish_three();
    let record = ["record", "--queue", "letters", "--take", "--for", "10s", "--limit", "1", "--append", "--to", &recorded];
    check(&url, &record, 0, &["recorded 1 message to"]);
    stage.until("two are left", || stage.ready("letters") == 2);
    check(&url, &record, 0, &["a message is left where it is", "recorded 1 message to"]);
    left("record");
}

#[test]
fn a_queue_that_counts_looks_is_not_gone_through_without_a_yes() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let archive = Queue::new("orders.archive").quorum().delivery_limit(5);
    stage.connection.declare_queue(&archive).unwrap();
    stage.connection.declare_queue(&Queue::new("orders")).unwrap();
    let odd = Publication::new("", "orders.archive", "odd");
    let letters: Vec<_> = (0..10).map(|id| Publication::new("", "orders.archive", id.to_string())).collect();
    stage.send(&letters).unwrap();
    stage.send(&[odd.with(bootstep::Properties::default().header("odd", true))]).unwrap();
    let replay = ["archive", "replay", "orders", "--to", "orders", "--header", "odd=true"];
    if !stage.is_rabbitmq_from([4, 3, 0]) {
        check(&url, &replay, 2, &["delivery limit of 5", "--yes"]);
    }
    check(&url, &[&replay[..], &["--yes"]].concat(), 0, &["replayed 1 message of the 11"]);
    assert_eq!(bodies(&stage.take("orders", 1)), [b"odd"]);
    stage.until("the others are back", || stage.ready("orders.archive") == 10);
    check(&url, &["archive", "drop", "orders", "--yes"], 0, &["dropped 10 messages of the 10"]);
}

/// A stage with messages in `orders.archive`, by their bodies and the queues they failed in.
fn archived(letters: &[(&str, &str)]) -> (Stage, String) {
    let (stage, url) = Stage::rabbitmq_with_url();
    stage.connection.declare_queue(&Queue::new("orders.archive")).unwrap();
    let letter = |(body, queue): &(&str, &str)| {
        Publication::new("", "orders.archive", *body).with(Properties::default().header(headers::QUEUE, *queue)).mandatory()
    };
    stage.send(&letters.iter().map(letter).collect::<Vec<_>>()).unwrap();
    stage.until("all are there", || stage.ready("orders.archive") as usize == letters.len());
    (stage, url)
}

#[test]
fn only_those_that_somebody_has_agreed_to_are_dropped() {
    let (stage, url) = archived(&[("1", "orders"), ("2", "orders"), ("3", "orders")]);
    let folder = tempfile::tempdir().unwrap();
    let screen = folder.path().join("screen");
    let (mut keyboard, plugged) = UnixStream::pair().unwrap();
    let typed = format!("{} archive drop orders --limit 2", env!("CARGO_BIN_EXE_bootstep"));
    // A terminal, for somebody to be asked at.
    let mut terminal = Command::new("script");
    terminal.args(["-qefc", &typed]).arg(&screen).env("AMQP_URL", &url).stdin(OwnedFd::from(plugged));
    let mut dropping = Process::start(&mut terminal);
    let shows = |what: &str| fs::read_to_string(&screen).is_ok_and(|text| text.contains(what));
    eventually("it asks", SOON, || shows("2 messages of the 3 in `orders.archive` would be gone for good. Go on?"));
    stage.until("all are back", || stage.ready("orders.archive") == 3);
    let take_first = |inbox: &mut bootstep::Inbox<'_>| {
        let first = inbox.next(SOON).unwrap().expect("it is ready");
        assert_eq!(first.message.body(), b"1");
        inbox.ack(first.tag).unwrap();
    };
    stage.connection.consume("orders.archive", 1, take_first).unwrap();
    stage.until("the others are back", || stage.ready("orders.archive") == 2);
    keyboard.write_all(b"y\n").unwrap();
    assert_eq!(dropping.end(), Some(1));
    assert!(shows("1 message of those you agreed to"), "{:?}", fs::read_to_string(&screen));
    stage.until("the third is back", || stage.ready("orders.archive") == 1);
    assert_eq!(bodies(&stage.take("orders.archive", 1)), [b"3"]);
}

#[test]
fn what_stays_does_not_count_against_the_limit() {
    let (stage, url) = archived(&[("1", "gone"), ("2", "gone"), ("3", "orders"), ("4", "orders")]);
    stage.connection.declare_queue(&Queue::new("orders")).unwrap();
    let replay = ["archive", "replay", "orders", "--limit", "1"];
    check(&url, &replay, 1, &["2 messages stayed: no queue takes it", "replayed 1 message of the 4"]);
    assert_eq!(bodies(&stage.take("orders", 1)), [b"3"]);
    stage.until("the others are back", || stage.ready("orders.archive") == 3);
}

#[test]
fn what_another_consumer_holds_is_told() {
    let (stage, url) = archived(&[("1", "orders"), ("2", "orders"), ("3", "orders")]);
    let look = |inbox: &mut bootstep::Inbox<'_>| {
        (0..2).for_each(|_| drop(inbox.next(SOON).unwrap().expect("it is ready")));
        let held = "`orders.archive` has 1 consumer: what is held there is not seen here";
        check(&url, &["archive", "list", "orders"], 0, &[held, "1 of 1 messages"]);
    };
    stage.connection.consume("orders.archive", 2, look).unwrap();
}

#[test]
fn messages_do_not_push_others_out_of_a_queue_without_a_yes() {
    let (stage, url) = archived(&[("1", "orders"), ("2", "orders"), ("3", "orders")]);
    stage.connection.declare_queue(&Queue::new("orders").max_length(2)).unwrap();
    let replay = ["archive", "replay", "orders"];
    let loss = "`orders` drops its oldest messages when it has more than 2 messages";
    check(&url, &replay, 2, &[loss, "up to 3 messages would go there", "--yes"]);
    check(&url, &[&replay[..], &["--to", "orders"]].concat(), 2, &[loss, "--yes"]);
    stage.until("all are there still", || stage.ready("orders.archive") == 3);
    check(&url, &[&replay[..], &["--dry-run"]].concat(), 0, &[loss, "would replay 3 messages"]);
    stage.until("all are there still", || stage.ready("orders.archive") == 3);
    check(&url, &[&replay[..], &["--limit", "2"]].concat(), 0, &["replayed 2 messages of the 3"]);
    check(&url, &[&replay[..], &["--yes"]].concat(), 0, &["replayed 1 message of the 1"]);
    assert_eq!(bodies(&stage.take("orders", 2)), [b"2", b"3"]);
}

#[test]
fn no_more_are_taken_out_than_are_wanted() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let archive = Queue::new("orders.archive").quorum().delivery_limit(2).dead_letter_to("", "lost");
    stage.connection.declare_queue(&archive).unwrap();
    for queue in ["orders", "lost"] {
        stage.connection.declare_queue(&Queue::new(queue)).unwrap();
    }
    let letters: Vec<_> = (0..100).map(|id| Publication::new("", "orders.archive", id.to_string())).collect();
    stage.send(&letters).unwrap();
    stage.until("they are there", || stage.ready("orders.archive") == 100);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exported");
    let file = file.to_str().unwrap();
    for _ in 0..3 {
        check(&url, &["archive", "drop", "orders", "--limit", "1", "--yes"], 0, &["dropped 1 message of the"]);
        check(&url, &["archive", "drop", "orders", "--limit", "12", "--yes"], 0, &["dropped 12 messages of the"]);
        let replay = ["archive", "replay", "orders", "--to", "orders", "--limit", "12", "--yes"];
        check(&url, &replay, 0, &["replayed 12 messages of the"]);
        let export = ["archive", "export", "orders", "--drop", "--to", file, "--append", "--limit", "1", "--yes"];
        check(&url, &export, 0, &["exported 1 message of the"]);
    }
    stage.until("the others are there", || stage.ready("orders.archive") == 22);
    let left = stage.take("orders.archive", 22);
    assert!(left.iter().all(|message| message.header("x-delivery-count").is_none()), "none was taken out before");
    assert_eq!((stage.ready("orders"), stage.ready("lost")), (36, 0));
}
