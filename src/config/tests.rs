//! The configuration as the worker and the broker get it; how it is told of is in tests/it/cli/config.rs.

use super::fields::Fields;
use super::mistakes::Mistakes;
use super::*;
use crate::message::Publication;
use crate::topology::{Exchange, Queue};
use crate::transport::memory::MemoryBroker;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Settings from a file, from `AMQP_URL` and from `--url`.
fn sources(folder: &Path, text: &str, amqp_url: Option<&str>, url: Option<&str>) -> Sources {
    let file = folder.join("bootstep.toml");
    std::fs::write(&file, text).unwrap();
    let environment = amqp_url.map(|url| ("AMQP_URL".to_owned(), url.to_owned())).into_iter().collect();
    Sources { file: Some(file), environment, url: url.map(str::to_owned), ..Sources::default() }
}

fn config(text: &str) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::load(&sources(folder.path(), text, None, None)).unwrap();
    (folder, config)
}

#[test]
fn a_file_becomes_a_worker_that_declares_consumes_and_archives() {
    let text = r#"
        [worker]
        threads = 2
        [exchanges.shop]
        type = "topic"
        [queues.orders]
        bind = [{ exchange = "shop", routing_key = "order.*" }]
        [queues.spare]
        max_length = 3
        [consumers.first]
        queue = "orders"
        handler = { append = "orders.txt" }
        accept = ["text/plain"]
        [consumers.second]
        queue = "orders"
        handler = { append = "orders.txt" }
        accept = ["text/plain"]
        [consumers.fail]
        run = ["false"]
        retry = { fixed = "5ms", retries = 1 }
    "#;
    let (folder, config) = config(text);
    let memory = MemoryBroker::new();
    let running = config.worker(Broker::from(&memory)).unwrap().start().unwrap();
    assert_eq!(running.consumers().len(), 3);
    let mut cup = Publication::new("shop", "order.web", "a cup");
    cup.properties.content_type = Some("text/plain".into());
    memory.publish(cup).unwrap();
    memory.publish(Publication::new("shop", "order.web", "no text")).unwrap();
    memory.publish(Publication::new("", "fail", "in vain")).unwrap();
    memory.drain(SOON).unwrap();
    assert_eq!(memory.texts("orders.dead"), ["no text"]);
    assert_eq!(memory.texts("fail.archive"), ["in vain"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("orders.txt")).unwrap(), "a cup\n");
    memory.declare_queue(&Queue::existing("spare")).unwrap();
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_worker_of_ones_own_gets_what_the_file_says_beside() {
    let (_folder, config) = config("[exchanges.shop]\ntype = \"topic\"\n[queues.spare]\nbind = [{ exchange = \"shop\" }]\n");
    let memory = MemoryBroker::new();
    let broker = Broker::from(&memory);
    assert!(config.worker(broker.clone()).is_err());
    let mut worker = Worker::new(broker.clone());
    config.add_to(&mut worker);
    let running = worker.start().unwrap();
    let connection = broker.connect("test").unwrap();
    connection.declare_queue(&Queue::existing("spare")).unwrap();
    connection.declare_exchange(&Exchange::existing("shop")).unwrap();
    assert_eq!(running.stop(), 0);
}

#[track_caller]
fn check_broker(text: &str, amqp_url: Option<&str>, url: Option<&str>, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "p@ss/word\n").unwrap();
    let sources = sources(folder.path(), text, amqp_url, url);
    let mistakes = Mistakes::default();
    let around = Surroundings { file: sources.file.clone(), environment: Vec::new(), checks_programs: true };
    let top = Fields::top(layers::merged(&sources, &mistakes), &mistakes);
    let addresses = top.table("broker").and_then(|fields| broker::addresses(&fields, &around)).unwrap_or_default();
    let shown: Vec<String> = addresses
        .iter()
        .map(|it| {
            let (heartbeat, timeout) = (it.settings.heartbeat, it.settings.connection_timeout);
            format!("{it} {} {heartbeat:?} {timeout:?}", it.password)
        })
        .collect();
    assert_eq!((shown.join("; ").as_str(), mistakes.told().0), (expected, Vec::new()));
}

