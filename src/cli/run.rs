//! `run`: the worker, until a signal or a handler ends it.

use super::failure::Failure;
use super::session::Session;
use crate::config::{Config, Logging, Sources};
use crate::handlers::Program;
use crate::logging::{log_as, LogFormat};
use std::time::Duration;

/// How long the idle children of all persistent programs may take to end, when all is settled; half of it before SIGTERM.
const CHILDREN_END_WITHIN: Duration = Duration::from_secs(2);

/// Consumes, until Ctrl-C or SIGTERM
///
/// The first signal drains: what no handler has begun goes back at once, what runs may finish. The second leaves now; what is not
/// settled is delivered again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    /// What is logged, such as info or warn,bootstep=debug; by default what RUST_LOG or the configuration says, or info
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// One JSON object for each line of the log: time, level, target, message
    #[arg(long)]
    log_json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bootstep run -c bootstep.toml
  bootstep run -c bootstep.toml --set worker.threads=32 --log debug
  AMQP_URL=amqp://user:password@rabbit/shop bootstep run -c /etc/bootstep/orders.toml --log-json

`check` tells what is wrong with a configuration before anything runs.";

impl Run {
    pub fn run(self, mut session: Session) -> Result<u8, Failure> {
        let mut sources = session.sources()?;
        // As a setting it is looked at like one of the file.
        sources.log.clone_from(&self.log);
        let config = Config::load(&sources)?;
        let broker = session.broker_of(&config);
        let worker = match session.take_worker() {
            Some(built_in) => {
                let mut worker = built_in.on(broker);
                config.add_to(&mut worker);
                worker
            }
            None if sources.file.is_none() && config.consumers().is_empty() => {
                let name = session.definition().get_name().to_owned();
                return Err(Failure::usage(format!(
                    "there is nothing to run: say where the configuration is, as in `{name} run -c bootstep.toml`"
                )));
            }
            None => config.worker(broker)?,
        };
        self.begin_log(&config.logging(), &sources);
        for doubt in config.doubts() {
            log::warn!("{doubt}");
        }
        let ended = worker.run_to_end();
        Program::end_all(&config.programs(), CHILDREN_END_WITHIN);
        // What ended the boot is in the log already.
        Ok(ended.unwrap_or_else(|err| Failure::from(err).code))
    }

    /// A flag wins over `RUST_LOG`, and that over the file.
    fn begin_log(&self, logging: &Logging, sources: &Sources) {
        let by_flag = sources.log.is_some() || sources.set.iter().any(|set| set.trim_start().starts_with("logging.level"));
        let variable = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty() && !by_flag);
        let filter = variable.or(logging.level.clone());
        let format = if self.log_json || logging.json { LogFormat::Json } else { LogFormat::Text };
        log_as(filter.as_deref().unwrap_or("info"), format);
    }
}
