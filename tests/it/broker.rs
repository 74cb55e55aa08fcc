//! What every broker keeps to: one suite for the memory broker and for RabbitMQ, so that neither drifts from the other.
//!
//! Each case is a function over a [`Bench`](bench::Bench). Where the two differ, RabbitMQ is right.

mod bench;

/// Makes a test of each case for each broker, on classic queues.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $case() { super::$case(&crate::broker::bench::Bench::memory("classic")); })+
        }
        mod rabbitmq {
            $(#[test] fn $case() { super::$case(&crate::broker::bench::Bench::rabbitmq("classic")); })+
        }
    };
}

/// Makes a test of each case for each broker and each type of queue.
macro_rules! cases_by_queue_type {
    ($($case:ident),+ $(,)?) => {
        cases!($($case),+);
        quorum_cases!($($case),+);
    };
}

/// Makes a test of each case for each broker, on quorum queues.
macro_rules! quorum_cases {
    ($($case:ident),+ $(,)?) => {
        mod memory_quorum {
            $(#[test] fn $case() { super::$case(&crate::broker::bench::Bench::memory("quorum")); })+
        }
        mod rabbitmq_quorum {
            $(#[test] fn $case() { super::$case(&crate::broker::bench::Bench::rabbitmq("quorum")); })+
        }
    };
}

mod alternates;
mod bodies;
mod carrying;
mod classic;
mod consuming;
mod copies;
mod cycles;
mod dead_letters;
mod declaring;
mod delivery_limit;
mod exchange_bindings;
mod expiry;
mod headers;
mod lifetime;
mod limits;
mod ownership;
mod priorities;
mod publishing;
mod quorum;
mod reasons;
mod refusals;
mod routing;
mod timeouts;
mod turns;
mod unused;
