//! What is printed of messages.

use super::{given_up, given_up_ago, Place};
use crate::cli::{bootstep, said, snapshot};
use bootstep::{Publication, Queue};
use serde_json::Value as Json;

#[test]
fn its_help_teaches() {
    for name in ["list", "show", "group"] {
        let (out, err, code) = said(&mut bootstep(&["archive", name, "--help"]));
        assert_eq!((err.as_str(), code), ("", 0));
        snapshot(&format!("help-archive-{name}"), &out);
    }
}

#[test]
fn a_line_for_each_message_says_why_it_is_there() {
    let place = Place::archive();
    place.send([given_up("one", "order 4711 timed out"), given_up_ago("two", "refused\n\u{1b}[2J", 7200)]);

    let (out, err, code) = place.said(&["archive", "list", "orders"]);
    assert_eq!((code, err.as_str()), (0, "2 of 2 messages in `orders.archive`\n"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "NO.        AGE  TRIES  FROM                           SIZE  REASON");
    assert_eq!(lines[1], "  1         1m      3  shop order.paid                 3 B  order 4711 timed out");
    assert!(lines[2].starts_with("  2         2h      3  shop order.paid                 3 B  refused\\n\\u{1b}["), "{out}");
    assert_eq!(lines.len(), 3);
    place.until_ready(2);

    let one = place.prints(&["archive", "list", "orders", "--reason", "TIMED"]);
    assert_eq!(one.lines().count(), 2);
    let (_, err, _) = place.said(&["archive", "list", "orders", "--limit", "1"]);
    assert_eq!(err, "1 of 2 messages in `orders.archive`\n");
    let mut narrow = place.command(&["archive", "list", "orders", "--limit", "1"]);
    let (out, _, _) = said(narrow.env("COLUMNS", "90"));
    assert!(out.lines().nth(1).unwrap().ends_with("order 4711 timed out"), "{out}");
    place.until_ready(2);
}

#[test]
fn json_has_no_body_unless_it_is_asked_for() {
    let place = Place::archive();
    place.send([given_up("one", "order 4711 timed out")]);
    let json = |arguments: &[&str]| serde_json::from_str::<Json>(&place.prints(arguments)).unwrap();

    let without = json(&["archive", "list", "orders", "--json"]);
    assert_eq!((&without["body"], &without["number"], &without["size"]), (&Json::Null, &1.into(), &3.into()));
    assert_eq!(without["failure"]["reason"], "order 4711 timed out");
    assert_eq!((&without["exchange"], &without["routing_key"]), (&"shop".into(), &"order.paid".into()));
    let with = json(&["archive", "list", "orders", "--json", "--bodies"]);
    assert_eq!(with["body"], "one");
    let id = with["failure"]["fingerprint"].as_str().unwrap();
    assert_eq!(json(&["archive", "show", "orders", "--json", "--fingerprint", id])["body"], "one");
}

#[test]
fn everything_of_a_message_is_shown_and_none_of_it_drives_the_terminal() {
    let place = Place::archive();
    let mut first = given_up(r#"{"order":{"id":4711}}"#, "bad\u{1b}[0m");
    first.properties.content_type = Some("application/json".into());
    first.properties.message_id = Some("m-1".into());
    place.send([first, given_up("a\u{7}b\nc", "late"), given_up("x".repeat(20_000).as_str(), "large")]);

    let out = place.prints(&["archive", "show", "orders", "--number", "1"]);
    for line in [
        "message 1 of `orders.archive`",
        "  why             bad\\u{1b}[0m",
        "  where           `orders`, 3 attempts",
        "  came by         `shop`, routing key `order.paid`",
        "  content_type    application/json",
        "  x-bootstep-retries              2",
        "body, 21 bytes of JSON",
        "    \"id\": 4711",
    ] {
        assert!(out.lines().any(|it| it == line), "{line:?} is not in:\n{out}");
    }
    assert_eq!(place.prints(&["archive", "show", "orders", "--message-id", "m-1"]), out);
    let second = place.prints(&["archive", "show", "orders", "--reason", "late"]);
    assert!(second.ends_with("body, 5 bytes of text\na\\u{7}b\nc\n"), "{second}");
    let all = place.prints(&["archive", "show", "orders", "--all"]);
    assert_eq!(all.matches("\nmessage ").count(), 2);
    assert!(all.ends_with("… and 10000 bytes more; `--whole` shows them\n"), "{}", &all[all.len() - 100..]);
    assert!(place.prints(&["archive", "show", "orders", "-n3", "--whole"]).ends_with("xxxx\n"));
    let (_, err, code) = place.said(&["archive", "show", "orders", "--number", "9"]);
    assert_eq!(code, 1, "{err}");
    place.until_ready(3);
}

#[test]
fn what_is_no_text_is_dumped() {
    let place = Place::archive();
    place.send([Publication::new("", "", &b"\x00\xffabc"[..])]);
    let out = place.prints(&["archive", "show", "orders"]);
    let dump = "00000000  00 ff 61 62 63                                   ..abc\n";
    assert!(out.ends_with(&format!("body, 5 bytes that are no text\n{dump}")), "{out}");
    assert!(out.contains("no reason is known"), "{out}");
}

#[test]
fn reasons_of_one_sort_are_counted_together() {
    let place = Place::archive();
    place.send([given_up_ago("1", "order 1 timed out", 7200), given_up("2", "refused"), given_up("3", "order 22 timed out")]);
    let (out, err, code) = place.said(&["archive", "group", "orders"]);
    assert_eq!((code, err.as_str()), (0, "2 sorts of reasons for 3 of 3 messages in `orders.archive`\n"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "2 in `orders`: order # timed out");
    assert_eq!(lines[3], "  for example  order 1 timed out");
    let id = lines[1].trim_start_matches("  fingerprint  ");
    assert_eq!(lines[4], format!("  replay       bootstep archive replay orders --fingerprint {id}"));
    assert_eq!(place.prints(&["archive", "list", "orders", "--fingerprint", id]).lines().count(), 3);
    let json: Json =
        serde_json::from_str(place.prints(&["archive", "group", "orders", "--json"]).lines().next().unwrap()).unwrap();
    assert_eq!((&json["count"], &json["fingerprint"]), (&2.into(), &id.into()));
    place.until_ready(3);
}

#[test]
fn what_the_broker_dead_lettered_is_grouped_by_its_reason() {
    let place = Place::with(Queue::new("orders.dead"));
    let connection = &place.stage.connection;
    connection.declare_queue(&Queue::new("orders").dead_letter_to("", "orders.dead")).unwrap();
    place.stage.publish("orders", &["1", "2"]);
    let rejected = connection.consume("orders", 2, |inbox| {
        for _ in 0..2 {
            let letter = inbox.next(crate::support::stage::SOON).unwrap().expect("it was sent");
            inbox.reject(letter.tag).unwrap();
        }
    });
    rejected.unwrap();
    place.until_ready(2);

    let out = place.prints(&["archive", "group", "orders", "--dead"]);
    assert!(out.starts_with("2 in `orders`: rejected on \"…\"\n"), "{out}");
    assert!(out.contains("archive replay orders --dead --fingerprint "), "{out}");
    let same = place.prints(&["archive", "group", "--exactly", "orders.dead"]);
    assert!(same.contains("archive replay --exactly orders.dead --fingerprint "), "{same}");
    let shown = place.prints(&["archive", "show", "orders", "--dead"]);
    assert!(shown.contains("`orders`, one attempt, moved here by the broker"), "{shown}");
}
