//! The ledger through random histories: whatever order things happen in, no message is settled twice, early, or by somebody
//! else's ack.

use bootstep::{Command, Event, Ledger, Ticket, Verdict};
use proptest::prelude::*;
use std::collections::BTreeMap;

const EPOCH: u64 = 7;

/// What the broker would know of one delivery, and what was decided about it.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    decided: Option<Verdict>,
    unconfirmed: u32,
    settled: Option<Verdict>,
}

/// A broker that checks every command.
#[derive(Default)]
struct Broker {
    deliveries: BTreeMap<u64, Truth>,
}

impl Broker {
    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Ack { tag } => self.settle(tag, Verdict::Ack),
                Command::Reject { tag } => self.settle(tag, Verdict::Reject),
                Command::Fail { tag } => self.settle(tag, Verdict::Fail),
                Command::Requeue { tag } => self.settle(tag, Verdict::Requeue),
                Command::AckUpTo { tag } => {
                    assert!(self.deliveries[&tag].settled.is_none(), "406: {tag} is named and settled already");
                    let covered: Vec<u64> = self.deliveries.range(..=tag).map(|(tag, _)| *tag).collect();
                    for tag in covered {
                        if self.deliveries[&tag].settled.is_none() {
                            self.settle(tag, Verdict::Ack);
                        }
                    }
                }
            }
        }
    }

    fn settle(&mut self, tag: u64, verdict: Verdict) {
        let truth = self.deliveries.get_mut(&tag).expect("only what was delivered is settled");
        assert_eq!(truth.settled, None, "{tag} is settled twice");
        assert_eq!(truth.decided, Some(verdict), "{tag} is settled as nobody decided");
        assert_eq!(truth.unconfirmed, 0, "{tag} is settled before its publishes are confirmed");
        truth.settled = Some(verdict);
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Deliver,
    Decide { of: prop::sample::Index, publishes: u32, verdict: Verdict },
    Confirm(prop::sample::Index),
    Refuse(prop::sample::Index),
    Stale(prop::sample::Index),
    Flush,
    FlushAll,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![6 => Just(Verdict::Ack), 1 => Just(Verdict::Reject), 1 => Just(Verdict::Fail), 1 => Just(Verdict::Requeue)]
}

fn deed() -> impl Strategy<Value = Deed> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        5 => Just(Deed::Deliver),
        6 => (index(), 0..3_u32, verdict()).prop_map(|(of, publishes, verdict)| Deed::Decide { of, publishes, verdict }),
        4 => index().prop_map(Deed::Confirm),
        1 => index().prop_map(Deed::Refuse),
        1 => index().prop_map(Deed::Stale),
        2 => Just(Deed::Flush),
        1 => Just(Deed::FlushAll),
    ]
}

struct Play {
    ledger: Ledger,
    broker: Broker,
    stale: u64,
}

impl Play {
    fn apply(&mut self, event: Event) {
        let mut commands = Vec::new();
        self.ledger.apply(event, &mut commands);
        self.broker.obey(commands);
    }

    fn pick(&self, of: &prop::sample::Index, wanted: impl Fn(&Truth) -> bool) -> Option<u64> {
        let fitting: Vec<u64> = self.broker.deliveries.iter().filter(|(_, truth)| wanted(truth)).map(|(tag, _)| *tag).collect();
        (!fitting.is_empty()).then(|| *of.get(&fitting))
    }

