//! Binding queues and exchanges to exchanges, and what goes with a binding, with RabbitMQ's checks in RabbitMQ's order.

use super::binding::{self, Destination};
use super::refusal::{self, Refusal};
use super::state::State;
use crate::topology::Binding;

impl State {
    /// Binds a queue; the exchange is looked for first.
    pub fn bind(&mut self, queue: &str, binding: &Binding, connection: u64) -> Result<(), Refusal> {
        refuse_default(&binding.exchange)?;
        self.check_source(binding)?;
        let id = *self.names.get(queue).ok_or_else(|| refusal::no_queue(queue))?;
        self.check_binding(binding)?;
        self.queue_of(queue, connection)?;
        self.add_binding(Destination::Queue(id), binding);
        Ok(())
    }

    /// Binds an exchange to the one that the binding names; that is looked for first.
    pub fn bind_exchange(&mut self, destination: &str, binding: &Binding) -> Result<(), Refusal> {
        refuse_default(destination)?;
        refuse_default(&binding.exchange)?;
        self.check_source(binding)?;
        if !self.exchanges.contains_key(destination) {
            return Err(refusal::no_exchange(destination));
        }
        self.check_binding(binding)?;
        self.add_binding(Destination::Exchange(destination.to_owned()), binding);
        Ok(())
    }

    fn check_source(&self, binding: &Binding) -> Result<(), Refusal> {
        match self.exchanges.contains_key(&binding.exchange) {
            true => Ok(()),
            false => Err(refusal::no_exchange(&binding.exchange)),
        }
    }

    fn check_binding(&self, binding: &Binding) -> Result<(), Refusal> {
        binding::check(&self.exchanges[&binding.exchange].declared.kind, binding)
    }

    fn add_binding(&mut self, destination: Destination, binding: &Binding) {
        let source = self.exchanges.get_mut(&binding.exchange).expect("`check_source` found it");
        source.bind(destination, binding);
        self.try_held_again();
    }

    /// Unbinding what is not bound, or does not exist, is no error, even if the queue is somebody else's.
    pub fn unbind(&mut self, queue: &str, binding: &Binding, connection: u64) -> Result<(), Refusal> {
        refuse_default(&binding.exchange)?;
        let Some(id) = self.names.get(queue) else { return Ok(()) };
        let destination = Destination::Queue(*id);
        if self.exchanges.get(&binding.exchange).is_some_and(|source| source.has(&destination, binding)) {
            self.queue_of(queue, connection)?;
            self.remove_binding(&destination, binding);
        }
        Ok(())
    }

    /// Unbinding what is not bound, or does not exist, is no error.
    pub fn unbind_exchange(&mut self, destination: &str, binding: &Binding) -> Result<(), Refusal> {
        refuse_default(destination)?;
        refuse_default(&binding.exchange)?;
        self.remove_binding(&Destination::Exchange(destination.to_owned()), binding);
        Ok(())
    }

    fn remove_binding(&mut self, destination: &Destination, binding: &Binding) {
        let Some(source) = self.exchanges.get_mut(&binding.exchange) else { return };
        if source.unbind(destination, binding) {
            self.remove_exchange(&binding.exchange);
        }
    }

    /// Removes an exchange with all bindings to and from it.
    pub fn remove_exchange(&mut self, exchange: &str) {
        self.exchanges.remove(exchange);
        self.forget_destination(&Destination::Exchange(exchange.to_owned()));
    }

    /// Removes all bindings to what is gone, and the auto-delete exchanges that have none left by that, one after the other.
    pub fn forget_destination(&mut self, destination: &Destination) {
        let mut unused = Vec::new();
        for (name, source) in &mut self.exchanges {
            if source.unbind_all(destination) {
                unused.push(name.clone());
            }
        }
        for exchange in unused {
            self.remove_exchange(&exchange);
        }
    }
}

/// The default exchange is bound to every queue by its name, and to nothing else.
pub(super) fn refuse_default(exchange: &str) -> Result<(), Refusal> {
    match exchange {
        "" => Err(refusal::access("operation not permitted on the default exchange")),
        _ => Ok(()),
    }
}
