//! What is wrong with a configuration file is told at once, each with its line; what amqp-dispatcher takes is taken.

use super::dispatcher;
use bootstep::steps::amqp_dispatcher::AmqpDispatcher;
use bootstep::{Broker, Fault, MemoryBroker};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

fn known() -> AmqpDispatcher {
    dispatcher(|_, _| Ok(())).startup_handler("app.startup:startup", || Ok(()))
}

#[track_caller]
fn check(config: &str, mistakes: &[&str]) {
    assert_eq!(known().validate(config), mistakes);
}

#[test]
fn everything_wrong_is_named_at_once() {
    let config = "\
startup_handler: app.startup:start_up
qeues: []
queues:
  - queue: jobs
    durabel: true
    x_message_ttl: soon
    bindings:
      - exchange: shop
      - exchange: shop
        routing_key: #
  - durable: perhaps
  - queue: jobs
    exclusive: yes
consumers:
  - consumer: test:Consumr
    queue: jobs
    consumer_count: two
    prefetch_count: 1.5
  - consumer: elsewhere:Handler
    prefetch_count: -1
  - queue: jobs
    consumer_count: 0
";
    check(
        config,
        &[
            "line 2: the file has the unknown key `qeues`; write `queues`",
            "line 5: queue 1 has the unknown key `durabel`; write `durable`",
            "line 6: `x_message_ttl` of the queue `jobs` is not a whole number",
            "line 8: binding 1 of the queue `jobs` has no `routing_key`",
            "line 10: `routing_key` of binding 2 of the queue `jobs` has no value; a bare `#` begins a comment, put it in quotes",
            "line 11: queue 2 has no `queue`",
            "line 11: `durable` of queue 2 is neither `true` nor `false`",
            "line 12: the queue `jobs` is listed a second time, in another way",
            "line 17: `consumer_count` of the consumer `test:Consumr` is not a whole number",
            "line 18: `prefetch_count` of the consumer `test:Consumr` is not a whole number",
            "line 19: the consumer `elsewhere:Handler` has no `queue`",
            "line 20: `prefetch_count` of the consumer `elsewhere:Handler` is -1; it can be from 0 to 65535",
            "line 21: consumer 3 has no `consumer`",
            "line 22: `consumer_count` of consumer 3 is 0; it can be from 1 to 10000",
            "`startup_handler` names `app.startup:start_up`, which is not registered; `app.startup:startup` is",
            "`consumer` names `test:Consumr`, which is not registered; `test:Consumer` is",
            "`consumer` names `elsewhere:Handler`, which is not registered; register it in Rust",
        ],
    );
}

#[test]
fn a_file_that_is_nothing_is_told() {
    check("", &["the file is empty"]);
    check("# nothing\n", &["the file is empty"]);
    check("just words", &["line 1: the file is no mapping of keys to values"]);
    check("queues: []\n", &["the file names no consumers; list them under `consumers`"]);
    check("consumers: work\n", &["line 1: `consumers` of the file is no list; begin each item with `- `", NO_CONSUMERS]);
    check("a: 1\n---\nb: 2\n", &["the file has several documents; take the `---` out"]);
    let broken = known().validate("consumers: [\n");
    assert!(broken[0].starts_with("this is not YAML: "), "{broken:?}");
}

const NO_CONSUMERS: &str = "the file names no consumers; list them under `consumers`";

#[test]
fn what_amqp_dispatcher_reads_is_read() {
    // The words of YAML 1.1, anchors and merged mappings, nulls, all that its documentation shows.
    let config = "\
startup_handler: ~
queues:
  - &base
    queue: notify_mat_job
    durable: yes
    auto_delete: False
    passive: null
    exclusive: off
    x_dead_letter_exchange: null
    x_dead_letter_routing_key: null
    x_max_length: 1_000
    x_expires: null
    x_message_ttl: 0
    x_queue_type: classic
    bindings:
      - exchange: amq.topic
        routing_key: transaction.*
      - {exchange: amq.topic, routing_key: ''}
  - <<: *base
    queue: notify_apsalar_job
    bindings:
consumers:
  - consumer: test:Consumer
    queue: notify_mat_job
  - {consumer: 'test:Consumer', queue: notify_mat_job, consumer_count: 2, prefetch_count: 0}
";
    check(config, &[]);
}

#[test]
fn a_name_registered_twice_is_told() {
    let twice = known().startup_handler("app.startup:startup", || Ok(()));
    let config = super::config("");
    assert_eq!(twice.validate(&config), ["the startup handler `app.startup:startup` is registered twice"]);
}

#[test]
fn the_startup_handler_is_called_once_before_connecting() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let dispatcher = dispatcher(|_, _| Ok(())).startup_handler("app:start", move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let config = super::config("startup_handler: app:start\n");
    let broker = Broker::from(&MemoryBroker::new());
    let worker = dispatcher.worker(&config, broker).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1, "nothing is connected yet");
    assert_eq!(worker.start().unwrap().stop(), 0);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_startup_handler_that_fails_ends_the_boot() {
    for (fails, reason) in [(false, "no settings"), (true, "it panicked")] {
        let dispatcher = dispatcher(|_, _| Ok(())).startup_handler("app:start", move || {
            assert!(!fails, "this one panics");
            Err("no settings".into())
        });
        let config = super::config("startup_handler: app:start\n");
        let broker = Broker::from(&MemoryBroker::new());
        let err = dispatcher.worker(&config, broker).err().expect("it does not start");
        assert_eq!((err.fault(), err.to_string()), (Fault::Step, format!("the startup handler `app:start` failed: {reason}")));
    }
}
