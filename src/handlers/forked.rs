//! A program that is started for each message: its input written, its standard error read and its end awaited by one thread.

use super::exit;
use super::line;
use super::process::{pause_after, Process};
use super::program::Settings;
use crate::delivered::Message;
use crate::error::BoxError;
use crate::outcome::Outcome;
use std::borrow::Cow;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Starts the program for one message, and says what comes of that.
pub(super) fn handle(settings: &Settings, message: &Message) -> Result<Outcome, BoxError> {
    let input = match settings.takes_json {
        true => Cow::Owned(line::of(message, None)),
        false => Cow::Borrowed(message.body()),
    };
    let began = Instant::now();
    let mut process = settings.start(super::environment::of(message), Stdio::inherit())?;
    let mut rest: &[u8] = &input;
    let mut silent_since = None;
    let mut looked = began;
    loop {
        if rest.is_empty() {
            process.close_input();
        }
        let left = settings.time_limit.map_or(Duration::MAX, |limit| limit.saturating_sub(began.elapsed()));
        // One that has closed its standard error is about to end; one that holds it open may have ended all the same.
        let pause = pause_after(silent_since.unwrap_or(began)).min(left);
        let was_ready = process.turn(&mut rest, pause)?;
        if process.is_silent() {
            silent_since.get_or_insert_with(Instant::now);
        }
        // What it has left behind may write without end, so that there is always something to read. At the end of its time the pause
        // is nothing: one that has ended by then was quick enough.
        if !was_ready || process.is_silent() || looked.elapsed() >= pause {
            looked = Instant::now();
            if let Some(status) = process.try_wait()? {
                return exit::outcome(status, process.stderr.tail());
            }
        }
        if left.is_zero() {
            return Err(over_limit(settings, &mut process).into());
        }
    }
}

/// Ends a program that takes too long, and says so.
pub(super) fn over_limit(settings: &Settings, process: &mut Process) -> String {
    let limit = settings.time_limit.unwrap_or_default();
    let name = settings.name();
    let what = match process.end(settings.kill_after) {
        Ok(status) => format!("`{name}` took longer than {limit:?} and was ended ({})", exit::words(status)),
        Err(err) => format!("`{name}` took longer than {limit:?}, and could not be ended: {err}"),
    };
    exit::with(what, process.stderr.tail())
}
