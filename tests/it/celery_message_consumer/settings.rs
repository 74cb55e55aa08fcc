//! Settings from a file and from the environment, and everything that is wrong with them at once.

use super::{noting, step, Given};
use crate::support::listed::stage_to_list;
use bootstep::steps::celery_message_consumer::Settings;
use bootstep::{Fault, Worker};
use std::io::Write;

fn file(ending: &str, text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[track_caller]
fn wrong(variables: &[(&str, &str)], expected: &[&str]) {
    let Err(err) = Settings::from_variables(variables.iter().copied()) else { panic!("{variables:?} are taken") };
    assert_eq!(err.fault(), Fault::Config);
    for part in expected {
        assert!(err.to_string().contains(part), "{err}");
    }
}

/// What the settings come to, seen on the broker: the archive's bounds take effect.
#[test]
fn a_file_is_read_and_the_environment_stands_over_it() {
    let text = r#"{
        "EVENT_CONSUMER_QUEUE_NAME_PREFIX": "p.",
        "EVENT_CONSUMER_ARCHIVE_EXPIRY": 60000,
        "EVENT_CONSUMER_ARCHIVE_MAX_LENGTH": 7,
        "EVENT_CONSUMER_MAX_RETRIES": 9,
        "EVENT_CONSUMER_EXCHANGES": {"default": {"name": "data", "type": "topic", "auto_delete": true}},
        "SECRET_KEY": "of somebody else"
    }"#;
    let file = file(".json", text);
    let variables = [
        ("EVENT_CONSUMER_APP_CONFIG", file.path().to_str().unwrap()),
        ("EVENT_CONSUMER_ARCHIVE_MAX_LENGTH", "500"),
        ("EVENT_CONSUMER_ACCEPT", "[\"json\"]"),
        ("HOME", "/root"),
    ];
    let settings = Settings::from_variables(variables).unwrap();
    let (stage, listing) = stage_to_list();
    let _running = stage.start(step(settings, [noting("jobs", &Given::default())]));
    assert_eq!(listing.queues()[1], "p.jobs.archived durable x-max-length=500 x-message-ttl=60000 x-queue-mode=lazy");
    assert_eq!(listing.exchanges(), ["data topic durable auto_delete"]);
    assert!(listing.bindings().contains(&"data jobs > p.jobs".to_owned()));
}

#[cfg(feature = "toml")]
#[test]
fn a_file_may_be_toml_and_the_namespace_may_be_another() {
    let text = "
        SHOP_RETRY_HEADER = 'x-tries'
        EVENT_CONSUMER_NONSENSE = 1
        [SHOP_ARCHIVE_QUEUE_ARGS]
        x-max-length = 3
    ";
    let file = file(".toml", text);
    let variables = [("EVENT_CONSUMER_CONFIG_NAMESPACE", "SHOP"), ("EVENT_CONSUMER_APP_CONFIG", file.path().to_str().unwrap())];
    let settings = Settings::from_variables(variables).unwrap();
    let (stage, listing) = stage_to_list();
    let _running = stage.start(step(settings, [noting("jobs", &Given::default())]));
    assert_eq!(listing.queues()[1], "jobs.archived durable x-max-length=3");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    wrong(
        &[
            ("EVENT_CONSUMER_MAX_RETRIES", "many"),
            ("EVENT_CONSUMER_PREFETCH_COUNT", "0"),
            ("EVENT_CONSUMER_SERIALIZER", "pickle"),
            ("EVENT_CONSUMER_ACCEPT", "[\"json\", \"yaml\"]"),
            ("EVENT_CONSUMER_BACKOFF_FUNC", "shop.backoff"),
            ("EVENT_CONSUMER_EXCHANGES", r#"{"a": {"kind": "topic"}}"#),
        ],
        &[
            "`EVENT_CONSUMER_MAX_RETRIES` (the environment): this must be a number from 0 to 10000",
            "`EVENT_CONSUMER_PREFETCH_COUNT` (the environment): this must be a number from 1 to 65535",
            "only `json` can be read here; say `[\"json\"]`",
            "give it to `Settings::backoff`",
            "`kind` of `a` is no keyword of an exchange",
        ],
    );
}

#[test]
fn retries_without_end_are_ten_thousand() {
    let (stage, _listing) = stage_to_list();
    assert_eq!(stage.start(step(Settings::default().max_retries(u32::MAX), [noting("jobs", &Given::default())])).stop(), 0);
}

#[test]
fn what_is_no_setting_is_wrong_in_a_file_and_passed_over_in_the_environment() {
    let file = file(".json", r#"{"EVENT_CONSUMER_MAX_RETRY": 3, "MAX_RETRIES": 3, "OTHER": 3}"#);
    wrong(
        &[("EVENT_CONSUMER_APP_CONFIG", file.path().to_str().unwrap())],
        &[
            "EVENT_CONSUMER_MAX_RETRY`",
            "there is no such setting; known are `SERIALIZER`",
            "write `EVENT_CONSUMER_MAX_RETRIES`",
        ],
    );
    // As Kubernetes sets them for a service called `event-consumer`.
    let variables = [("EVENT_CONSUMER_SERVICE_HOST", "10.0.0.7"), ("EVENT_CONSUMER_PORT", "tcp://10.0.0.7:80")];
    assert!(Settings::from_variables(variables).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    wrong(&[("EVENT_CONSUMER_APP_CONFIG", "/nowhere/settings.json")], &["`/nowhere/settings.json`", "cannot be read"]);
    let broken = file(".json", "{");
    wrong(&[("EVENT_CONSUMER_APP_CONFIG", broken.path().to_str().unwrap())], &["is not a JSON object", "line 1"]);
    let python = file(".py", "");
    wrong(&[("EVENT_CONSUMER_APP_CONFIG", python.path().to_str().unwrap())], &["give it the ending `.json`"]);
}

#[test]
fn bounds_that_differ_from_what_exists_are_refused_by_name() {
    let (stage, _listing) = stage_to_list();
    let handler = || [noting("jobs", &Given::default())];
    assert_eq!(stage.start(step(Settings::default(), handler())).stop(), 0);
    let mut worker = Worker::new(stage.broker.clone());
    worker.steps.add(step(Settings::default().archive_max_length(5), handler()));
    let err = worker.start().unwrap_err();
    assert!(err.to_string().contains("`jobs.archived`") && err.to_string().contains("`x-max-length`"), "{err}");
}
