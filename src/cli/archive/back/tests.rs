//! What of a message goes back to work, and what stays behind, message by message.

use super::*;
use crate::message::{Delivery, Parts, Properties};
use std::collections::BTreeSet;

fn message(headers: &[(&str, Value)], change: impl FnOnce(&mut Properties)) -> Message {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let mut properties = Properties { headers: Some(headers), ..Properties::default() };
    change(&mut properties);
    let parts = Parts { exchange: String::new(), routing_key: "jobs.archive".into(), properties, body: "x".into() };
    Message::new(&Delivery { tag: 1, redelivered: false, parts: parts.into(), flaw: None }, &"jobs.archive".into())
}

fn moved(more: &[(&str, Value)]) -> Message {
    let moved = [
        (headers::QUEUE, "jobs".into()),
        (headers::EXCHANGE, "shop".into()),
        (headers::ROUTING_KEY, "job.new".into()),
        (headers::REASON, "jammed".into()),
        (headers::RETRIES, Value::I32(5)),
        (headers::RETRY_COUNT, Value::I32(5)),
        (headers::REDELIVERIES, Value::I32(1)),
        (headers::FIRST_FAILED, Value::Timestamp(1)),
        (headers::PUBLISH_ID, Value::I64(9)),
        ("theirs", "kept".into()),
    ];
    message(&[&moved[..], more].concat(), |_| ())
}

fn back(target: &Target, message: &Message) -> Result<Publication, String> {
    Back { target, user: Some("guest"), without: &["mine".to_owned()], now: 7 }.to_work(message)
}

fn names(publication: &Publication) -> BTreeSet<&str> {
    publication.properties.headers.iter().flat_map(|table| table.keys().map(String::as_str)).collect()
}

#[test]
fn it_goes_where_it_failed_and_is_counted_anew() {
    let sent = back(&Target::WhereItFailed, &moved(&[("mine", Value::I32(1))])).unwrap();
    assert_eq!((sent.exchange.as_str(), sent.routing_key.as_str(), sent.mandatory), ("", "jobs", true));
    let kept = [headers::EXCHANGE, headers::ROUTING_KEY, headers::REPLAYED, headers::REPLAYS, "theirs"];
    assert_eq!(names(&sent), BTreeSet::from(kept));
    assert_eq!(sent.header(headers::REPLAYED), Some(&Value::Timestamp(7)));
    let again = back(&Target::Queue("other".into()), &moved(&[(headers::REPLAYS, Value::I32(1))])).unwrap();
    assert_eq!((again.routing_key.as_str(), again.header(headers::REPLAYS)), ("other", Some(&Value::I32(2))));
    let by_exchange = back(&Target::Exchange, &moved(&[])).unwrap();
    assert_eq!((by_exchange.exchange.as_str(), by_exchange.routing_key.as_str()), ("shop", "job.new"));
    assert_eq!(names(&by_exchange), BTreeSet::from([headers::REPLAYED, headers::REPLAYS, "theirs"]));
}

#[test]
fn what_was_set_aside_is_put_back() {
    let aside = |user: &str| {
        let copies = Value::Array(vec!["elsewhere".into()]);
        moved(&[(headers::EXPIRATION, "500".into()), (headers::USER_ID, user.into()), ("x-bootstep-cc", copies)])
    };
    let sent = back(&Target::WhereItFailed, &aside("guest")).unwrap();
    assert_eq!((sent.properties.expiration.as_deref(), sent.properties.user_id.as_deref()), (Some("500"), Some("guest")));
    assert!(sent.header("CC").is_none() && sent.header("x-bootstep-cc").is_some(), "it goes to one queue and no other");
    let sent = back(&Target::Exchange, &aside("somebody")).unwrap();
    assert_eq!((sent.properties.user_id.as_deref(), sent.header(headers::USER_ID)), (None, Some(&"somebody".into())));
    assert!(sent.header("CC").is_some() && sent.header("x-bootstep-cc").is_none());
}

#[test]
fn what_the_broker_rejected_goes_to_the_queue_it_died_on() {
    let death = |queue: &str| {
        let names = [("queue", queue), ("exchange", "shop"), ("reason", "rejected")];
        let mut death: Table = names.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        death.insert("routing-keys".into(), Value::Array(vec!["job.new".into()]));
        Value::Array(vec![Value::Table(death)])
    };
    let dead =
        message(&[("x-death", death("jobs")), ("x-first-death-queue", "jobs".into()), ("CC", "x".into())], |properties| {
            properties.user_id = Some("somebody".into());
        });
    let sent = back(&Target::WhereItFailed, &dead).unwrap();
    assert_eq!((sent.routing_key.as_str(), sent.properties.user_id.as_deref()), ("jobs", None));
    assert_eq!(sent.header(headers::EXCHANGE), Some(&"shop".into()));
    assert_eq!(sent.header(headers::ROUTING_KEY), Some(&"job.new".into()));
    assert_eq!(sent.header(headers::USER_ID), Some(&"somebody".into()));
    assert!(!names(&sent).iter().any(|name| name.contains("death") || *name == "CC"), "{:?}", names(&sent));
    let sent = back(&Target::Exchange, &dead).unwrap();
    assert_eq!((sent.exchange.as_str(), sent.routing_key.as_str()), ("shop", "job.new"));
    let nowhere = back(&Target::WhereItFailed, &message(&[("x-death", death("jobs.archive"))], |_| ())).unwrap_err();
    assert!(nowhere.contains("name one with `--to`"), "{nowhere}");
}

#[test]
fn what_says_nothing_of_its_past_goes_only_where_it_is_told() {
    let bare = message(&[], |_| ());
    assert!(back(&Target::WhereItFailed, &bare).unwrap_err().contains("name one with `--to`"));
    assert!(back(&Target::Exchange, &bare).unwrap_err().contains("name a queue with `--to`"));
    let sent = back(&Target::Queue("jobs".into()), &bare).unwrap();
    assert_eq!(names(&sent), BTreeSet::from([headers::REPLAYED, headers::REPLAYS]));
}
