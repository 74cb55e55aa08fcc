//! The cases of `growth`: what a message costs the worker as queues, threads, prefetch and backlog grow.

use crate::case::{Backlog, Case};
use crate::compare::asleep;
use crate::contender::{Contender, INTAKE_THREAD, POOL, RABBITMQ_C, RABBITMQ_C_50, SLEEPING};

const WORKER: &[Contender] = &[POOL, INTAKE_THREAD];
const WITH_SLEEP: &[Contender] = &[SLEEPING, POOL];

/// Beside so many threads stands what the broker can feed at all.
const MOST_THREADS: usize = 1000;

pub fn cases() -> Vec<Case> {
    // With 200 queues, to declare them and all around them costs more than the messages; with few messages, too.
    let is_steady = true;
    let mut cases: Vec<Case> =
        [1, 4, 16, 64, 200].map(|queues| Case { queues, is_steady, ..Case::base("many queues", queues, WORKER) }).into();
    cases.extend([1, 2, 8, 64, 256].map(|threads| asleep("sleeping threads", threads, WITH_SLEEP)));
    cases.push(asleep("sleeping threads", MOST_THREADS, &[SLEEPING, POOL, RABBITMQ_C, RABBITMQ_C_50]));
    for (prefetch, messages) in [(1, 12_000), (10, 50_000), (100, 100_000), (1000, 100_000), (10_000, 100_000)] {
        cases.push(Case { prefetch, messages, ..Case::base("growing prefetch", prefetch, WORKER) });
    }
    cases.push(Case { backlog: Backlog::Arriving, is_steady, ..Case::base("backlog", "0", WORKER) });
    for standing in [10_000, 100_000, 1_000_000] {
        let messages = standing.min(100_000);
        let backlog = Backlog::Standing(standing);
        cases.push(Case { backlog, messages, is_steady, ..Case::base("backlog", standing, WORKER) });
    }
    cases
}
