//! What every subcommand is run with: the settings, the broker, and the person at the other end.

use super::failure::{Done, Failure};
use super::Settings;
use crate::broker::{Broker, Connection};
use crate::config::{Config, Sources};
use crate::worker::Worker;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// One call of the program.
pub(crate) struct Session {
    definition: clap::Command,
    settings: Settings,
    worker: Option<Worker>,
    interrupt: OnceLock<Interrupt>,
}

impl Session {
    pub fn new(definition: clap::Command, settings: Settings, worker: Option<Worker>) -> Self {
        Session { definition, settings, worker, interrupt: OnceLock::new() }
    }

    /// All that can be typed.
    pub fn definition(&self) -> clap::Command {
        self.definition.clone()
    }

    /// The worker that the program has built in, if it is not the stock binary.
    pub fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// The same, to be run.
    pub fn take_worker(&mut self) -> Option<Worker> {
        self.worker.take()
    }

    /// Where the settings come from.
    pub fn sources(&self) -> Result<Sources, Failure> {
        let Settings { config, url, set } = &self.settings;
        let environment = std::env::vars_os().filter_map(|(name, value)| text_of(name, value)).collect::<Result<_, _>>()?;
        Ok(Sources { file: config.clone(), environment, set: set.clone(), url: url.clone(), log: None })
    }

    /// The broker that the settings name, or else the one that the program has built in.
    pub fn broker(&self) -> Result<Broker, Failure> {
        Ok(self.broker_of(&Config::load_without_programs(&self.sources()?)?))
    }

    /// The same of settings that are read already.
    pub fn broker_of(&self, config: &Config) -> Broker {
        let built_in = || self.worker.as_ref().map_or_else(Broker::from_env, |worker| worker.broker().clone());
        config.broker().unwrap_or_else(built_in)
    }

    /// A new connection to the broker.
    pub fn connect(&self) -> Result<Connection, Failure> {
        Ok(self.broker()?.connect(self.definition.get_name())?)
    }

    /// The wish to stop, from the first call on: a first Ctrl-C or SIGTERM is only noted, a second ends the process.
    pub fn interrupt(&self) -> &Interrupt {
        self.interrupt.get_or_init(Interrupt::noted)
    }

    /// A bar on the terminal, if standard error is one, for so many messages.
    pub fn progress(&self, total: Option<u64>, what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let shape = match total {
            Some(_) => "{msg} {wide_bar} {human_pos} of {human_len}, {rate}, {eta} left",
            None => "{spinner} {msg} {human_pos}, {rate}",
        };
        let style = ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // Who cannot be written to is not told.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        bar.set_message(what.to_owned());
        Progress(bar)
    }

    /// Goes on only if the person says so, or has said so by `--yes`.
    pub fn confirm(&self, question: &str, yes: bool) -> Done {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{question} There is nobody to ask: say `--yes` to go on")));
        }
        let mut answer = String::new();
        let mut asking = io::stderr().lock();
        write!(asking, "{question} Go on? [y/N] ").and_then(|()| asking.flush())?;
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::incomplete("nothing was done")),
        }
    }
}

/// A variable as text. What is not UTF-8 is no setting, unless its name says so.
fn text_of(name: OsString, value: OsString) -> Option<Result<(String, String), Failure>> {
    let name = name.into_string().ok()?;
    let is_ours = name == "AMQP_URL" || name.starts_with("BOOTSTEP_");
    match value.into_string() {
        Ok(value) => Some(Ok((name, value))),
        Err(_) if is_ours => Some(Err(Failure::usage(format!("the environment variable `{name}` is not UTF-8")))),
        Err(_) => None,
    }
}

/// Whether somebody wants the command to stop at the next good moment.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn noted() -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        note_signals(&asked);
        Interrupt(asked)
    }

    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

fn note_signals(asked: &Arc<AtomicBool>) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag that the first has set. Without a handler, the first ends the process,
        // which loses nothing either.
        let ends = signal_hook::flag::register_conditional_shutdown(signal, super::failure::INTERRUPTED, asked.clone());
        let _ = ends.and_then(|_| signal_hook::flag::register(signal, asked.clone()));
    }
}

/// A progress bar, gone when dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub fn add(&self, messages: u64) {
        self.0.inc(messages);
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
