//! The command line of amqp-dispatcher.

use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The configuration file.
    pub config: PathBuf,
    /// Whether only to say what is wrong with it.
    pub validate: bool,
}

/// What is printed for `--help`, and after what cannot be understood.
pub const USAGE: &str = "usage: [--config PATH] [--validate]

  --config PATH   the configuration file (default: config.yml)
  --validate      say what is wrong with it, and end: 0 if nothing is, 1 otherwise
  --connection X  `haigha` or `pika`: accepted and without meaning here

Environment: RABBITMQ_URL, RABBITMQ_HEARTBEAT, RUST_LOG";

impl Arguments {
    /// Reads them; `None` when only help was asked for.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn parse(given: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = Arguments { config: "config.yml".into(), validate: false };
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || value.clone().or_else(|| given.next()).ok_or(format!("`{name}` wants a value"));
            match name.as_str() {
                "--config" => arguments.config = value()?.into(),
                "--connection" => drop(value()?),
                "--validate" => arguments.validate = true,
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("`{name}` is no option")),
            }
        }
        Ok(Some(arguments))
    }
}
