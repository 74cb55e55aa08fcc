//! What a configuration file declares, as RabbitMQ itself lists it: word for word what amqp-dispatcher declares, and the queues beside.

use super::{config, dispatcher, start};
use crate::support::listed::stage_to_list;
use crate::support::node::shared_node;
use crate::support::stage::Stage;
use bootstep::{Fault, Publication, Queue};

/// C1: several queues with their bindings, each consumer with its prefetch, and who it is.
const EVERYTHING: &str = "\
queues:
- queue: basic
  bindings:
  - {exchange: amq.topic, routing_key: transaction.*}
  - {exchange: amq.topic, routing_key: click.*}
- queue: full
  durable: true
  auto_delete: false
  exclusive: false
  passive: false
  x_dead_letter_exchange: ''
  x_dead_letter_routing_key: ''
  x_max_length: 7
  x_expires: 3600000
  x_message_ttl: 0
  x_queue_type: classic
- {queue: gone, durable: false, auto_delete: true}
- {queue: steady, x_queue_type: quorum, bindings: [{exchange: amq.direct, routing_key: ''}]}
- {queue: unread, x_message_ttl: 60000}
consumers:
- {consumer: 'test:Consumer', queue: basic, consumer_count: 3, prefetch_count: 5}
- {consumer: 'test:Consumer', queue: full}
- {consumer: 'test:Consumer', queue: gone, prefetch_count: 0}
- {consumer: 'test:Consumer', queue: steady, consumer_count: 200, prefetch_count: 0}
";

#[test]
fn c1_everything_is_declared_and_consumed_as_the_file_says() {
    let (stage, listing) = stage_to_list();
    let _running = start(&dispatcher(|_, _| Ok(())), EVERYTHING, &stage.broker);
    let is_of_the_file = |line: &&String| !line.contains(".retry.") && !line.contains(".archive ") && !line.contains(".dead ");
    let queues = listing.queues();
    let queues: Vec<&str> = queues.iter().filter(is_of_the_file).map(String::as_str).collect();
    let expected = [
        "basic durable",
        "full durable x-dead-letter-exchange= x-dead-letter-routing-key= x-expires=3600000 x-max-length=7 x-message-ttl=0",
        "gone auto_delete",
        "steady durable x-queue-type=quorum",
        "unread durable x-message-ttl=60000",
    ];
    assert_eq!(queues, expected);
    let bindings = ["amq.direct  > steady", "amq.topic click.* > basic", "amq.topic transaction.* > basic"];
    assert_eq!(listing.bindings(), bindings);
    assert!(listing.exchanges().iter().all(|line| line.starts_with("amq.")), "exchanges are never declared");

    let consumers =
        shared_node().ctl(&["list_consumers", "--vhost", listing.vhost(), "queue_name", "prefetch_count", "arguments"]);
    let row = |queue: &str| {
        let row =
            consumers.lines().find(|line| line.starts_with(&format!("{queue}\t"))).unwrap_or_else(|| panic!("{consumers}"));
        row.split('\t').nth(1).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(["basic", "full", "gone", "steady"].map(row), [5, 1, 300, 400]);
    let named = consumers.lines().filter(|line| line.contains("consumer-name") && line.contains("-[test:Consumer]")).count();
    let process = std::process::id();
    assert_eq!((named, consumers.contains(&format!("-{process}-["))), (4, true), "{consumers}");
    let connections = shared_node().ctl(&["list_connections", "vhost", "client_properties"]);
    let ours = |line: &&str| line.starts_with(listing.vhost()) && line.contains(&format!("-{process}"));
    let told = |what: &str| connections.lines().filter(ours).filter(|line| line.contains(what)).count();
    assert_eq!((told("bootstep consuming: "), told("bootstep publishing: ")), (1, 1), "{connections}");
}

crate::on_both!(
    a_foreign_worker_may_declare_the_same_before_and_after,
    a_passive_queue_must_be_there_and_is_bound,
    a_queue_that_is_not_listed_must_be_there,
    an_exchange_that_is_not_there_ends_the_boot,
    a_queue_declared_otherwise_ends_the_boot_and_names_the_argument,
);

/// What amqp-dispatcher itself sends for a queue with all arguments.
fn as_declared_there() -> Queue {
    let queue = Queue::new("work").dead_letter_to("amq.direct", "cold");
    queue.argument("x-max-length", 100).argument("x-message-ttl", 60_000)
}

const HERE: &str = "\
queues:
- queue: work
  x_dead_letter_exchange: amq.direct
  x_dead_letter_routing_key: cold
  x_max_length: 100
  x_message_ttl: 60000
consumers:
- {consumer: 'test:Consumer', queue: work}
";

fn a_foreign_worker_may_declare_the_same_before_and_after(stage: &Stage) {
    let dispatcher = dispatcher(|_, _| Ok(()));
    stage.connection.declare_queue(&as_declared_there()).unwrap();
    assert_eq!(start(&dispatcher, HERE, &stage.broker).stop(), 0);
    stage.connection.delete_queue("work").unwrap();
    let _running = start(&dispatcher, HERE, &stage.broker);
    stage.connection.declare_queue(&as_declared_there()).unwrap();
    assert!(stage.connection.declare_queue(&as_declared_there().max_length(99)).is_err(), "this broker compares");
}

#[track_caller]
fn refusal(config: &str, stage: &Stage) -> (Fault, String) {
    let worker = dispatcher(|_, _| Ok(())).worker(config, stage.broker.clone()).unwrap();
    let err = worker.start().expect_err("it does not start");
    (err.fault(), err.to_string())
}

fn a_passive_queue_must_be_there_and_is_bound(stage: &Stage) {
    let passive = "\
queues:
- {queue: work, passive: true, bindings: [{exchange: amq.direct, routing_key: key}]}
consumers:
- {consumer: 'test:Consumer', queue: work}
";
    let (fault, told) = refusal(passive, stage);
    assert_eq!(fault, Fault::NotFound);
    assert!(told.contains("work"), "{told}");
    // As somebody else declares it.
    stage.connection.declare_queue(&as_declared_there()).unwrap();
    let _running = start(&dispatcher(|_, _| Ok(())), passive, &stage.broker);
    stage.connection.publish(&[Publication::new("amq.direct", "key", "x").mandatory()], crate::support::stage::SOON).unwrap();
}

fn a_queue_that_is_not_listed_must_be_there(stage: &Stage) {
    let unlisted = "consumers:\n- {consumer: 'test:Consumer', queue: work}\n";
    assert_eq!(refusal(unlisted, stage).0, Fault::NotFound);
    stage.connection.declare_queue(&as_declared_there()).unwrap();
    let _running = start(&dispatcher(|_, _| Ok(())), unlisted, &stage.broker);
}

fn an_exchange_that_is_not_there_ends_the_boot(stage: &Stage) {
    let config = "\
queues:
- {queue: work, bindings: [{exchange: shop, routing_key: order.*}]}
consumers:
- {consumer: 'test:Consumer', queue: work}
";
    let (fault, told) = refusal(config, stage);
    assert_eq!(fault, Fault::NotFound);
    assert!(told.contains("no exchange 'shop'"), "{told}");
}

fn a_queue_declared_otherwise_ends_the_boot_and_names_the_argument(stage: &Stage) {
    stage.connection.declare_queue(&Queue::new("work").argument("x-message-ttl", 1)).unwrap();
    let (fault, told) = refusal(&config("").replace("queue: work\ncons", "queue: work\n  x_message_ttl: 5\ncons"), stage);
    assert_eq!(fault, Fault::Mismatch);
    assert!(told.contains("x-message-ttl"), "{told}");
}
