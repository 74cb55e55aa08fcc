//! RabbitMQ's 406 in words that an operator can act on: which argument differs, and how.

use crate::error::{Error, Fault};

/// Turns `inequivalent arg 'x-max-length' for queue 'orders' …: received '500' but current is '1000'` into a sentence.
pub(crate) fn in_words(what: &str, name: &str, error: Error) -> Error {
    if error.fault() != Fault::Mismatch {
        return error;
    }
    let text = error.to_string();
    match difference(&text) {
        None => error,
        Some((argument, ours, theirs)) => Error::new(
            Fault::Mismatch,
            format!("{what} `{name}` exists with other arguments: `{argument}` is {theirs} there, {ours} here"),
        ),
    }
}

#[cfg(any(feature = "cli", test))]
/// What an argument of the existing queue is.
#[derive(Debug, PartialEq)]
pub(super) struct Current<'a> {
    pub argument: &'a str,
    /// `None` if it is not set.
    pub value: Option<String>,
    /// RabbitMQ's name of its type, where it tells.
    pub kind: Option<&'a str>,
}

#[cfg(any(feature = "cli", test))]
/// What RabbitMQ's refusal says of the queue that exists.
pub(super) fn current(text: &str) -> Option<Current<'_>> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once('\'')?;
    let (_, theirs) = rest.split_once(" but current is ")?;
    let mut quoted = theirs.split('\'').skip(1).step_by(2);
    Some(Current {
        argument,
        value: quoted.next().map(str::to_owned),
        kind: quoted.next().filter(|_| theirs.contains(" of type ")),
    })
}

fn difference(text: &str) -> Option<(&str, String, String)> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("received ")?;
    let (ours, theirs) = rest.split_once(" but current is ")?;
    Some((argument, value(ours), value(theirs)))
}

/// RabbitMQ writes `'1000'`, `the value '1000' of type 'long'`, or `none`.
fn value(text: &str) -> String {
    match text.split('\'').nth(1) {
        Some(value) => value.to_owned(),
        None if text.trim_start().starts_with("none") => "not set".into(),
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: &str, expected: &str) {
        let error = in_words("queue", "orders", Error::new(Fault::Mismatch, reason));
        assert_eq!(error.to_string(), format!("queue `orders` exists with other arguments: {expected}"));
    }

    #[test]
    fn what_the_existing_queue_has_is_read_from_a_refusal() {
        let check = |theirs: &str, value: Option<&str>, kind: Option<&str>| {
            let text =
                format!("inequivalent arg 'x-expires' for queue 'orders' in vhost '/': received '5' but current is {theirs}");
            assert_eq!(current(&text), Some(Current { argument: "x-expires", value: value.map(str::to_owned), kind }));
        };
        check("'1000'", Some("1000"), None);
        check("the value '1000' of type 'long'", Some("1000"), Some("long"));
        check("none", None, None);
        assert_eq!(current("no access to it"), None);
    }

    #[test]
    fn a_mismatch_says_which_argument_differs_and_how() {
        let prefix = "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'orders' in vhost '/': ";
        check(&format!("{prefix}received '500' but current is '1000'"), "`x-max-length` is 1000 there, 500 here");
        check(
            &format!("{prefix}received none but current is the value '1000' of type 'long'"),
            "`x-max-length` is 1000 there, not set here",
        );
        check(
            &format!("{prefix}received the value '500' of type 'signedint' but current is none"),
            "`x-max-length` is not set there, 500 here",
        );
    }
}
