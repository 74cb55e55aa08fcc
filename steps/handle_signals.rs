//! Turns SIGINT (Ctrl-C, everywhere) and SIGTERM (Unix) into a shutdown: the first drains, the second leaves now.

use bootstep::{BoxError, Context, Shutdown, Step, Stop};
use std::borrow::Cow;
use std::sync::{Mutex, Once, PoisonError};

/// Turns SIGINT and SIGTERM into a shutdown of the worker: the first drains, the second leaves now.
///
/// A process has one handler of Ctrl-C: it is registered once, and acts for every worker that runs.
#[derive(Default)]
pub struct HandleSignals {
    worker: Option<Shutdown>,
}

impl HandleSignals {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "handle-signals";
}

/// The workers that a signal stops.
static WORKERS: Mutex<Vec<Shutdown>> = Mutex::new(Vec::new());
static REGISTERED: Once = Once::new();

impl Step for HandleSignals {
    fn name(&self) -> Cow<'_, str> {
        HandleSignals::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let worker = ctx.shutdown();
        WORKERS.lock().unwrap_or_else(PoisonError::into_inner).push(worker.clone());
        self.worker = Some(worker);
        REGISTERED.call_once(register);
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, _stop: Stop) {
        // The first step to start is the last to stop: until here a second signal is still heard.
        if let Some(ended) = self.worker.take() {
            WORKERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|worker| *worker != ended);
        }
    }
}

fn register() {
    if let Err(err) = ctrlc::set_handler(|| stop_workers("Ctrl-C")) {
        log::warn!("Ctrl-C is handled by somebody else in this process and does not stop the worker: {err}");
    }
    #[cfg(unix)]
    unix::register(stop_workers);
}

fn stop_workers(signal: &str) {
    let workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    for worker in workers.iter() {
        let word = if worker.is_asked() { "leaving now" } else { "draining; once more leaves at once" };
        log::info!("{signal}: {word}");
        worker.drain_or_now();
    }
}

#[cfg(unix)]
mod unix {
    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::Signals;

    pub(super) fn register(stop_workers: fn(&str)) {
        let mut signals = match Signals::new([SIGTERM]) {
            Ok(signals) => signals,
            Err(err) => return log::warn!("SIGTERM cannot be handled and ends the process at once: {err}"),
        };
        let wait = move || signals.forever().for_each(|_| stop_workers("SIGTERM"));
        if let Err(err) = std::thread::Builder::new().name("bootstep-signals".into()).spawn(wait) {
            log::warn!("no thread could be started to handle SIGTERM: {err}");
        }
    }
}
