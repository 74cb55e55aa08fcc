//! What is declared for a configuration, compared with what Python's package declares for it, entry by entry.

use super::{config, publication, start, telling, ONE_QUEUE};
use crate::support::listed::stage_to_list;
use crate::support::stage::{Stage, SOON};
use bootstep::steps::fedora_messaging::{exit_code_of, ConsumeFedoraMessages, FedoraMessage};
use bootstep::Queue;

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

#[test]
fn the_declare_table_is_that_of_the_configuration_and_nothing_more() {
    let (stage, listing) = stage_to_list();
    let consume = ConsumeFedoraMessages::new(&config(TWO_QUEUES), |_: &FedoraMessage| Ok(()));
    let running = consume.worker_on(stage.broker.clone()).unwrap().start().unwrap();
    let queues = ["builds auto_delete exclusive", "updates durable x-dead-letter-exchange=scratch x-max-length=1000"];
    assert_eq!(listing.queues(), queues);
    assert_eq!(listing.exchanges(), ["scratch fanout auto_delete", "zmq.topic topic durable"]);
    let bindings =
        ["amq.topic koji.# > builds", "scratch  > builds", "zmq.topic *.update > updates", "zmq.topic bodhi.# > updates"];
    assert_eq!(listing.bindings(), bindings);
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
