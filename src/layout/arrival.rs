//! Whether dead letters are sure to arrive: the broker dead-letters without a word, so what is not certain is published and
//! confirmed instead. Judged by what is declared here, because nothing else is known to be there.

use crate::message::Value;
use crate::topology::{Binding, Exchange, ExchangeKind, Queue, Topology};

/// Whether what this queue dead-letters is sure to get to another queue that keeps it, and cannot come back to this one.
pub(super) fn dead_letters_arrive(queue: &Queue, declared: &Topology) -> bool {
    let Some(exchange) = queue.dead_letter_exchange().filter(|_| !queue.passive) else { return false };
    let letter = Letter { exchange, key: queue.arguments.get("x-dead-letter-routing-key").and_then(Value::as_str), declared };
    let others = declared.queues.iter().filter(|target| target.name != queue.name && keeps(target));
    if exchange.is_empty() {
        return others.into_iter().any(|target| Some(target.name.as_str()) == letter.key);
    }
    let sure = letter.sure_exchanges();
    let is_sure = |binding: &Binding| sure.contains(&binding.exchange.as_str()) && letter.is_taken_by(binding);
    let possible = letter.possible_exchanges();
    // What dead-letters to itself, among others, would come again and again.
    let comes_back = |binding: &Binding| possible.contains(&binding.exchange.as_str()) && letter.may_be_taken_by(binding);
    !queue.bindings.iter().any(comes_back) && others.into_iter().any(|target| target.bindings.iter().any(is_sure))
}

/// Whether a queue is known to hold whatever it is given: a full one would drop it, or refuse it unheard, and one that others may
/// have declared, or that the broker deletes by itself, may not be what it is said to be here.
fn keeps(target: &Queue) -> bool {
    let bounded = ["x-max-length", "x-max-length-bytes", "x-expires"];
    let lasts = target.durable && !target.passive && !target.auto_delete && !target.exclusive;
    lasts && !bounded.iter().any(|name| target.arguments.contains_key(*name))
}

/// A dead letter on its way, of which only this much is known beforehand.
struct Letter<'a> {
    exchange: &'a str,
    /// Without one of its own, a dead letter keeps the message's, which is unknown.
    key: Option<&'a str>,
    declared: &'a Topology,
}

