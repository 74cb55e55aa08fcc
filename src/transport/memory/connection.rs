//! A connection to the memory broker: the transport contract, with each call's deed named where the broker refuses.

use super::broker::Core;
use super::refusal::{self, Refusal};
use super::state::State;
use super::{outlet, source};
use crate::error::{Error, Fault};
use crate::limits::FRAME_MAX;
use crate::topology::{Binding, Exchange, Queue};
use crate::transport::{ConsumeVisit, PublishVisit, QueueStatus, Subscription, Transport};
use std::sync::Arc;
use std::time::Duration;

/// An open connection; dropping it closes it.
pub(crate) struct MemoryConnection {
    pub(super) core: Arc<Core>,
    pub(super) id: u64,
    pub(super) name: String,
}

impl MemoryConnection {
    pub(super) fn open(core: &Arc<Core>, name: &str) -> Result<Self, Error> {
        let id = core.with(|state| {
            if !state.is_listening {
                return Err(Error::new(Fault::Unreachable, "could not connect to the memory broker: connection refused"));
            }
            let id = state.next_id();
            state.connections.insert(id, name.to_owned());
            Ok(id)
        })?;
        Ok(MemoryConnection { core: Arc::clone(core), id, name: name.to_owned() })
    }

    /// Does something to the state if the connection is open; `deed` completes "could not …".
    pub(super) fn call<T>(
        &self,
        deed: impl FnOnce() -> String,
        act: impl FnOnce(&mut State) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let done = self.core.with(|state| match state.connections.contains_key(&self.id) {
            true => act(state),
            false => Err(refusal::lost(&self.name)),
        });
        done.map_err(|refusal| refusal.to(&deed()))
    }

    /// What an operator would see of where it is open to.
    pub fn place(&self) -> String {
        "the memory broker".into()
    }

    /// Nothing is framed here; a message that fits on RabbitMQ fits.
    pub fn frame_max(&self) -> u32 {
        FRAME_MAX
    }
}

impl Transport for MemoryConnection {
    fn server(&self) -> String {
        "bootstep memory broker".into()
    }

    fn declare_exchange(&self, exchange: &Exchange) -> Result<(), Error> {
        let deed = || format!("declare the exchange `{}`", exchange.name);
        self.call(deed, |state| state.declare_exchange(exchange))
    }

    fn declare_queue(&self, queue: &Queue) -> Result<QueueStatus, Error> {
        let deed = || format!("declare the queue `{}`", queue.name);
        self.call(deed, |state| state.declare_queue(queue, self.id))
    }

    fn bind_queue(&self, queue: &str, binding: &Binding) -> Result<(), Error> {
        let deed = || format!("bind the queue `{queue}` to the exchange `{}`", binding.exchange);
        self.call(deed, |state| state.bind(queue, binding, self.id))
    }

    fn unbind_queue(&self, queue: &str, binding: &Binding) -> Result<(), Error> {
        let deed = || format!("unbind the queue `{queue}` from the exchange `{}`", binding.exchange);
        self.call(deed, |state| state.unbind(queue, binding, self.id))
    }

    fn bind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error> {
        let deed = || format!("bind the exchange `{destination}` to the exchange `{}`", binding.exchange);
        self.call(deed, |state| state.bind_exchange(destination, binding))
    }

    fn unbind_exchange(&self, destination: &str, binding: &Binding) -> Result<(), Error> {
        let deed = || format!("unbind the exchange `{destination}` from the exchange `{}`", binding.exchange);
        self.call(deed, |state| state.unbind_exchange(destination, binding))
    }

    fn delete_queue(&self, queue: &str) -> Result<u32, Error> {
        self.call(|| format!("delete the queue `{queue}`"), |state| state.delete_queue(queue, self.id))
    }

    fn delete_exchange(&self, exchange: &str) -> Result<(), Error> {
        self.call(|| format!("delete the exchange `{exchange}`"), |state| state.delete_exchange(exchange))
    }

    fn purge_queue(&self, queue: &str) -> Result<u32, Error> {
        self.call(|| format!("purge the queue `{queue}`"), |state| state.purge(queue, self.id))
    }

    fn consume<V: ConsumeVisit>(&self, subscription: &Subscription, visit: V) -> Result<V::Output, Error> {
        source::consume(self, subscription, visit)
    }

    fn publish<V: PublishVisit>(&self, visit: V) -> Result<V::Output, Error> {
        outlet::publish(self, visit)
    }

    fn close(&self, _deadline: Duration) {
        self.core.with(|state| state.end_connection(self.id));
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.core.with(|state| state.end_connection(self.id));
    }
}
