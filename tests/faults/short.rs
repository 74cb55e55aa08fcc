//! The short form of the suite: a few thousand messages, the named cases, a storm of a fixed seed and one
//! that is another each time.

use bootstep_faults::cases::case;
use bootstep_faults::process::program_is;
use bootstep_faults::settings::{Kind, Layout};
use bootstep_faults::storm::{self, Storm};
use bootstep_faults::support::node::Node;
use bootstep_faults::support::setup;
use bootstep_faults::table::Report;
use std::sync::{Mutex, PoisonError};

/// Nodes that no test is using. Two at a time are as many as two cores bear.
static FREE: Mutex<Vec<Node>> = Mutex::new(Vec::new());

fn with_node(play: impl FnOnce(&mut Node) -> Report) {
    program_is(env!("CARGO_BIN_EXE_bootstep-faults"));
    let free = || FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = free().pop();
    let mut node = idle.unwrap_or_else(|| Node::start_with(&setup()));
    let report = play(&mut node);
    println!("{}", report.lines());
    assert!(report.is_good(), "{}", report.lines());
    // One that failed may have left its node in any state: that one is dropped.
    free().push(node);
}

fn plays(name: &str, kind: Kind) {
    with_node(|node| case(name).run(node, kind, Layout::Levels, 7));
}

fn storms(kind: Kind, seed: u64) {
    with_node(|node| storm::run(node, Storm { seed, kind, layout: Layout::Levels, messages: 3_000, faults: 3 }));
}

macro_rules! cases {
    ($($test:ident: $name:literal, $kind:ident;)*) => {
        $(#[test]
        fn $test() {
            plays($name, Kind::$kind);
        })*
    };
}

cases! {
    nothing_runs_twice_without_faults_classic: "no-faults", Classic;
    nothing_runs_twice_without_faults_quorum: "no-faults", Quorum;
    a_short_wait_does_not_stand_behind_a_long_one: "long-before-short", Classic;
    sigterm_with_500_prefetched: "sigterm-with-500", Quorum;
    the_second_sigterm_leaves_at_once: "second-sigterm", Classic;
    sigterm_while_the_broker_is_down: "sigterm-broker-down", Quorum;
    sigterm_while_the_broker_is_silent: "sigterm-broker-silent", Classic;
    a_rolling_restart_under_load: "rolling-restart", Classic;
    a_full_retry_queue: "retry-queue-full", Quorum;
    a_retry_queue_that_is_missing: "retry-queue-missing", Classic;
    a_main_queue_that_is_missing_for_a_moment: "main-queue-missing", Classic;
    a_main_queue_that_is_missing_for_long_quorum: "main-queue-missing-long", Quorum;
    a_queue_deleted_under_its_consumers: "queue-deleted", Classic;
    a_full_archive: "archive-full", Quorum;
    consuming_again_after_a_restart: "recovery", Quorum;
    a_worker_killed_with_rejects_between_acks: "killed-out-of-order", Classic;
    a_worker_killed_between_confirm_and_ack: "killed-at-confirm", Quorum;
    an_alarm_while_messages_are_moved: "alarm-during-retries", Classic;
    a_handler_longer_than_the_consumer_timeout: "consumer-timeout", Quorum;
    every_fault_once: "every-fault", Classic;
    a_quorum_queue_that_loses_its_leader: "leader-lost", Quorum;
}

#[test]
fn a_storm_over_a_quorum_queue() {
    storms(Kind::Quorum, 108);
}

#[test]
fn a_storm_of_another_seed_each_time() {
    let seed = fastrand::u64(..1_000_000);
    println!("seed {seed}");
    storms(if seed & 1 == 0 { Kind::Quorum } else { Kind::Classic }, seed);
}