impl<'a> Letter<'a> {
    /// The exchanges that are sure to get it.
    fn sure_exchanges(&self) -> Vec<&'a str> {
        self.reached(|source| self.bound_to(source, |binding| self.is_taken_by(binding)))
    }

    /// The exchanges that may get it. The alternate of the first is none of them: where the letter is sure to be taken, nobody
    /// asks for it.
    fn possible_exchanges(&self) -> Vec<&'a str> {
        self.reached(|source| {
            let mut next = self.bound_to(source, |binding| self.may_be_taken_by(binding));
            let exchange = self.declared(source).filter(|_| source != self.exchange);
            next.extend(exchange.and_then(|exchange| exchange.arguments.get("alternate-exchange")).and_then(Value::as_str));
            next
        })
    }

    /// Where it gets to, exchange by exchange, each once: they may be bound in a circle.
    fn reached(&self, next: impl Fn(&str) -> Vec<&'a str>) -> Vec<&'a str> {
        let mut reached = vec![self.exchange];
        let mut walked = 0;
        while let Some(source) = reached.get(walked) {
            walked += 1;
            for exchange in next(source) {
                if !reached.contains(&exchange) {
                    reached.push(exchange);
                }
            }
        }
        reached
    }

    fn bound_to(&self, source: &str, is_met: impl Fn(&Binding) -> bool) -> Vec<&'a str> {
        let is_bound = |exchange: &&Exchange| exchange.bindings.iter().any(|it| it.exchange == source && is_met(it));
        self.declared.exchanges.iter().filter(is_bound).map(|exchange| exchange.name.as_str()).collect()
    }

    fn declared(&self, name: &str) -> Option<&'a Exchange> {
        self.declared.exchanges.iter().find(|exchange| exchange.name == name && !exchange.passive)
    }

    /// Whether a binding takes it for certain.
    fn is_taken_by(&self, binding: &Binding) -> bool {
        let exchange = self.declared(&binding.exchange).filter(|exchange| !exchange.auto_delete);
        match exchange.map(|exchange| &exchange.kind) {
            Some(ExchangeKind::Fanout) => true,
            Some(ExchangeKind::Direct) => Some(binding.routing_key.as_str()) == self.key,
            Some(ExchangeKind::Topic) => {
                let is_met = |key: &str| binding.routing_key == key && !key.contains(['*', '#']);
                binding.routing_key == "#" || self.key.is_some_and(is_met)
            }
            // By headers, or by a plugin's rules: the message decides.
            _ => false,
        }
    }

    /// Whether a binding could take it, as far as one can tell.
    fn may_be_taken_by(&self, binding: &Binding) -> bool {
        match (self.declared(&binding.exchange).map(|exchange| &exchange.kind), self.key) {
            (Some(ExchangeKind::Direct), Some(key)) => binding.routing_key == key,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(queue: Queue, exchanges: &[Exchange], more: &[Queue], expected: bool) {
        let mut declared = Topology { exchanges: exchanges.to_vec(), queues: more.to_vec() };
        declared.queues.push(queue.clone());
        assert_eq!(dead_letters_arrive(&queue, &declared), expected);
    }

    fn orders() -> Queue {
        Queue::new("orders").dead_letter_to("dead", "late")
    }

    #[test]
    fn an_exchange_bound_to_another_passes_on_what_surely_meets_its_binding() {
        let morgue = [Queue::new("morgue").bind("vault", "")];
        let vault = |key: &str| Exchange::fanout("vault").bind("dead", key);
        check(orders(), &[Exchange::direct("dead"), vault("late")], &morgue, true);
        check(orders(), &[Exchange::direct("dead"), vault("early")], &morgue, false);
        check(orders(), &[Exchange::topic("dead"), vault("l*te")], &morgue, false);
        check(orders(), &[Exchange::existing("dead"), vault("late")], &morgue, false);
        check(orders(), &[Exchange::direct("dead"), vault("late").auto_delete()], &morgue, false);
        check(orders(), &[Exchange::direct("dead"), Exchange::headers("vault").bind("dead", "late")], &morgue, false);
    }

    #[test]
    fn what_comes_back_by_way_of_other_exchanges_is_seen() {
        let morgue = [Queue::new("morgue").bind("dead", "late")];
        let round = |key: &str| orders().bind("side", key);
        let side = |source: &str, key: &str| Exchange::direct("side").bind(source, key);
        check(round("late"), &[Exchange::direct("dead"), side("dead", "late")], &morgue, false);
        check(round("other"), &[Exchange::direct("dead"), side("dead", "late")], &morgue, true);
        check(round("late"), &[Exchange::direct("dead"), side("dead", "other")], &morgue, true);
        check(round("late"), &[Exchange::fanout("dead"), side("dead", "other")], &morgue, false);
        let between = Exchange::headers("between").bind("dead", "late");
        check(round("late"), &[Exchange::direct("dead"), between, side("between", "")], &morgue, false);
        // A circle of exchanges that leaves the queue out.
        check(orders(), &[Exchange::direct("dead").bind("side", "late"), side("dead", "late")], &morgue, true);
    }

    #[test]
    fn an_alternate_exchange_may_bring_it_back_and_is_not_sure_to_take_it() {
        let (late, spare) = (Queue::new("morgue").bind("dead", "late"), Queue::new("morgue").bind("spare", ""));
        let dead = || Exchange::direct("dead").alternate("spare");
        check(orders(), &[dead(), Exchange::fanout("spare")], &[spare], false);
        // The first exchange's own alternate is not asked: the morgue takes it.
        check(orders().bind("spare", ""), &[dead(), Exchange::fanout("spare")], std::slice::from_ref(&late), true);
        let side = Exchange::direct("side").bind("dead", "late").alternate("spare");
        check(orders().bind("spare", ""), &[Exchange::direct("dead"), side], &[late], false);
    }

    #[test]
    fn a_headers_exchange_is_not_sure_to_take_anything() {
        let all = Binding::new("dead", "").argument("x-match", "all");
        check(orders(), &[Exchange::headers("dead")], &[Queue::new("morgue").bound(all)], false);
    }
}
