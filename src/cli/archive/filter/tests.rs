//! Filters, one table for each sort of them.

use super::*;
use crate::message::{Publication, Table};
use clap::Parser;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    filter: Filter,
}

fn filter(arguments: &[&str]) -> Filter {
    Typed::try_parse_from(["it"].iter().chain(arguments)).unwrap_or_else(|err| panic!("{err}")).filter
}

/// A message that was given up an hour ago, with these headers on top.
fn given_up(headers: &[(&str, Value)]) -> Message {
    let hour_ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 3600;
    let mut publication = Publication::new("", "orders.archive", r#"{"order": {"id": 4711, "a/b": "x"}, "tags": ["new"]}"#);
    publication.properties.message_id = Some("m-1".into());
    let known: [(&str, Value); 6] = [
        ("x-bootstep-first-failed", Value::Timestamp(hour_ago)),
        ("x-bootstep-reason", "Order 17 timed out".into()),
        ("x-bootstep-exchange", "shop".into()),
        ("x-bootstep-routing-key", "order.paid.web".into()),
        ("x-bootstep-queue", "orders".into()),
        ("tenant", Value::I64(7)),
    ];
    let all = known.into_iter().chain(headers.iter().cloned());
    publication.properties.headers = Some(all.map(|(name, value)| (name.to_owned(), value)).collect::<Table>());
    Message::from_publication(publication)
}

#[track_caller]
fn check(arguments: &[&str], expected: bool) {
    let message = given_up(&[("trace", "a=b".into()), ("urgent", true.into())]);
    assert_eq!(filter(arguments).prepare().unwrap().matches(&message), expected, "{arguments:?}");
}

#[test]
fn each_filter_is_met_or_not() {
    check(&[], true);
    for met in [
        ["--older-than", "30m"],
        ["--newer-than", "2h"],
        ["--reason", "TIMED out"],
        ["--exchange", "shop"],
        ["--routing-key", "order.#"],
        ["--routing-key", "*.paid.web"],
        ["--message-id", "m-1"],
        ["--header", "tenant"],
        ["--header", "tenant=7"],
        ["--header", "trace=a=b"],
        ["--header", "urgent=true"],
        ["--body", "/order/id=4711"],
        ["--body", "/order/a~1b=x"],
        ["--body", "/tags/0=new"],
        ["--body", r#"/tags=["new"]"#],
    ] {
        check(&met, true);
    }
    for not in [
        ["--older-than", "2h"],
        ["--newer-than", "30m"],
        ["--reason", "refused"],
        ["--exchange", ""],
        ["--routing-key", "order.*"],
        ["--message-id", "m-2"],
        ["--header", "nobody"],
        ["--header", "tenant=8"],
        ["--body", "/order/id=4712"],
        ["--body", "/order/nothing=1"],
        ["--fingerprint", "00000000"],
    ] {
        check(&not, false);
    }
    check(&["--header", "tenant=7", "--header", "urgent"], true);
    check(&["--header", "tenant=7", "--header", "nobody"], false);
}

#[test]
fn a_fingerprint_means_all_of_its_sort() {
    let one = given_up(&[("x-bootstep-reason", "Order 18 timed out".into())]);
    let id = Past::of(&one).fingerprint().id;
    check(&["--fingerprint", &id], true);
    check(&["--fingerprint", &id.to_uppercase()], true);
}

#[test]
fn what_has_no_age_is_neither_older_nor_newer() {
    let message = Message::from_publication(Publication::new("", "orders", "{}"));
    for age in [["--older-than", "1s"], ["--newer-than", "100d"]] {
        let matcher = filter(&age).prepare().unwrap();
        assert!(!matcher.matches(&message) && matcher.is_without_age(&message));
    }
}

#[test]
fn what_the_broker_moved_is_met_by_its_death() {
    let death = |reason: &str, queue: &str, exchange: &str, time: u64| {
        let keys = Value::Array(vec!["order.paid".into()]);
        let table: [(&str, Value); 5] = [
            ("reason", reason.into()),
            ("queue", queue.into()),
            ("exchange", exchange.into()),
            ("routing-keys", keys),
            ("time", Value::Timestamp(time)),
        ];
        Value::Table(table.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let deaths = vec![death("rejected", "late", "dlx", 200), death("expired", "orders", "shop", 100)];
    let mut publication = Publication::new("dlx", "x", "");
    publication.properties.headers = Some(Table::from([("x-death".to_owned(), Value::Array(deaths))]));
    let message = Message::from_publication(publication);

    let past = Past::of(&message);
    assert_eq!((past.reason.as_ref(), past.queue, past.first_failed), ("rejected on `late`", "late", Some(100)));
    assert_eq!((past.exchange, past.routing_key, past.is_by_broker), ("shop", "order.paid", true));
    for met in [["--reason", "Rejected"], ["--exchange", "shop"], ["--routing-key", "order.*"], ["--older-than", "1d"]] {
        assert!(filter(&met).prepare().unwrap().matches(&message), "{met:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_told_with_what_to_write() {
    let check = |arguments: &[&str], expected: &str| {
        let Err(failure) = filter(arguments).prepare() else { panic!("{arguments:?} can be meant") };
        assert_eq!(failure.code, 2);
        assert!(failure.what.contains(expected), "{}", failure.what);
    };
    check(&["--fingerprint", "xyz"], "`archive group` tells them");
    check(&["--header", "=7"], "names no header");
    check(&["--body", "/order"], "has no `=`");
    check(&["--body", "order=1"], "does not begin with `/`");
    check(&["--body", "/a~2=1"], "without `0` or `1`");
    check(&["--older-than", "2h", "--newer-than", "1h"], "exchange the times");
    assert!(Typed::try_parse_from(["it", "--limit", "0"]).is_err());
    assert!(Typed::try_parse_from(["it", "--older-than", "7"]).is_err());
}
