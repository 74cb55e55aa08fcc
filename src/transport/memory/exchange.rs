//! An exchange: what is bound to it, and where a message goes from here.

use super::binding::{Bound, Compared, Destination};
use super::refusal::{self, inequivalent, unsupported, Refusal};
use crate::message::Table;
use crate::topology::{Binding, Exchange, ExchangeKind};

/// A declared exchange with its bindings.
pub(super) struct Exchanging {
    pub declared: Exchange,
    bindings: Vec<Bound>,
}

impl Exchanging {
    pub fn new(declared: Exchange) -> Result<Self, Refusal> {
        match &declared.kind {
            ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic | ExchangeKind::Headers => {}
            other => {
                let kind = other.as_str();
                return Err(unsupported(format!("the memory broker does not model exchanges of the type `{kind}`")));
            }
        }
        if let Some(name) = declared.arguments.keys().next() {
            return Err(unsupported(format!("the memory broker does not model the exchange argument `{name}`")));
        }
        Ok(Exchanging { declared, bindings: Vec::new() })
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

    /// Where a message with these keys and headers goes from here, perhaps to the same place by several bindings.
    pub fn destinations(&self, keys: &[&str], headers: &Table) -> Vec<&Destination> {
        let compared = Compared::of(&self.declared.kind, keys, headers);
        let met = self.bindings.iter().filter(|bound| compared.meets(bound));
        met.map(|bound| &bound.destination).collect()
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
