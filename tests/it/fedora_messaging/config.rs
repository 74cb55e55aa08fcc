//! fedora-messaging's TOML: what it means, what its defaults are, and what is said of mistakes.

use bootstep::steps::fedora_messaging::{Config, Monitoring};
use bootstep::{Fault, Queue, Value};
use serde::Deserialize;

#[test]
fn an_empty_file_is_the_defaults() {
    let config = super::config("");
    assert_eq!(config.queues, [Queue::new("").transient().auto_delete().exclusive().bind("amq.topic", "#")]);
    assert_eq!((config.prefetch_count, config.publish_exchange.as_str(), config.topic_prefix.as_str()), (10, "amq.topic", ""));
    assert_eq!((config.publish_priority, config.monitoring.clone(), config.passive_declares), (None, None, false));
    assert_eq!((config.exchanges[0].name.as_str(), config.exchanges[0].passive), ("amq.topic", true));
    assert_eq!(config.broker().unwrap().to_string(), "guest@localhost:5672, virtual host `/`");
    assert_eq!(config.described(), "app Unknown");
}

#[test]
fn a_whole_file_is_read() {
    let config = super::config(
        r##"
        amqp_url = "amqp://fedora:s3cret@rabbit/%2Fpubsub?heartbeat=30&retry_delay=5"
        callback = "my_app.consumer:Consumer"
        PUBLISH_EXCHANGE = "zmq.topic"
        topic_prefix = "org.fedoraproject"
        publish_priority = 3
        passive_declares = false

        [tls]
        ca_cert = "/etc/pki/ca.pem"

        [client_properties]
        app = "my app"
        app_url = "https://example.org"

        [exchanges."zmq.topic"]
        type = "topic"
        durable = true
        auto_delete = false
        arguments = {}

        [queues.one]
        durable = true
        auto_delete = false
        exclusive = false
        arguments = {"x-max-length" = 7, "x-overflow" = "reject-publish"}

        [queues.two]
        durable = false
        auto_delete = true
        exclusive = true
        arguments = {}

        [[bindings]]
        queue = "one"
        exchange = "zmq.topic"
        routing_keys = ["a.#", "b"]

        [[bindings]]
        queue = "two"
        exchange = "amq.topic"
        routing_keys = ["#"]

        [qos]
        prefetch_count = 25
        prefetch_size = 0

        [monitoring]
        port = 8080

        [consumer_config]
        workers = 3

        [log_config]
        version = 1
        "##,
    );
    let one = Queue::new("one").argument("x-max-length", 7).argument("x-overflow", "reject-publish");
    let one = one.bind("zmq.topic", "a.#").bind("zmq.topic", "b");
    let two = Queue::new("two").transient().auto_delete().exclusive().bind("amq.topic", "#");
    assert_eq!(config.queues, [one, two]);
    assert_eq!(config.queues[0].arguments["x-max-length"], Value::I32(7));
    assert_eq!(config.exchanges, [bootstep::Exchange::topic("zmq.topic")]);
    assert_eq!((config.prefetch_count, config.publish_exchange.as_str()), (25, "zmq.topic"));
    assert_eq!(config.monitoring, Some(Monitoring { address: String::new(), port: 8080 }));
    assert_eq!(config.broker().unwrap().to_string(), "fedora@rabbit:5672, virtual host `/pubsub`");
    assert!(!format!("{config:?}").contains("s3cret"));

    #[derive(Deserialize)]
    struct Settings {
        workers: u32,
    }
    assert_eq!(config.consumer_config::<Settings>().unwrap().workers, 3);
    let err = config.consumer_config::<std::collections::BTreeMap<String, String>>().unwrap_err();
    assert_eq!(err.to_string(), "`consumer_config` is wrong: invalid type, expected a string");
    let secret = super::config("consumer_config = {workers = 's3cret'}").consumer_config::<Settings>().err().unwrap();
    assert_eq!(secret.to_string(), "`consumer_config` is wrong: invalid type, expected u32");
    let missing = super::config("").consumer_config::<Settings>().err().unwrap();
    assert_eq!(missing.to_string(), "`consumer_config` is wrong: missing field `workers`");
}

#[test]
fn passive_declares_only_checks() {
    let config = super::config(&format!("passive_declares = true\n{}", super::ONE_QUEUE));
    assert!(config.queues[0].passive && config.exchanges.iter().all(|exchange| exchange.passive));
    // What the broker is yet to name cannot be checked for.
    assert!(!super::config("passive_declares = true").queues[0].passive);
}

#[test]
fn all_mistakes_are_told_at_once_each_by_its_name() {
    let err = Config::from_toml(
        r##"
        bindngs = []
        publish_priority = 300

        [client_properties]
        version = "1"

        [queues.mine]
        durable = "yes"
        arguments = {}
        exclusiv = false

        [[bindings]]
        exchange = "amq.topic"

        [qos]
        prefetch_size = 1000

        [monitoring]
        address = "127.0.0.1"
        "##,
    )
    .unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    let text = err.to_string();
    for mistake in [
        "`bindngs` is not known; the nearest is `bindings`",
        "`publish_priority` is 300 and has to be from 0 to 255",
        "`client_properties.version` is reserved",
        "`queues.mine` has no `auto_delete`, `exclusive`",
        "`queues.mine.durable` is of the type string and has to be `true` or `false`",
        "`queues.mine.exclusiv` is not known; the nearest is `exclusive`",
        "`bindings[0]` has no `routing_keys`",
        "`qos.prefetch_size` is not 0",
        "`monitoring` has no `port`",
    ] {
        assert!(text.contains(mistake), "{mistake} in: {text}");
    }
}

#[test]
fn what_is_no_toml_is_told_by_its_line_and_not_quoted() {
    let err = Config::from_toml("topic_prefix = \"\"\namqp_url = \"amqp://user:s3cret@rabbit\noops").unwrap_err().to_string();
    assert!(err.starts_with("line 3 is not TOML") && !err.contains("s3cret"), "{err}");
    let err = Config::from_toml("amqp_url = \"amqp://user:s3cret@rabbit\" x").unwrap_err().to_string();
    assert!(err.starts_with("line 1 is not TOML") && !err.contains("s3cret"), "{err}");
    let err = Config::from_file("/nowhere/at/all.toml").unwrap_err().to_string();
    assert!(err.starts_with("the configuration `/nowhere/at/all.toml` cannot be read"), "{err}");
}
