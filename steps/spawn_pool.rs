//! Starts the threads that run handlers; they do not stand on the connection, so a reconnect does not disturb them.

use bootstep::{BoxError, Context, Pool, Step, Stop};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

/// Starts the threads that run handlers, and provides them as a [`Pool`].
#[derive(Default)]
pub struct SpawnPool {
    threads: Option<usize>,
    pool: Option<Pool>,
}

impl SpawnPool {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "spawn-pool";

    /// A pool of so many threads (by default as many as the machine has cores, four at the least; there is always one for
    /// each queue).
    pub fn of(threads: usize) -> Self {
        SpawnPool { threads: Some(threads), pool: None }
    }
}

impl Step for SpawnPool {
    fn name(&self) -> Cow<'_, str> {
        SpawnPool::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (unnamed, named): (Vec<&str>, Vec<&str>) =
            ctx.consumers().iter().map(|consumer| consumer.queue().name.as_str()).partition(|name| name.is_empty());
        let queues = BTreeSet::from_iter(named).len() + unnamed.len();
        let pool = Pool::new(self.threads.unwrap_or(cores.max(4)), queues);
        ctx.provide(pool.clone());
        self.pool = Some(pool);
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, stop: Stop) {
        let Some(pool) = self.pool.take() else { return };
        // Intakes have gone, and with them all work but what a handler is still at.
        let limit = match stop {
            // Also behind a step that took all the time, idle threads get a moment to end.
            Stop::Drain { .. } => stop.patience(Duration::MAX),
            _ => Duration::ZERO,
        };
        if !pool.close(limit) && stop != Stop::Now {
            log::warn!("a handler still runs and is left behind");
        }
    }
}
