//! A program as a handler: how it is started, what it is given, and what its end means.

use super::environment::{self, Variables};
use super::forked;
use super::lookup;
use super::persistent::Children;
use super::process::Process;
use crate::delivered::Message;
use crate::error::{BoxError, Error};
use crate::handler::Handler;
use crate::outcome::Outcome;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A program in any language that handles messages: the body on its standard input, everything else in environment variables, and
/// its exit code says what becomes of the message.
///
/// ```
/// use bootstep::handlers::Program;
/// use bootstep::{Handler, Message, Outcome, Publication};
///
/// let handler = Program::new(["grep", "--quiet", "cups"]);
/// handler.check()?;
/// let message = Message::from_publication(Publication::new("shop", "order.web", "two cups"));
/// assert_eq!(handler.handle((), &message)?, Outcome::Ack);
///
/// let handler = Program::new(["sh", "-c", "echo \"no $MESSAGE_ROUTING_KEY on holidays\" >&2; exit 65"]);
/// assert_eq!(handler.handle((), &message)?, Outcome::reject("no order.web on holidays"));
/// # Ok::<(), bootstep::BoxError>(())
/// ```
///
/// | exit code | of `sysexits.h` | outcome |
/// |---|---|---|
/// | 0 | `EX_OK` | [`Ack`](Outcome::Ack) |
/// | 65 | `EX_DATAERR` | [`Reject`](Outcome::Reject): to the dead letters |
/// | 69 | `EX_UNAVAILABLE` | [`Requeue`](Outcome::Requeue) |
/// | 75 | `EX_TEMPFAIL` | [`Retry`](Outcome::Retry) |
/// | any other | | an error: a failed attempt, tried again by the consumer's policy |
/// | none: ended by a signal, or over its [`time_limit`](Program::time_limit) | | an error |
///
/// The reason is the end of what it wrote on standard error (at most 1,900 bytes, whole lines where that can be), or else its exit
/// code. Standard error is passed on to ours line by line, and standard output is ours. A program need not read its input.
///
/// It is started without a shell, in a process group of its own, so that a Ctrl-C in the terminal does not reach it. What it leaves
/// in the background is left alone and delays nothing; such a process should have its standard error elsewhere, because nobody
/// reads it any more.
///
/// **The environment** is ours, without `AMQP_URL` and all that begins with `BOOTSTEP_`, which may hold passwords, and with these,
/// where the message has them: `MESSAGE_QUEUE`, `MESSAGE_EXCHANGE`, `MESSAGE_ROUTING_KEY`, `MESSAGE_ATTEMPT` (from 1),
/// `MESSAGE_REDELIVERED` (`true` or `false`), `MESSAGE_CONTENT_TYPE`, `MESSAGE_CONTENT_ENCODING`, `MESSAGE_CORRELATION_ID`,
/// `MESSAGE_REPLY_TO`, `MESSAGE_ID`, `MESSAGE_TIMESTAMP` (seconds since 1970), `MESSAGE_TYPE`, `MESSAGE_APP_ID`,
/// `MESSAGE_PRIORITY`, and each header as `MESSAGE_HEADER_<NAME>`: in upper case, with `_` for all but `A-Z` and `0-9`; what is no
/// text is written as JSON. Left out is what no environment can hold (a NUL), what is over 32 KiB, and what comes after the first
/// 128 KiB in all; the message as JSON ([`json_input`](Program::json_input)) has everything.
///
/// A clone shares the children of [`persistent`](Program::persistent) mode, until one of the two is changed.
#[derive(Clone)]
pub struct Program {
    settings: Arc<Settings>,
    children: Arc<Children>,
}

/// What is needed to start it, and how long it may take.
#[derive(Clone)]
pub(super) struct Settings {
    pub command: Vec<OsString>,
    pub directory: Option<PathBuf>,
    pub environment: Vec<(OsString, OsString)>,
    pub time_limit: Option<Duration>,
    pub kill_after: Duration,
    pub takes_json: bool,
    is_persistent: bool,
}

/// How long a program has between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(10);

