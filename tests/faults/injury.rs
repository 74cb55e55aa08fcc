//! The faults that a storm picks from, and how each is done to a node, a worker process, or the link between them.

use crate::field::Field;
use crate::link::{Direction, Flow};
use crate::process::signal;
use crate::support::node::Node;
use crate::support::wait::holds_within;
use crate::support::{now_ms, pass};
use std::fmt;
use std::time::{Duration, Instant};

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Injury {
    BrokerKilled,
    BrokerFrozen,
    Reset,
    SilenceToWorker,
    SilenceToBroker,
    StallMidFrame,
    SlowLink,
    ChannelClosed,
    ClosedByOperator,
    MemoryAlarm,
    WorkerKilled,
    WorkerKilledAtConfirm,
    Terminated,
    TerminatedTwice,
    /// Made by a case of its own.
    QueueDeleted,
    QueueFull,
    LeaderLost,
}

/// A fault that happened.
#[derive(Clone, Debug)]
pub struct Injected {
    pub kind: Injury,
    pub begin_ms: u64,
    pub end_ms: u64,
}

/// What a storm picks from: what is quick to do stands there more often, so that a run sees many.
const STORM: [Injury; 22] = [
    Injury::BrokerKilled,
    Injury::BrokerKilled,
    Injury::BrokerFrozen,
    Injury::Reset,
    Injury::Reset,
    Injury::SilenceToWorker,
    Injury::SilenceToWorker,
    Injury::SilenceToBroker,
    Injury::SilenceToBroker,
    Injury::StallMidFrame,
    Injury::StallMidFrame,
    Injury::SlowLink,
    Injury::ChannelClosed,
    Injury::ChannelClosed,
    Injury::ClosedByOperator,
    Injury::MemoryAlarm,
    Injury::WorkerKilled,
    Injury::WorkerKilled,
    Injury::WorkerKilledAtConfirm,
    Injury::WorkerKilledAtConfirm,
    Injury::Terminated,
    Injury::TerminatedTwice,
];

impl Injury {
    pub fn any(rng: &mut fastrand::Rng) -> Injury {
        STORM[rng.usize(..STORM.len())]
    }

    /// Each sort that storms pick from, once.
    pub fn of_storms() -> Vec<Injury> {
        let mut once = STORM.to_vec();
        once.dedup();
        once
    }

    /// Does it, and returns when the next may come; what ends later is healed by [`Field::heal_due`].
    pub fn inject(self, node: &mut Node, field: &mut Field, rng: &mut fastrand::Rng) {
        let begin_ms = now_ms();
        let until = self.act(node, field, rng);
        let rest = until.saturating_duration_since(Instant::now());
        let end_ms = now_ms() + u64::try_from(rest.as_millis()).expect("faults are short");
        if self == Injury::BrokerKilled {
            field.hops.push((begin_ms, end_ms));
        }
        field.injected.push(Injected { kind: self, begin_ms, end_ms });
    }

    fn act(self, node: &mut Node, field: &mut Field, rng: &mut fastrand::Rng) -> Instant {
        let seat = rng.usize(..field.seats.len());
        match self {
            Injury::BrokerKilled => kill_broker(node, field, rng),
            Injury::BrokerFrozen => {
                node.freeze();
                pass(ms(rng, 300..6_000));
                node.thaw();
            }
            Injury::Reset => reset(field, seat, rng),
            Injury::SilenceToWorker => return disturb(field, seat, &[Direction::ToWorker], Flow::Silent, rng),
            Injury::SilenceToBroker => return disturb(field, seat, &[Direction::ToBroker], Flow::Silent, rng),
            Injury::StallMidFrame => {
                let direction = if rng.bool() { Direction::ToWorker } else { Direction::ToBroker };
                return disturb(field, seat, &[direction], Flow::Stalled, rng);
            }
            Injury::SlowLink => {
                let both = [Direction::ToWorker, Direction::ToBroker];
                return disturb(field, seat, &both, Flow::Slow(rng.u32(5_000..100_000)), rng);
            }
            Injury::ChannelClosed => {
                let links = field.seats[seat].proxy().links();
                for link in &links {
                    link.close_a_channel(rng);
                }
            }
            Injury::ClosedByOperator => drop(node.ctl(&["close_all_connections", "the operator closes it"])),
            Injury::MemoryAlarm => {
                raise_alarm(node);
                pass(ms(rng, 200..3_000));
                clear_alarm(node);
            }
            Injury::WorkerKilled => {
                field.seats[seat].kill();
                pass(ms(rng, 0..700));
            }
            Injury::WorkerKilledAtConfirm => kill_at_confirm(field, seat),
            Injury::Terminated => terminate(field, seat),
            Injury::TerminatedTwice => terminate_twice(field, seat, rng),
            Injury::QueueDeleted | Injury::QueueFull | Injury::LeaderLost => unreachable!("no storm picks it"),
        }
        field.start_missing();
        Instant::now()
    }
}

