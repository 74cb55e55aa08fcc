//! Programs that take one message after the other: a line of JSON in, a line out, one child for each thread that is at a message.

use super::exit;
use super::forked::over_limit;
use super::line;
use super::process::{pause_after, Process};
use super::program::Settings;
use super::reply::{self, Reply};
use crate::delivered::Message;
use crate::error::BoxError;
use crate::outcome::Outcome;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// A longer reply is none: something writes and writes.
const LONGEST_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A reply ends a pause whenever it comes; only a child that ends while another program holds its pipes open is found by looking. A
/// timer that is due before the system's own tick has to be set in the hardware, twice for each message.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// How long a child that has closed its output has to end, before it is ended.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// How long idle children may delay the end of a worker that was not told how long.
const LONGEST_DROP: Duration = Duration::from_secs(1);

/// The children of one program that are at no message, and the threads that they worked for last: the two stay together if they can,
/// because they take turns on one processor then, and waking another one takes longer than a quick message does.
#[derive(Default)]
pub(super) struct Children {
    idle: Mutex<Vec<(ThreadId, Child)>>,
}

struct Child {
    process: Process,
    /// How many messages it was sent.
    number: u64,
}

/// Why a child cannot be used any more.
enum Broken {
    /// It had ended before it could have read anything of this message.
    Unread,
    /// The message may have been handled, or in part.
    Failed(String),
}

impl Children {
    /// Has a child handle a message.
    pub fn handle(&self, settings: &Settings, message: &Message) -> Result<Outcome, BoxError> {
        let mut child = match self.take_ready(settings) {
            Some(child) => child,
            None => Child::start(settings)?,
        };
        let mut asked = child.ask(settings, message);
        if let Err(Broken::Unread) = asked {
            child = Child::start(settings)?;
            asked = child.ask(settings, message);
        }
        match asked {
            Ok(reply) => {
                self.idle().push((thread::current().id(), child));
                reply.publications.into_iter().for_each(|publication| message.send(publication));
                Ok(reply.outcome)
            }
            Err(Broken::Failed(why)) => Err(why.into()),
            Err(Broken::Unread) => Err(format!("`{}` ends before it reads a message", settings.name()).into()),
        }
    }

