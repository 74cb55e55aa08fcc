//! Opens a second connection to publish over: a broker in an alarm stops reading from connections that publish.

use bootstep::{BoxError, Connection, Context, Publisher, Step, Stop};
use std::borrow::Cow;
use std::time::Duration;

/// Opens the publishing connection and provides a [`Publisher`], which outlives it: what was published and not yet confirmed
/// when the connection broke is published again over the next one.
#[derive(Default)]
pub struct ConnectPublisher {
    publisher: Option<Publisher>,
    connection: Option<Connection>,
    whose: Option<String>,
}

impl ConnectPublisher {
    /// The step's name, for `requires`.
    pub const NAME: &'static str = "connect-publisher";

    /// What an operator sees of the connection behind `bootstep publishing` (nothing by default).
    pub fn of(mut self, whose: impl Into<String>) -> Self {
        self.whose = Some(whose.into());
        self
    }
}

impl Step for ConnectPublisher {
    fn name(&self) -> Cow<'_, str> {
        ConnectPublisher::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        let shutdown = ctx.shutdown();
        let whose = self.whose.iter().map(|whose| format!(": {whose}")).collect::<String>();
        let connection = ctx.broker().connect_while(&format!("bootstep publishing{whose}"), || !shutdown.is_asked())?;
        let reporter = ctx.reporter();
        connection.when_lost(move |error| reporter.failed(error));
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::start()?,
        };
        publisher.attach(connection.clone());
        ctx.provide_lasting(publisher.clone());
        self.publisher = Some(publisher);
        self.connection = Some(connection);
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, stop: Stop) {
        let limit = stop.patience(Duration::from_secs(5));
        match (&self.publisher, stop) {
            (Some(publisher), Stop::Restart) => publisher.detach(),
            (Some(publisher), Stop::Now) => publisher.close(Duration::ZERO),
            (Some(publisher), _) => publisher.close(limit),
            (None, _) => {}
        }
        if let Some(connection) = self.connection.take() {
            // All is confirmed by now, or comes again.
            connection.close(stop.patience(Duration::from_secs(1)));
        }
    }
}