/// As if memory had run out. Not by the watermark: a node that cannot see how much memory there is has none.
pub fn raise_alarm(node: &Node) {
    node.ctl(&["eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."]);
}

pub fn clear_alarm(node: &Node) {
    node.ctl(&["eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()})."]);
}

fn ms(rng: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

fn kill_broker(node: &mut Node, field: &mut Field, rng: &mut fastrand::Rng) {
    node.kill();
    pass(ms(rng, 0..1_000));
    node.restart();
    field.restarts.push(now_ms());
}

fn reset(field: &Field, seat: usize, rng: &mut fastrand::Rng) {
    let links = field.seats[seat].proxy().links();
    let which = rng.u8(..3);
    let is_meant = |link: &&std::sync::Arc<crate::link::Link>| match which {
        0 => true,
        1 => link.is_publishing(),
        _ => link.is_consuming(),
    };
    links.iter().filter(is_meant).for_each(|link| link.reset());
}

/// On the connections there are; half of the time also on those to come, so that connecting again meets it too.
fn disturb(field: &mut Field, seat: usize, directions: &[Direction], flow: Flow, rng: &mut fastrand::Rng) -> Instant {
    let (which, also_fresh) = (rng.u8(..3), rng.bool());
    let proxy = field.seats[seat].proxy();
    for link in proxy.links() {
        let is_meant = which == 0 || (which == 1 && link.is_publishing()) || (which == 2 && link.is_consuming());
        directions.iter().filter(|_| is_meant).for_each(|direction| link.set(*direction, flow));
    }
    if also_fresh {
        directions.iter().for_each(|direction| proxy.set_fresh(*direction, flow));
    }
    // Shorter than two heartbeats, which nobody need notice, up to longer.
    let until = Instant::now() + ms(rng, 300..7_000);
    field.heals.push((until, seat));
    until
}

/// The broker has confirmed what was moved, and the worker dies before it can ack the original.
fn kill_at_confirm(field: &mut Field, seat: usize) {
    let Some(id) = field.seats[seat].process_id() else { return };
    field.seats[seat].proxy().at_next_confirm(move || signal("KILL", id));
    let killed = holds_within(Duration::from_secs(2), || !field.seats[seat].is_running());
    field.seats[seat].proxy().forget_confirm();
    if !killed {
        // Nothing was to be moved just then: a plain kill.
        field.seats[seat].kill();
    }
    field.seats[seat].kill();
}

fn terminate(field: &mut Field, seat: usize) {
    let within = Duration::from_millis(field.settings.drain_ms) + Duration::from_secs(5);
    match field.seats[seat].stop(within) {
        Ok((_, 0 | 1)) => {}
        Ok((_, code)) => field.complain(format!("SIGTERM ended {} with code {code}", field.seats[seat].name)),
        Err(what) => field.complain(what),
    }
}

fn terminate_twice(field: &mut Field, seat: usize, rng: &mut fastrand::Rng) {
    field.seats[seat].terminate();
    pass(ms(rng, 0..300));
    match field.seats[seat].stop(Duration::from_secs(2)) {
        Ok((_, 0 | 1)) => {}
        Ok((_, code)) => field.complain(format!("the second SIGTERM ended {} with code {code}", field.seats[seat].name)),
        Err(what) => field.complain(format!("{what}, the second one")),
    }
}

impl fmt::Display for Injury {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Injury::BrokerKilled => "broker killed",
            Injury::BrokerFrozen => "broker frozen",
            Injury::Reset => "reset",
            Injury::SilenceToWorker => "silence to the worker",
            Injury::SilenceToBroker => "silence to the broker",
            Injury::StallMidFrame => "stall mid-frame",
            Injury::SlowLink => "slow link",
            Injury::ChannelClosed => "channel closed",
            Injury::ClosedByOperator => "closed by the operator",
            Injury::MemoryAlarm => "memory alarm",
            Injury::WorkerKilled => "worker killed",
            Injury::WorkerKilledAtConfirm => "worker killed at a confirm",
            Injury::Terminated => "SIGTERM",
            Injury::TerminatedTwice => "SIGTERM twice",
            Injury::QueueDeleted => "queue deleted",
            Injury::QueueFull => "queue full",
            Injury::LeaderLost => "leader lost",
        })
    }
}
