//! Opens the connection that everything is consumed over, and tells when it is lost.

use bootstep::{BoxError, Connection, Context, Step, Stop};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Opens the connection that everything is consumed over, and provides it as a [`Connection`].
#[derive(Default)]
pub struct Connect {
    connection: Option<Connection>,
}

impl Connect {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "connect";
}

impl Step for Connect {
    fn name(&self) -> Cow<'_, str> {
        Connect::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let connection = ctx.broker().connect("bootstep consuming")?;
        log::info!("connected to {} ({})", ctx.broker(), connection.server());
        let reporter = ctx.reporter();
        connection.when_lost(move |error| reporter.failed(error));
        ctx.provide(connection.clone());
        self.connection = Some(connection);
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, stop: Stop) {
        if let Some(connection) = self.connection.take() {
            connection.close(close_limit(stop));
        }
    }
}

/// A lost connection has nobody to say goodbye to.
pub(super) fn close_limit(stop: Stop) -> Duration {
    match stop {
        Stop::Drain { deadline } => {
            let left = deadline.saturating_duration_since(Instant::now());
            left.clamp(Duration::from_millis(500), Duration::from_secs(5))
        }
        _ => Duration::from_millis(200),
    }
}