    /// Ends those of all these that are idle, together.
    pub fn end_all<'a>(all: impl IntoIterator<Item = &'a Children>, within: Duration) {
        let began = Instant::now();
        let mut left: Vec<Child> = all.into_iter().flat_map(Children::take_all).collect();
        left.iter_mut().for_each(|child| child.process.close_input());
        wait_for(&mut left, began, within / 2);
        left.iter_mut().for_each(|child| child.process.ask_to_end());
        wait_for(&mut left, began, within);
        // Who is still there is killed where it is dropped.
    }

    fn take_all(&self) -> Vec<Child> {
        std::mem::take(&mut *self.idle()).into_iter().map(|(_, child)| child).collect()
    }

    /// One that is alive and has said nothing since its last reply.
    fn take_ready(&self, settings: &Settings) -> Option<Child> {
        loop {
            match self.take()?.ready() {
                Ok(child) => return Some(child),
                Err(why) => log::warn!("`{}` {why}; another one is started", settings.name()),
            }
        }
    }

    fn take(&self) -> Option<Child> {
        let (own, mut idle) = (thread::current().id(), self.idle());
        let place = idle.iter().position(|(thread, _)| *thread == own).or(idle.len().checked_sub(1))?;
        Some(idle.swap_remove(place).1)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(ThreadId, Child)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until all have ended, and forgets those that have.
fn wait_for(children: &mut Vec<Child>, began: Instant, within: Duration) {
    while !children.is_empty() {
        children.retain_mut(|child| {
            // What it says at last is passed on, and does not keep it from ending.
            let _ = child.process.turn(&mut &[][..], Duration::ZERO);
            child.process.written.clear();
            matches!(child.process.try_wait(), Ok(None))
        });
        if began.elapsed() >= within {
            return;
        }
        thread::park_timeout(pause_after(began).min(within - began.elapsed().min(within)));
    }
}

impl Child {
    fn start(settings: &Settings) -> Result<Self, BoxError> {
        Ok(Child { process: settings.start(super::environment::Variables::new(), Stdio::piped())?, number: 0 })
    }

    /// The child, if nothing has come from it unasked, or why it is not to be used.
    fn ready(mut self) -> Result<Self, String> {
        self.process.read_output();
        // It is about the last message, and must not become the reason of the next.
        self.process.read_all_errors();
        if !self.process.written.is_empty() {
            return Err("wrote on standard output when it was not asked, and is ended".into());
        }
        match self.process.gives_output() {
            true => Ok(self),
            false => Err(format!("has ended between two messages ({})", self.ending())),
        }
    }

    /// Sends the message, and waits for the reply.
    fn ask(&mut self, settings: &Settings, message: &Message) -> Result<Reply, Broken> {
        self.number += 1;
        self.process.stderr.forget();
        let line = line::of(message, Some(self.number));
        let mut rest: &[u8] = &line;
        self.process.write(&mut rest);
        if !self.process.takes_input() && rest.len() == line.len() {
            return Err(Broken::Unread);
        }
        let reply = self.reply_to(settings, &mut rest).map_err(Broken::Failed)?;
        let understood = reply::read(&reply).and_then(|reply| match reply.number {
            Some(number) if number != self.number => Err(format!("it answers message {number}, this is {}", self.number)),
            _ => Ok(reply),
        });
        understood.map_err(|why| {
            let what = format!("`{}` gave a reply that is none: {why}", settings.name());
            Broken::Failed(exit::with(what, self.process.stderr.tail()))
        })
    }

    /// The one line that it writes, without its end.
    fn reply_to(&mut self, settings: &Settings, rest: &mut &[u8]) -> Result<Vec<u8>, String> {
        let (began, mut seen) = (Instant::now(), 0);
        let mut looked = began;
        let name = || settings.name();
        loop {
            let written = &self.process.written;
            if let Some(at) = written[seen..].iter().position(|byte| *byte == b'\n') {
                return match (rest.is_empty(), seen + at + 1 == written.len()) {
                    (true, true) => Ok(self.take_line()),
                    (true, false) => Err(format!("`{}` replied more than one line to one message", name())),
                    (false, _) => Err(format!("`{}` replied before it had read its message", name())),
                };
            }
            seen = written.len();
            if seen > LONGEST_REPLY_BYTES {
                return Err(format!("`{}` replied with a line of more than {LONGEST_REPLY_BYTES} bytes", name()));
            }
            let left = settings.time_limit.map_or(Duration::MAX, |limit| limit.saturating_sub(began.elapsed()));
            if left.is_zero() && matches!(self.process.try_wait(), Ok(None)) {
                return Err(over_limit(settings, &mut self.process));
            }
            let pause = pause_after(began).max(SHORTEST_PAUSE).min(left);
            let turned = self.process.turn(rest, pause);
            let was_ready = turned.map_err(|err| format!("`{}` cannot be waited for: {err}", name()))?;
            let mut may_reply = self.process.gives_output();
            // What it has started may write without end, so that there is always something to read.
            if !was_ready || looked.elapsed() >= pause {
                looked = Instant::now();
                may_reply &= matches!(self.process.try_wait(), Ok(None));
            }
            // Once more: it may have replied between the two looks, and ended.
            if !may_reply && self.process.read_output() == 0 {
                let what = format!("`{}` ended before it replied ({})", name(), self.ending());
                return Err(exit::with(what, self.process.stderr.tail()));
            }
        }
    }

    fn take_line(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.process.written);
        line.pop();
        line
    }

    /// How a child that has closed its output ended.
    fn ending(&mut self) -> String {
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN {
            match self.process.try_wait() {
                Ok(Some(status)) => return exit::words(status),
                Ok(None) => {}
                Err(err) => return err.to_string(),
            }
            if self.process.turn(&mut &[][..], pause_after(began)).is_err() {
                break;
            }
        }
        "it has closed its standard output".into()
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        Children::end_all([&*self], LONGEST_DROP);
    }
}
