//! The command line: of the stock binary, and of any binary that hands its worker to [`main`].
//!
//! ```no_run
//! use bootstep::{Broker, Consumer, Outcome, Worker};
//! use std::process::ExitCode;
//!
//! // `orders run` consumes, `orders archive list orders` shows what was given up, `orders --help` tells the rest.
//! fn main() -> ExitCode {
//!     let mut worker = Worker::new(Broker::from_env());
//!     worker.steps.add(Consumer::new("orders", |order: String, _message| {
//!         println!("{order}");
//!         Ok(Outcome::Ack)
//!     }));
//!     bootstep::cli::main(worker)
//! }
//! ```
//!
//! Every subcommand ends with one of these exit codes, or `run` with one that a handler halts with:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | all of it is done |
//! | 1 | not all of it: interrupted, not drained in time, or some messages were not taken |
//! | 2 | a setting is wrong: the command line, the configuration, a name |
//! | 3 | the broker cannot be reached or refuses, or a step did not start |
//! | 4 | a handler ran for longer than it may, and the worker left |

mod archive;
mod check;
mod failure;
mod lines;
mod note;
mod outflow;
mod pace;
mod pages;
mod pour;
mod publish;
mod record;
mod record_file;
mod records;
mod replay;
mod run;
mod session;
mod typed;

use crate::worker::Worker;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use failure::{Done, Failure};
use session::Session;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is typed behind the program's name.
#[derive(Parser)]
#[command(
    version,
    about = "A worker for RabbitMQ: programs as handlers, retries, dead letters, and tools for what was given up",
    after_help = EXIT_CODES,
    arg_required_else_help = true,
    infer_subcommands = true,
)]
struct CommandLine {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes, of every subcommand:
  0  all of it is done
  1  not all of it: interrupted, not drained in time, or some messages were not taken
  2  a setting is wrong: the command line, the configuration, a name
  3  the broker cannot be reached or refuses, or a step did not start
  4  a handler ran for longer than it may, and the worker left

`run` ends with any other code that a handler halts with.";

/// Where the settings come from: a flag wins over the environment, and that over the file.
#[derive(Args, Clone)]
struct Settings {
    /// The configuration file: TOML, or YAML or JSON by its ending
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "BOOTSTEP_CONFIG",
        hide_env_values = true,
        global = true,
        help_heading = "Settings"
    )]
    config: Option<PathBuf>,
    /// The broker, such as amqp://user:password@host/virtual-host; better in AMQP_URL, where `ps` does not show it
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    url: Option<String>,
    /// Sets one key of the configuration, such as consumers.orders.prefetch=50; may be given again
    #[arg(long, value_name = "KEY=VALUE", global = true, help_heading = "Settings")]
    set: Vec<String>,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // one in the whole process
enum Command {
    Run(run::Run),
    Check(check::Check),
    Archive(archive::Archive),
    Publish(publish::Publish),
    Record(record::Record),
    Replay(replay::Replay),
    Completions(pages::Completions),
    Man(pages::Man),
}

impl Command {
    fn run(self, session: Session, out: &mut dyn Write) -> Result<u8, Failure> {
        let done: Done = match self {
            Command::Run(run) => return run.run(session),
            Command::Check(check) => check.run(&session, out),
            Command::Archive(archive) => archive.run(&session, out),
            Command::Publish(publish) => publish.run(&session, out),
            Command::Record(record) => record.run(&session, out),
            Command::Replay(replay) => replay.run(&session, out),
            Command::Completions(completions) => completions.run(&session, out),
            Command::Man(man) => man.run(&session, out),
        };
        done.map(|()| crate::worker::EXIT_DRAINED)
    }
}

/// The command line for a worker of one's own: `run` runs it, and all other subcommands work on its broker.
///
/// What the command line, the environment or a configuration file says of the broker and the worker wins over what the program
/// has built in, and consumers of the file are added.
pub fn main(worker: Worker) -> ExitCode {
    answer(std::env::args_os(), Some(worker))
}

/// The command line of the stock binary, whose consumers come from a configuration file.
pub fn stock() -> ExitCode {
    answer(std::env::args_os(), None)
}

fn answer(arguments: impl Iterator<Item = OsString>, worker: Option<Worker>) -> ExitCode {
    let mut arguments = arguments.peekable();
    let definition = definition(arguments.peek());
    let parsed = definition.clone().try_get_matches_from(arguments).and_then(|it| CommandLine::from_arg_matches(&it));
    let CommandLine { settings, command } = match parsed {
        Ok(command_line) => command_line,
        Err(err) => {
            let _ = err.print();
            return ExitCode::from(u8::try_from(err.exit_code()).unwrap_or(crate::worker::EXIT_CONFIG));
        }
    };
    let session = Session::new(definition, settings, worker);
    // Not locked: handlers of `run` may print, too.
    let mut out = std::io::stdout();
    let ended = command.run(session, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    ExitCode::from(ended.unwrap_or_else(|failure| failure.tell()))
}

/// The definition of everything that can be typed, under the name that the program was called by.
fn definition(called: Option<&OsString>) -> clap::Command {
    let path = called.map(PathBuf::from).unwrap_or_default();
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("bootstep").to_owned();
    CommandLine::command().name(name.clone()).bin_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_has_no_contradiction() {
        definition(None).debug_assert();
    }
}
