//! Random histories end alike on the memory broker and on RabbitMQ: the same answers on the way, the same messages in the same
//! order with the same deaths on the same queues.
//!
//! The histories are the same on every run. `PROPTEST_CASES=1000` makes more of them, `PROPTEST_RNG_SEED=7` others. Where the two
//! brokers differ, RabbitMQ is right.

mod plan;
mod player;
mod reader;
mod script;
mod sight;

use crate::support::vhost::{shared_vhost, unique};
use bootstep::{Broker, MemoryBroker};
use plan::Sort;
use player::Player;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use script::Script;
use std::cell::Cell;
use std::env;
use std::time::Duration;

const SEED: u64 = 1;

/// How often RabbitMQ may give another answer than the memory broker: it leaves some orders open, and shows now one, now
/// another. What the memory broker does it must do at least once.
const PLAYS: usize = 3;

/// How long RabbitMQ has to come to where the memory broker is.
const PATIENCE: Duration = Duration::from_secs(5);
const HASTE: Duration = Duration::from_millis(1500);

#[test]
fn random_histories_on_classic_queues_end_alike_on_rabbitmq() {
    check(Sort::Classic, 50);
}

#[test]
fn random_histories_on_quorum_queues_end_alike_on_rabbitmq() {
    check(Sort::Quorum, 30);
}

#[test]
fn random_histories_with_expiring_messages_end_alike_on_rabbitmq() {
    check(Sort::Mixed, 40);
}

#[track_caller]
fn check(sort: Sort, cases: u32) {
    let mut config = Config { failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    println!("{sort:?}: {} cases, {:?}", config.cases, config.rng_seed);
    let vhost = shared_vhost();
    let rabbitmq = Broker::amqp(&vhost.url).unwrap();
    let is_rabbitmq_4 = rabbitmq.connect("likeness").unwrap().server().starts_with("RabbitMQ 4");
    let has_failed = Cell::new(false);
    let played = TestRunner::new(config).run(&script::script(sort, is_rabbitmq_4), |script| {
        // While proptest looks for a smaller script, the first failure is enough, and a false one does little harm.
        let (plays, patience) = if has_failed.get() { (1, HASTE) } else { (PLAYS, PATIENCE) };
        let mut difference = String::new();
        for _ in 0..plays {
            match difference_on(&rabbitmq, &script, patience) {
                Ok(()) => return Ok(()),
                Err(found) => difference = found,
            }
            if !has_failed.get() {
                println!("a difference, perhaps one that RabbitMQ leaves open: {difference}");
            }
        }
        has_failed.set(true);
        Err(TestCaseError::fail(difference))
    });
    if let Err(failed) = played {
        panic!("{failed}");
    }
}

fn difference_on(rabbitmq: &Broker, script: &Script, patience: Duration) -> Result<(), String> {
    let prefix = format!("{}-", unique("alike"));
    let memory = MemoryBroker::new();
    let connection = Broker::from(&memory).connect("likeness").unwrap();
    let scenes = Player::new(script, &connection, &prefix).play(&memory);
    let connection = rabbitmq.connect("likeness").unwrap();
    Player::new(script, &connection, &prefix).follow(&scenes, patience)
}
