//! What is declared for a configuration, compared with what Python's package declares for it, entry by entry.

use super::{config, publication, start, telling, ONE_QUEUE};
use crate::support::node::shared_node;
use crate::support::stage::{Stage, SOON};
use crate::support::vhost::unique;
use bootstep::steps::fedora_messaging::{exit_code_of, ConsumeFedoraMessages, FedoraMessage};
use bootstep::{Broker, Queue};

crate::on_both!(passive_declares_take_what_is_there, what_cannot_be_declared_ends_the_boot_with_ten);

const TWO_QUEUES: &str = r##"
    [exchanges."zmq.topic"]
    type = "topic"
    durable = true
    auto_delete = false
    arguments = {}

    [exchanges.scratch]
    type = "fanout"
    durable = false
    auto_delete = true
    arguments = {}

    [queues.updates]
    durable = true
    auto_delete = false
    exclusive = false
    arguments = {"x-max-length" = 1000, "x-dead-letter-exchange" = "scratch"}

    [queues.builds]
    durable = false
    auto_delete = true
    exclusive = true
    arguments = {}

    [[bindings]]
    queue = "updates"
    exchange = "zmq.topic"
    routing_keys = ["bodhi.#", "*.update"]

    [[bindings]]
    queue = "builds"
    exchange = "amq.topic"
    routing_keys = ["koji.#"]

    [[bindings]]
    queue = "builds"
    exchange = "scratch"
    routing_keys = [""]
"##;

/// Queues and bindings as Python's package declares them (the bindings with the keys of each queue are the default exchange's); the
/// exchanges, which it reads and never declares, as the file says.
const QUEUES: [&str; 2] = [
    "builds\tfalse\ttrue\ttrue\t[]",
    r#"updates	true	false	false	[{"x-dead-letter-exchange","scratch"},{"x-max-length",1000}]"#,
];
const BINDINGS: [&str; 6] = [
    "\tbuilds\tbuilds\t[]",
    "\tupdates\tupdates\t[]",
    "amq.topic\tbuilds\tkoji.#\t[]",
    "scratch\tbuilds\t\t[]",
    "zmq.topic\tupdates\t*.update\t[]",
    "zmq.topic\tupdates\tbodhi.#\t[]",
];
const EXCHANGES: [&str; 2] = ["scratch\tfanout\tfalse\ttrue\t[]", "zmq.topic\ttopic\ttrue\tfalse\t[]"];

#[test]
fn the_declare_table_is_that_of_the_configuration_and_nothing_more() {
    let node = shared_node();
    let vhost = unique("fedora");
    node.ctl(&["add_vhost", &vhost]);
    node.ctl(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"]);
    let consume = ConsumeFedoraMessages::new(&config(TWO_QUEUES), |_: &FedoraMessage| Ok(()));
    let running = consume.worker_on(Broker::amqp(&node.url_of(&vhost)).unwrap()).unwrap().start().unwrap();
    let listed = |what: &str, columns: &[&str]| {
        let printed = node.ctl(&[&["-p", vhost.as_str(), "--no-table-headers", what], columns].concat());
        let mut lines: Vec<String> = printed.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect();
        lines.sort();
        lines
    };
    let queues = ["name", "durable", "auto_delete", "exclusive", "arguments"];
    assert_eq!(listed("list_queues", &queues), QUEUES);
    assert_eq!(listed("list_bindings", &["source_name", "destination_name", "routing_key", "arguments"]), BINDINGS);
    let exchanges = listed("list_exchanges", &["name", "type", "durable", "auto_delete", "arguments"]);
    let brought = |line: &String| line.starts_with("amq.") || line.starts_with('\t');
    assert_eq!(exchanges.into_iter().filter(|line| !brought(line)).collect::<Vec<_>>(), EXCHANGES);
    assert_eq!(running.stop(), 0);
}

fn passive_declares_take_what_is_there(stage: &Stage) {
    // With other arguments than the file says: somebody else's business.
    stage.connection.declare_queue(&Queue::new("mine").max_length(7)).unwrap();
    let (callback, told) = telling();
    let consume = ConsumeFedoraMessages::new(&config(&format!("passive_declares = true\n{ONE_QUEUE}")), callback);
    let running = start(stage, consume);
    stage.send(&[publication("a").mandatory()]).unwrap();
    told.recv_timeout(SOON).unwrap();
    assert_eq!(running.stop(), 0);
}

/// D1
fn what_cannot_be_declared_ends_the_boot_with_ten(stage: &Stage) {
    #[track_caller]
    fn check(stage: &Stage, text: &str) {
        let consume = ConsumeFedoraMessages::new(&config(text), |_: &FedoraMessage| Ok(()));
        let err = consume.worker_on(stage.broker.clone()).unwrap().start().unwrap_err();
        assert_eq!(exit_code_of(&err, ConsumeFedoraMessages::NAME), 10, "{err:?} of {:?}", err.step());
    }
    check(stage, &ONE_QUEUE.replace("amq.topic", "nowhere"));
    check(stage, &format!("exchanges.odd = {{type = 'of-no-plugin'}}\n{ONE_QUEUE}"));
    check(stage, "bindings = [{exchange = 'nowhere', routing_keys = ['#']}]");
    check(stage, &format!("passive_declares = true\n{}", ONE_QUEUE.replace("mine", "absent")));
    stage.connection.declare_queue(&Queue::new("other").max_length(7)).unwrap();
    check(stage, &ONE_QUEUE.replace("mine", "other"));
}