impl Program {
    /// A program and its arguments, without a shell between. A name without a slash is looked for in `PATH`; a relative path starts
    /// from the [`directory`](Program::directory) that it runs in.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let settings = Settings {
            command: command.into_iter().map(Into::into).collect(),
            directory: None,
            environment: Vec::new(),
            time_limit: None,
            kill_after: KILL_AFTER,
            takes_json: false,
            is_persistent: false,
        };
        Program { settings: Arc::new(settings), children: Arc::default() }
    }

    /// The directory it runs in (ours by default).
    pub fn directory(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.with(|settings| settings.directory = Some(path))
    }

    /// This sets an environment variable, also one that is not handed on by itself; call it again for more. The message's own win.
    pub fn environment(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let variable = (name.into(), value.into());
        self.with(|settings| settings.environment.push(variable))
    }

    /// A program that takes longer over one message is ended, with all of its process group: SIGTERM, and after
    /// [`kill_after`](Program::kill_after) SIGKILL. That is a failed attempt, whatever its exit code. No limit by default.
    pub fn time_limit(self, limit: Duration) -> Self {
        self.with(|settings| settings.time_limit = Some(limit))
    }

    /// How long a program that is over its time has to end by itself (10 seconds by default).
    pub fn kill_after(self, grace: Duration) -> Self {
        self.with(|settings| settings.kill_after = grace)
    }

    /// Its standard input is the whole message as one JSON object, and a line end, instead of the bare body: `queue`, `exchange`,
    /// `routing_key`, `redelivered`, `attempt`, `properties`, and `body`, or `body_base64` if that is not UTF-8.
    pub fn json_input(self) -> Self {
        self.with(|settings| settings.takes_json = true)
    }

    /// Each child takes one message after the other instead of one in its life: a line of JSON in (as
    /// [`json_input`](Program::json_input) has it, and `number`, which counts the child's messages), and one line out:
    ///
    /// - `ack`, `requeue`, `retry`, `reject`, `archive`; the last three with a reason if there is one: `retry: no paper`.
    /// - or a JSON object: `{"outcome": "retry", "reason": "no paper", "after": "30s"}`. `after` is a text such as `500ms`, `30s`,
    ///   `5m`, or a number of milliseconds; what is longer than the longest level of the consumer's
    ///   [`RetryPolicy`](crate::RetryPolicy) waits for that one. With `"outcome": "ack"` it may have `publish`, a list of messages
    ///   with `exchange`, `routing_key`, `properties` and `body` or `body_base64`, which the broker confirms before the ack. With
    ///   `number`, the one that is answered, a reply is never taken for that to another message.
    ///
    /// There is at most one child for each thread that is at a message. A child that ends, replies with anything else, with more than
    /// 16 MiB, twice, or unasked, or not within the [`time_limit`](Program::time_limit), is replaced; the message that it was at is a failed
    /// attempt. Only what a child replies between two messages too late to be seen before the next one is sent is taken for the next
    /// one's reply, if it has no `number`. Standard error is passed on, and the end of what it has said there since the message was sent
    /// is the reason when a child ends.
    pub fn persistent(self) -> Self {
        self.with(|settings| settings.is_persistent = true)
    }

    /// Whether it could be started: before the first message wants it.
    ///
    /// # Errors
    /// [`Fault::Config`](crate::Fault::Config) if there is no such program, if it is a folder or not executable, or its directory or its
    /// interpreter (`#!`) is missing.
    pub fn check(&self) -> Result<(), Error> {
        lookup::check(&self.settings)
    }

    /// This ends the idle children of [`persistent`](Program::persistent) mode: their input ends, half of the time later they get
    /// SIGTERM, and at the end of it SIGKILL. Without it, dropping the last clone does that within a second.
    pub fn end(&self, within: Duration) {
        Program::end_all([self], within);
    }

    /// This ends the idle children of several programs as [`end`](Program::end) does those of one, all at the same time.
    pub fn end_all<'a>(programs: impl IntoIterator<Item = &'a Program>, within: Duration) {
        Children::end_all(programs.into_iter().map(|program| &*program.children), within);
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        // Children that were started with other settings stay with the other clone.
        self.children = Arc::default();
        self
    }
}

impl Handler for Program {
    type Body = ();

    fn handle(&self, (): (), message: &Message) -> Result<Outcome, BoxError> {
        match self.settings.is_persistent {
            true => self.children.handle(&self.settings, message),
            false => forked::handle(&self.settings, message),
        }
    }
}

impl Settings {
    /// The program's name, for messages.
    pub fn name(&self) -> String {
        self.command.first().map_or_else(String::new, |program| program.to_string_lossy().into_owned())
    }

    /// Starts it, with these variables in its environment.
    pub fn start(&self, variables: Variables, output: Stdio) -> Result<Process, BoxError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(lookup::no_command().into());
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped());
        environment::withhold(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).envs(variables);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Process::start(&mut command).map_err(|err| {
            // What is wrong with it, rather than "no such file" for one of three.
            let known = lookup::check(self).err();
            known.unwrap_or_else(|| lookup::refused(format!("`{}` does not start", self.name())).because(err)).into()
        })
    }
}