    fn truth(&mut self, tag: u64) -> &mut Truth {
        self.broker.deliveries.get_mut(&tag).unwrap()
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Deliver => {
                let tag = self.broker.deliveries.len() as u64 + 1;
                self.broker.deliveries.insert(tag, Truth::default());
                self.apply(Event::Delivered { tag });
            }
            Deed::Decide { of, publishes, verdict } => {
                let Some(tag) = self.pick(&of, |truth| truth.decided.is_none()) else { return };
                *self.truth(tag) = Truth { decided: Some(verdict), unconfirmed: publishes, settled: None };
                self.apply(Event::Decided { ticket: Ticket { epoch: EPOCH, tag }, publishes, verdict });
            }
            Deed::Confirm(of) => {
                let Some(tag) = self.pick(&of, |truth| truth.unconfirmed > 0) else { return };
                self.truth(tag).unconfirmed -= 1;
                self.apply(Event::Confirmed { ticket: Ticket { epoch: EPOCH, tag } });
            }
            Deed::Refuse(of) => {
                let Some(tag) = self.pick(&of, |truth| truth.unconfirmed > 0) else { return };
                *self.truth(tag) = Truth::default();
                self.apply(Event::Refused { ticket: Ticket { epoch: EPOCH, tag } });
            }
            Deed::Stale(of) => {
                // From an earlier connection, or said a second time about what has left.
                let tag = self.pick(&of, |_| true).unwrap_or(1);
                let (verdict, publishes) = (Verdict::Ack, 0);
                self.apply(Event::Decided { ticket: Ticket { epoch: EPOCH - 1, tag }, publishes, verdict });
                self.stale += 1;
                if let Some(tag) = self.pick(&of, |truth| truth.settled.is_some()) {
                    self.apply(Event::Decided { ticket: Ticket { epoch: EPOCH, tag }, publishes, verdict });
                    self.stale += 1;
                }
            }
            Deed::Flush => self.apply(Event::Flush),
            Deed::FlushAll => self.apply(Event::FlushAll),
        }
        let unsettled = self.broker.deliveries.values().filter(|truth| truth.settled.is_none()).count();
        assert_eq!(self.ledger.unsettled(), unsettled);
        assert_eq!(self.ledger.stale(), self.stale);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_history_settles_a_message_twice_or_early_or_by_anothers_ack(deeds in prop::collection::vec(deed(), 0..120)) {
        let mut play = Play { ledger: Ledger::new(EPOCH), broker: Broker::default(), stale: 0 };
        deeds.into_iter().for_each(|deed| play.act(deed));
        play.apply(Event::FlushAll);
        for (tag, truth) in &play.broker.deliveries {
            if truth.decided.is_some() && truth.unconfirmed == 0 {
                prop_assert_eq!(truth.settled, truth.decided, "{} was decided and never settled", tag);
            }
        }
    }
}

#[track_caller]
fn check(events: &[Event], expected: &[Command]) {
    let (mut ledger, mut commands) = (Ledger::new(EPOCH), Vec::new());
    events.iter().for_each(|event| ledger.apply(*event, &mut commands));
    assert_eq!(commands, expected);
}

fn decided(tag: u64, verdict: Verdict) -> Event {
    Event::Decided { ticket: Ticket { epoch: EPOCH, tag }, publishes: 0, verdict }
}

const THREE: [Event; 3] = [Event::Delivered { tag: 1 }, Event::Delivered { tag: 2 }, Event::Delivered { tag: 3 }];

#[test]
fn a_reject_is_sent_before_the_ack_that_passes_it() {
    let decisions = [decided(1, Verdict::Ack), decided(3, Verdict::Ack), decided(2, Verdict::Reject), Event::Flush];
    check(&[&THREE[..], &decisions].concat(), &[Command::Reject { tag: 2 }, Command::AckUpTo { tag: 3 }]);
}

#[test]
fn an_ack_behind_a_running_message_waits_for_it_or_goes_alone() {
    let decisions = [decided(1, Verdict::Ack), decided(3, Verdict::Ack), Event::Flush, Event::FlushAll];
    check(&[&THREE[..], &decisions].concat(), &[Command::Ack { tag: 1 }, Command::Ack { tag: 3 }]);
}

#[test]
fn acks_in_a_row_are_one_ack() {
    let decisions = [2, 3, 1].map(|tag| decided(tag, Verdict::Ack));
    check(&[&THREE[..], &decisions, &[Event::Flush]].concat(), &[Command::AckUpTo { tag: 3 }]);
}
