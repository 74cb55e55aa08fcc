//! The cases of `compare`: everyone on the base case and over prefetch, then one thing at a time.

use crate::case::Case;
use crate::contender::{
    Contender, AMIQUIP, AMIQUIP_50, CELERY, INTAKE_THREAD, LAPIN, PIKA, POOL, RABBITMQ_C, RABBITMQ_C_50, SLEEPING,
};
use crate::task::Work;

const EVERYONE: &[Contender] = &[POOL, INTAKE_THREAD, RABBITMQ_C, RABBITMQ_C_50, AMIQUIP, AMIQUIP_50, LAPIN, PIKA, CELERY];
const QUICK: &[Contender] = &[POOL, INTAKE_THREAD, RABBITMQ_C, RABBITMQ_C_50, AMIQUIP, AMIQUIP_50, LAPIN];
const WITH_THREADS: &[Contender] = &[POOL, LAPIN];
const WITH_SLEEP: &[Contender] = &[SLEEPING, POOL, LAPIN];

/// About how long a run takes whose handlers sleep: so long that it is steady.
const SLEEPING_SECONDS: usize = 4;

pub fn cases() -> Vec<Case> {
    let mut cases = over_prefetch();
    cases.extend(over_bodies());
    for queues in [4, 16] {
        cases.push(Case { queues, ..Case::base("queues", queues, QUICK) });
    }
    for threads in [1, 8, 64] {
        cases.push(Case { threads, messages: 60_000, ..Case::base("threads", threads, WITH_THREADS) });
    }
    for threads in [1, 2, 8, 64] {
        let handler = Work::Compute;
        cases.push(Case { threads, handler, messages: 40_000, ..Case::base("compute", threads, WITH_THREADS) });
    }
    cases.extend([2, 8, 64].map(|threads| asleep("sleep", threads, WITH_SLEEP)));
    cases
}

/// So many threads whose handlers sleep 5 ms, with a prefetch that lets none wait.
pub fn asleep(group: &'static str, threads: usize, contenders: &[Contender]) -> Case {
    // 200 messages a second and thread.
    let messages = (threads * 200 * SLEEPING_SECONDS).min(100_000);
    let prefetch = u16::try_from(8 * threads).expect("no case has that many threads").max(100);
    // To start and to end hundreds of threads is not what is asked.
    let is_steady = true;
    Case { threads, handler: Work::Sleep, messages, prefetch, is_steady, ..Case::base(group, threads, contenders) }
}

fn over_prefetch() -> Vec<Case> {
    // The fewer at a time, the longer each takes.
    [(1, 12_000), (10, 50_000), (100, 100_000), (1000, 200_000)]
        .map(|(prefetch, messages)| {
            let contenders = EVERYONE.iter().copied().filter(|contender| contender.can_wait_with_acks_at(prefetch)).collect();
            Case { prefetch, messages, contenders, ..Case::base("prefetch", prefetch, &[]) }
        })
        .into()
}

fn over_bodies() -> [Case; 2] {
    [("10 KB", 10_000, 15_000), ("1 MB", 1_000_000, 200)].map(|(label, bytes, messages)| Case {
        bytes,
        messages,
        ..Case::base("bodies", label, QUICK)
    })
}
