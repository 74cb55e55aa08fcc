//! Tells over HTTP whether the worker lives and consumes, for whoever restarts or routes around it.

mod server;

pub use server::{Answer, HealthServer};

use bootstep::{BoxError, ConsumerState, ConsumerStatus, Context, Statuses, Step, Stop};
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;

/// Serves `/live` and `/ready` over HTTP.
///
/// `/live` answers 200 for as long as the process does. `/ready` answers 200 while every consumer consumes, and 503 while one does not
/// (cut off from the broker, pausing, not yet started, draining) or if there is none. Both answer JSON; that of `/ready` counts since
/// the worker started:
///
/// ```json
/// {"consuming": true, "published": 0,
///  "consumed": {"received": 5, "processed": 3, "dropped": 1, "rejected": 1, "failed": 0},
///  "consumers": [{"queue": "orders", "step": "consume(orders)", "state": "consuming", "received": 5, "processed": 3, "retried": 1,
///                 "archived": 0, "dropped": 1, "requeued": 0, "failed": 0, "overran": 0, "stuck": 0}]}
/// ```
///
/// It requires no step, so it answers while the broker is away. Add it with [`Steps::add_first`](bootstep::Steps::add_first), and it does
/// so during the boot as well. Nobody is asked who he is: let it listen where only those reach it who may know.
///
/// Whoever asks is given five seconds and 8 KiB for it; of more than 64 at once, the one that has taken longest is dropped.
///
/// ```no_run
/// use bootstep::steps::ServeHealth;
/// use bootstep::{Broker, Consumer, Outcome, Worker};
///
/// let mut worker = Worker::new(Broker::from_env());
/// worker.steps.add_first(ServeHealth::on("127.0.0.1", 8080));
/// worker.steps.add(Consumer::new("greetings", |_greeting: String, _message| Ok(Outcome::Ack)));
/// worker.run();
/// ```
pub struct ServeHealth {
    address: String,
    port: u16,
    published: Arc<dyn Fn() -> u64 + Send + Sync>,
    server: Option<HealthServer>,
}

impl ServeHealth {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "serve-health";

    /// At this address (empty is every one of IPv4) and port (0 is a free one, which the log tells).
    pub fn on(address: impl Into<String>, port: u16) -> Self {
        ServeHealth { address: address.into(), port, published: Arc::new(|| 0), server: None }
    }

    /// What to tell as `published` (0 unless told): the worker does not know of publishers other than its own.
    pub fn published(mut self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.published = Arc::new(count);
        self
    }
}

impl Step for ServeHealth {
    fn name(&self) -> Cow<'_, str> {
        ServeHealth::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let (statuses, published) = (ctx.statuses(), self.published.clone());
        let address = if self.address.is_empty() { "0.0.0.0" } else { &self.address };
        let server = HealthServer::start(address, self.port, move |path| answer(path, &statuses, published()))?;
        log::info!("health is served at http://{}/ready", server.address());
        self.server = Some(server);
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, _stop: Stop) {
        self.server = None;
    }
}

fn answer(path: &str, statuses: &Statuses, published: u64) -> Answer {
    match path.trim_end_matches('/') {
        "/live" => Answer { status: 200, body: json!({"status": "OK"}) },
        "/ready" => ready(&statuses.consumers(), published),
        _ => Answer { status: 404, body: json!({"error": "there are `/live` and `/ready`"}) },
    }
}

fn ready(consumers: &[ConsumerStatus], published: u64) -> Answer {
    let is_consuming = !consumers.is_empty() && consumers.iter().all(|it| it.state == ConsumerState::Consuming);
    let sum = |count: fn(&ConsumerStatus) -> u64| consumers.iter().map(count).sum::<u64>();
    let body = json!({
        "consuming": is_consuming,
        "published": published,
        "consumed": {
            "received": sum(|it| it.delivered),
            "processed": sum(|it| it.acked),
            "dropped": sum(|it| it.rejected),
            "rejected": sum(|it| it.requeued + it.retried),
            "failed": sum(|it| it.failed),
        },
        "consumers": consumers.iter().map(one).collect::<Vec<_>>(),
    });
    Answer { status: if is_consuming { 200 } else { 503 }, body }
}

fn one(consumer: &ConsumerStatus) -> serde_json::Value {
    let (state, reason) = match &consumer.state {
        ConsumerState::Consuming => ("consuming", None),
        ConsumerState::Paused { reason } => ("paused", Some(reason)),
        _ => ("away", None),
    };
    json!({
        "queue": consumer.queue,
        "step": consumer.step,
        "state": state,
        "reason": reason,
        "received": consumer.delivered,
        "processed": consumer.acked,
        "retried": consumer.retried,
        "archived": consumer.archived,
        "dropped": consumer.rejected,
        "requeued": consumer.requeued,
        "failed": consumer.failed,
        "overran": consumer.overran,
        "stuck": consumer.stuck,
    })
}
