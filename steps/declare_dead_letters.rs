//! Declares every consumer's exchanges and queues, and around each queue where failed messages wait, are kept, or lie dead.

use bootstep::{declare_around, BoxError, Connection, Context, Exchange, Queue, Step, Topology};
use std::borrow::Cow;
use std::sync::Arc;

/// Declares every consumer's exchanges and queues, their retry, archive and dead-letter queues, and whatever else it is given.
#[derive(Default)]
pub struct DeclareDeadLetters {
    more: Topology,
}

impl DeclareDeadLetters {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "declare-dead-letters";

    /// This declares an exchange that no consumer names.
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.more.exchanges.push(exchange);
        self
    }

    /// This declares a queue that nobody here consumes.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.more.queues.push(queue);
        self
    }
}

impl Step for DeclareDeadLetters {
    fn name(&self) -> Cow<'_, str> {
        DeclareDeadLetters::NAME.into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        vec!["connect".into()]
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let declared = declare_around(&ctx.get::<Connection>()?, ctx.consumers(), &self.more)?;
        // For every queue to look into: a copy for each would be many of many.
        ctx.provide(Arc::new(declared));
        Ok(())
    }
}
