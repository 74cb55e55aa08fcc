//! What the end of a program says about its message.

use crate::error::BoxError;
use crate::outcome::Outcome;
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The exit codes of `sysexits.h` that mean something here.
const EX_DATAERR: i32 = 65;
const EX_UNAVAILABLE: i32 = 69;
const EX_TEMPFAIL: i32 = 75;

/// The outcome of a program that ended like this, with the end of what it said.
pub(super) fn outcome(status: ExitStatus, said: Option<String>) -> Result<Outcome, BoxError> {
    let Some(code) = status.code() else {
        return Err(with(words(status), said).into());
    };
    let reason = || said.clone().unwrap_or_else(|| words(status));
    match code {
        0 => Ok(Outcome::Ack),
        EX_DATAERR => Ok(Outcome::reject(reason())),
        EX_UNAVAILABLE => Ok(Outcome::Requeue),
        EX_TEMPFAIL => Ok(Outcome::retry(reason())),
        _ => Err(reason().into()),
    }
}

/// How it ended: `exit code 3`, or `killed by SIGKILL`.
pub(super) fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => "ended without an exit code".into(),
    }
}

/// What happened, and what the program said last, if anything.
pub(super) fn with(what: String, said: Option<String>) -> String {
    match said {
        Some(said) => format!("{what}: {said}"),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_an_outcome() {
        let check = |code: i32, said: Option<&str>, expected: Result<Outcome, &str>| {
            let outcome = outcome(ExitStatus::from_raw(code << 8), said.map(Into::into)).map_err(|err| err.to_string());
            assert_eq!(outcome, expected.map_err(Into::into), "{code}");
        };
        check(0, Some("fine"), Ok(Outcome::Ack));
        check(65, Some("no order"), Ok(Outcome::reject("no order")));
        check(65, None, Ok(Outcome::reject("exit code 65")));
        check(69, None, Ok(Outcome::Requeue));
        check(75, Some("later"), Ok(Outcome::retry("later")));
        check(3, None, Err("exit code 3"));
        check(127, Some("sh: not found"), Err("sh: not found"));
    }

    #[test]
    fn a_signal_is_a_failed_attempt() {
        let check = |number: i32, said: Option<&str>, expected: &str| {
            let err = outcome(ExitStatus::from_raw(number), said.map(Into::into)).expect_err("it was killed");
            assert_eq!(err.to_string(), expected);
        };
        check(9, None, "killed by SIGKILL");
        check(11, Some("oh"), "killed by SIGSEGV: oh");
        check(40, None, "killed by signal 40");
    }
}