#[test]
fn the_keys_of_the_broker_change_parts_of_its_url() {
    check_broker("", None, None, "");
    check_broker("[broker]\nvirtual_host = \"a\"", None, None, "guest@localhost:5672, virtual host `a` guest 10s 10s");
    check_broker(
        "[broker]\nurl = \"amqp://me:pw@one,two:1/v?heartbeat=3\"\nuser = \"you\"\nconnection_timeout = \"1s\"",
        None,
        None,
        "you@one:5672, virtual host `v` pw 3s 1s; you@two:1, virtual host `v` pw 3s 1s",
    );
    check_broker(
        "[broker]\nurl = \"amqp://me:pw@one/v\"\nhosts = [\"two\", \"[::1]:7\"]\npassword_file = \"secret\"\nheartbeat = \"0s\"",
        None,
        None,
        "me@two:5672, virtual host `v` p@ss/word 0ns 10s; me@[::1]:7, virtual host `v` p@ss/word 0ns 10s",
    );
}

#[test]
fn a_url_from_a_stronger_place_is_another_broker() {
    let file = "[broker]\nhosts = [\"one\"]\nuser = \"me\"\npassword_file = \"secret\"\nheartbeat = \"3s\"";
    let variable = Some("amqp://you:pw@two/v");
    check_broker(file, variable, None, "you@two:5672, virtual host `v` pw 10s 10s");
    check_broker(file, variable, Some("amqp://three"), "guest@three:5672, virtual host `/` guest 10s 10s");
}

#[test]
fn spaces_around_a_value_of_a_flag_are_a_part_of_a_text_only() {
    let set = ["broker.password= sp ", "broker.user = me ", "worker.threads= 8 ", "logging.format= json"].map(str::to_owned);
    let mistakes = Mistakes::default();
    let top = Fields::top(layers::merged(&Sources { set: set.into(), ..Sources::default() }, &mistakes), &mistakes);
    let text = |name: &str| top.table("broker").unwrap().text(name);
    assert_eq!((text("password").as_deref(), text("user").as_deref()), (Some(" sp "), Some("me")));
    assert_eq!(WorkerSettings::read(&top.table("worker").unwrap()).threads, Some(8));
    assert!(Logging::read(&top.table("logging").unwrap()).json);
    drop(top);
    assert_eq!(mistakes.told().0, Vec::new());
}

#[cfg(feature = "tls")]
#[test]
fn tls_moves_the_port() {
    check_broker("[broker]\nhosts = [\"one\"]\ntls = true", None, None, "guest@one:5671, virtual host `/` guest 10s 10s");
}

#[test]
fn every_key_is_in_the_reference() {
    let page = include_str!("../../docs/config.md");
    let keys = [
        &layers::TOP[..],
        &broker::KEYS,
        &broker::TLS_KEYS,
        &service::WORKER_KEYS,
        &service::LOGGING_KEYS,
        &service::HEALTH_KEYS,
        &topology::EXCHANGE_KEYS,
        &topology::QUEUE_KEYS,
        &topology::BINDING_KEYS,
        &topology::DEAD_LETTER_KEYS,
        &consumers::KEYS,
        &handling::APPEND_KEYS,
        #[cfg(feature = "webhook")]
        &handling::HTTP_KEYS,
        &retry::KEYS,
        &retry::ARCHIVE_KEYS,
        &retry::KILL_SWITCH_KEYS,
        &retry::DELAYED_KEYS,
    ];
    let is_there = |key: &str| ["`KEY`", "`[KEY", "KEY = "].iter().any(|like| page.contains(&like.replace("KEY", key)));
    let missing: Vec<&str> = keys.iter().flat_map(|keys| keys.iter().copied()).filter(|key| !is_there(key)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
