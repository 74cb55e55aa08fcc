//! The ledger, with as many messages out as the prefetch allows and acks that go out as an intake sends them.

use super::{case, Case};
use bootstep::{Command, Event, Ledger, Ticket, Verdict};
use std::hint::black_box;

const EPOCH: u64 = 7;

pub fn cases() -> Vec<Case> {
    vec![
        case("ledger: acks in order, prefetch 100", 20_000, |times| settle(100, times, |at| (at, Verdict::Ack))),
        case("ledger: acks in order, prefetch 10,000", 40_000, |times| settle(10_000, times, |at| (at, Verdict::Ack))),
        case("ledger: every second out of order, prefetch 100", 20_000, |times| settle(100, times, in_swapped_pairs)),
        case("ledger: every second out of order, prefetch 10,000", 40_000, |times| settle(10_000, times, in_swapped_pairs)),
        case("ledger: every tenth a reject, prefetch 100", 20_000, |times| settle(100, times, with_rejects)),
        case("ledger: every tenth a reject, prefetch 10,000", 40_000, |times| settle(10_000, times, with_rejects)),
        case("ledger: a slow one before 1,000, prefetch 100", 20_000, |times| pass_a_slow_one(100, times)),
        case("ledger: a slow one before 1,000, prefetch 10,000", 40_000, |times| pass_a_slow_one(10_000, times)),
    ]
}

fn in_swapped_pairs(at: u64) -> (u64, Verdict) {
    (at ^ 1, Verdict::Ack)
}

fn with_rejects(at: u64) -> (u64, Verdict) {
    (at, if at % 10 == 3 { Verdict::Reject } else { Verdict::Ack })
}

/// A ledger with its broker: what may be out is out.
struct Work {
    ledger: Ledger,
    commands: Vec<Command>,
    enough: usize,
}

impl Work {
    fn new(prefetch: u64) -> Self {
        let mut work = Work { ledger: Ledger::new(EPOCH), commands: Vec::new(), enough: (prefetch as usize / 4).clamp(1, 64) };
        (0..prefetch).for_each(|at| work.deliver(at));
        work
    }

    fn deliver(&mut self, at: u64) {
        self.ledger.apply(Event::Delivered { tag: at + 1 }, &mut self.commands);
    }

    fn decide(&mut self, at: u64, verdict: Verdict) {
        let ticket = Ticket { epoch: EPOCH, tag: at + 1 };
        self.ledger.apply(Event::Decided { ticket, publishes: 0, verdict }, &mut self.commands);
        if self.ledger.acks_due() >= self.enough {
            self.ledger.apply(Event::Flush, &mut self.commands);
        }
        if self.ledger.acks_due() >= 2 * self.enough {
            self.ledger.apply(Event::FlushAll, &mut self.commands);
        }
        black_box(&self.commands);
        self.commands.clear();
    }
}

fn settle(prefetch: u64, times: usize, nth: fn(u64) -> (u64, Verdict)) {
    let mut work = Work::new(prefetch);
    for at in 0..times as u64 {
        let (which, verdict) = nth(at);
        work.decide(which, verdict);
        work.deliver(at + prefetch);
    }
}

/// Each time 1,000 have passed the one at the front, that one is done as well.
fn pass_a_slow_one(prefetch: u64, times: usize) {
    let mut work = Work::new(prefetch);
    for at in 0..times as u64 {
        match at % 1_000 {
            0 => {}
            999 => {
                work.decide(at, Verdict::Ack);
                work.decide(at - 999, Verdict::Ack);
            }
            _ => work.decide(at, Verdict::Ack),
        }
        work.deliver(at + prefetch);
    }
}
