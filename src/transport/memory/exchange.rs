//! An exchange: what is bound to it, where a message goes from here, and what its arguments mean.

use super::binding::{Bound, Compared, Destination};
use super::refusal::{self, inequivalent, precondition, type_name, unsupported, Refusal};
use crate::message::{Table, Value};
use crate::topology::{Binding, Exchange, ExchangeKind};

/// Where a message goes that an exchange routes nowhere.
const ALTERNATE: &str = "alternate-exchange";

/// A declared exchange with its bindings.
pub(super) struct Exchanging {
    pub declared: Exchange,
    alternate: Option<Destination>,
    bindings: Vec<Bound>,
}

impl Exchanging {
    /// Refuses a kind or an argument that is not modelled.
    pub fn check_modelled(exchange: &Exchange) -> Result<(), Refusal> {
        match &exchange.kind {
            ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic | ExchangeKind::Headers => {}
            other => {
                let kind = other.as_str();
                return Err(unsupported(format!("the memory broker does not model exchanges of the type `{kind}`")));
            }
        }
        match exchange.arguments.keys().find(|name| *name != ALTERNATE) {
            Some(name) => Err(unsupported(format!("the memory broker does not model the exchange argument `{name}`"))),
            None => Ok(()),
        }
    }

    pub fn new(declared: Exchange) -> Result<Self, Refusal> {
        let alternate = match declared.arguments.get(ALTERNATE) {
            None => None,
            Some(Value::Text(name)) => Some(Destination::Exchange(name.clone())),
            Some(other) => {
                let (kind, whom) = (type_name(other), refusal::exchange(&declared.name));
                return Err(precondition(format!("invalid type '{kind}' for arg '{ALTERNATE}' in {whom}")));
            }
        };
        Ok(Exchanging { declared, alternate, bindings: Vec::new() })
    }

    /// Binding twice is binding once.
    pub fn bind(&mut self, destination: Destination, binding: &Binding) {
        if !self.has(&destination, binding) {
            self.bindings.push(Bound::new(&self.declared.kind, destination, binding));
        }
    }

    pub fn has(&self, destination: &Destination, binding: &Binding) -> bool {
        self.bindings.iter().any(|bound| bound.is(destination, binding))
    }

    /// Says whether the exchange goes with the binding, because that was its last.
    pub fn unbind(&mut self, destination: &Destination, binding: &Binding) -> bool {
        self.keep_only(|bound| !bound.is(destination, binding))
    }

    /// Says whether the exchange goes with the bindings of the destination, because those were its last.
    pub fn unbind_all(&mut self, destination: &Destination) -> bool {
        self.keep_only(|bound| bound.destination != *destination)
    }

    fn keep_only(&mut self, is_kept: impl FnMut(&Bound) -> bool) -> bool {
        let before = self.bindings.len();
        self.bindings.retain(is_kept);
        self.declared.auto_delete && self.bindings.is_empty() && before > 0
    }

    /// Where a message with these keys and headers goes from here, perhaps to the same place by several bindings; if none
    /// takes it, to the alternate exchange.
    pub fn destinations(&self, keys: &[&str], headers: &Table) -> Vec<&Destination> {
        let compared = Compared::of(&self.declared.kind, keys, headers);
        let met = self.bindings.iter().filter(|bound| compared.meets(bound));
        let destinations: Vec<&Destination> = met.map(|bound| &bound.destination).collect();
        match destinations.is_empty() {
            true => self.alternate.iter().collect(),
            false => destinations,
        }
    }

    /// Refuses a declaration that does not say the same as the one that made the exchange.
    pub fn assert_same(&self, received: &Exchange) -> Result<(), Refusal> {
        let current = &self.declared;
        let whom = refusal::exchange(&current.name);
        let fail = |name: &str, now: &str, was: &str| Err(inequivalent(name, &whom, &format!("'{now}'"), &format!("'{was}'")));
        if received.kind != current.kind {
            return fail("type", received.kind.as_str(), current.kind.as_str());
        }
        for (name, now, was) in [
            ("durable", received.durable, current.durable),
            ("auto_delete", received.auto_delete, current.auto_delete),
            ("internal", received.internal, current.internal),
        ] {
            if now != was {
                return fail(name, &now.to_string(), &was.to_string());
            }
        }
        super::arguments::assert_same_arguments(&whom, &current.arguments, &received.arguments)
    }
}
