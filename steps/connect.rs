//! Opens the connection that everything is consumed over, and tells when it is lost.

use bootstep::{BoxError, Connection, Context, Step, Stop};
use std::borrow::Cow;
use std::time::Duration;

/// Opens the connection that everything is consumed over, and provides it as a [`Connection`].
#[derive(Default)]
pub struct Connect {
    connection: Option<Connection>,
    whose: Option<String>,
}

impl Connect {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "connect";

    /// What an operator sees of the connection behind `bootstep consuming` (nothing by default).
    pub fn of(mut self, whose: impl Into<String>) -> Self {
        self.whose = Some(whose.into());
        self
    }
}

impl Step for Connect {
    fn name(&self) -> Cow<'_, str> {
        Connect::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let shutdown = ctx.shutdown();
        let whose = self.whose.iter().map(|whose| format!(": {whose}")).collect::<String>();
        let connection = ctx.broker().connect_while(&format!("bootstep consuming{whose}"), || !shutdown.is_asked())?;
        log::info!("connected to {} ({})", connection.place(), connection.server());
        let reporter = ctx.reporter();
        connection.when_lost(move |error| reporter.failed(error));
        ctx.provide(connection.clone());
        self.connection = Some(connection);
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, stop: Stop) {
        if let Some(connection) = self.connection.take() {
            // All is settled by now, or comes again: closing is courtesy, and a broker that hangs gets little of it.
            connection.close(stop.patience(Duration::from_secs(1)));
        }
    }
}
